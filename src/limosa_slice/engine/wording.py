"""Titles, messages and the cover letter: what is known, in the manner of the repository's own history; nothing else."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from limosa_slice.engine.facts import DOCUMENT, TEST, Facts, file_kind
from limosa_slice.engine.order import mechanical
from limosa_slice.model.change import Change, Role
from limosa_slice.model.series import Slice
from limosa_slice.ports.repository import PastCommit

TITLE_CHARS = 75
_PREFIX = re.compile(r"((?:[\w./+*{},-]+(?: [\w./-]+)?: )+)(\S)")
_SIGNED = re.compile(r"^\s*(signed-off-by|acked-by|reviewed-by|tested-by)\s*:", re.I)


class Wording:
    """Names slices of one change."""

    def __init__(self, change: Change, facts: list[Facts], history: Sequence[PastCommit]) -> None:
        self._change, self._facts, self._history = change, facts, history
        self._mechanical = mechanical(change, facts)
        self._capital = _capital(history)

    def title(self, group: Collection[int]) -> str:
        """Return a title that says only what is known: a prefix as the history has it, a verb, names or files."""
        atoms = [self._change.atoms[a] for a in group]
        paths = sorted({self._change.path(atom) for atom in atoms})
        verb, what = self._deed(list(group), paths)
        names = list(dict.fromkeys(name.rsplit("/", 1)[-1] for name in what))
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        prefix = self.prefix(paths)
        verb = verb.capitalize() if self._capital else verb
        text = "".join(c if c.isprintable() else "?" for c in f"{prefix}{verb} {shown}".rstrip())
        return text if len(text) <= TITLE_CHARS else text[: TITLE_CHARS - 3].rstrip(" ,") + "..."

    def _deed(self, group: list[int], paths: list[str]) -> tuple[str, list[str]]:
        deltas = [self._change.files[self._change.atoms[a].file] for a in group]
        roles = {self._change.atoms[a].role for a in group}
        facts = [self._facts[a] for a in group]
        kinds = {file_kind(path) for path in paths}
        added, dropped = _balance(facts)
        if roles == {Role.RENAME}:
            return "move", [d.old_path or "" for d in deltas]
        if roles == {Role.MODE}:
            return "change the mode of", paths
        if all(d.new is None for d in deltas):
            return "remove", paths
        if self._mechanical.issuperset(group):
            if all(f.blank for f in facts):
                return "change only white space in", paths
            less, more = facts[0].edit
            if len({f.edit for f in facts}) == 1 and less and more:
                return "replace", [f"{less[0].decode(errors='replace')} by {more[0].decode(errors='replace')}"]
        if kinds == {DOCUMENT}:
            return ("add" if all(d.old is None for d in deltas) else "update"), paths
        if kinds == {TEST}:
            return ("test" if not added else "add"), added or [f.around for f in facts if f.around] or paths
        if all(d.old is None for d in deltas):
            return "add", paths if len(paths) > 1 or not added else added
        if added:
            return "add", added
        if dropped:
            return "remove", dropped
        if not any(f.added for f in facts) and not any(f.around for f in facts):
            return "remove lines from", paths
        return "change", [f.around for f in facts if f.around] or paths

    def prefix(self, paths: Collection[str]) -> str:
        """Return the subsystem prefix that commits to these paths have ("fs/ext4: "), or nothing.

        The commits that touch the same paths decide; where they say nothing, those to the same folder.
        """
        folders = {path.rpartition("/")[0] for path in paths}
        for near in (set(paths).__contains__, lambda path: path.rpartition("/")[0] in folders):
            found, seen = Counter[str](), 0
            for commit in self._history:
                if commit.paths and any(near(path) for path in commit.paths):
                    seen += 1
                    match = _PREFIX.match(commit.title)
                    found.update([match[1]] if match and len(match[1]) < 40 else [])
            best = found.most_common(1)
            if best and best[0][1] * 3 >= seen and best[0][1] > 1:
                return best[0][0]
        return ""

    def body(self, item: Slice, needs: Sequence[str]) -> str:
        """Return the message under the title: which definitions come, go and change, by file, and what is needed."""
        lines = []
        by_file: dict[int, list[int]] = {}
        for atom in item.atoms:
            by_file.setdefault(self._change.atoms[atom].file, []).append(atom)
        for file, atoms in by_file.items():
            facts = [self._facts[a] for a in atoms]
            added, dropped = _balance(facts)
            inside = [f.around for f in facts if f.around and f.around not in added]
            parts = [
                f"{verb} {', '.join(dict.fromkeys(names))}"
                for verb, names in (("add", added), ("remove", dropped), ("change", inside))
                if names
            ]
            path = self._change.files[file].path.encode("utf-8", "backslashreplace").decode()
            lines.append(f"- {path}: {'; '.join(parts)}" if parts else f"- {path}")
        if needs:
            lines += ["", *needs]
        return "\n".join(lines)


def _balance(facts: Sequence[Facts]) -> tuple[list[str], list[str]]:
    """Return the names that a group defines, and those of which nothing is left; what only changes is in neither."""
    comes = frozenset[bytes]().union(*(f.defines for f in facts))
    goes = frozenset[bytes]().union(*(f.drops for f in facts))
    return _names(f.defines - goes for f in facts), _names((f.drops & f.gone) - comes for f in facts)


def _names(groups: Iterable[Collection[bytes]]) -> list[str]:
    found = Counter(word.decode(errors="replace") for words in groups for word in sorted(words))
    return list(found)


def _capital(history: Sequence[PastCommit]) -> bool:
    """Say whether titles here begin with a capital letter after their prefix."""
    firsts: list[str] = [match[2] if (match := _PREFIX.match(c.title)) else c.title[:1] for c in history]
    letters = [c for c in firsts if c.isalpha()]
    return sum(c.isupper() for c in letters) * 2 > len(letters)


def without_promises(message: str) -> str:
    """Return a message without sign-offs and reviews, which only people can give."""
    return "\n".join(line for line in message.splitlines() if not _SIGNED.match(line)).strip()


def cover_letter(subject: str, table: str, base: str, notes: Sequence[str]) -> str:
    """Return the text of the mail that leads a series."""
    return "\n".join([subject, "", "The series in order:", "", table, "", *notes, f"base-commit: {base}", ""])
