"""Which pairs of atoms do not commute, and in which order the person had them.

Hunks of one diff never overlap, so as text any two of them can go either way round. What fixes an order is that one needs the
other: a name must be defined before it is used, and its last use must be gone before its definition goes. A pair counts here if

- the name is defined once in the files of the change, on one side of it, and the whole tree of the other side does not have
  the word at all: so the definition is what the use needs, and nothing else can stand in for it;
- the use is code, not a comment, a string or a document, and can mean that definition (`engine/reach.py`): a static variable of
  one file is not what another file calls a parameter;
- the person had the two in different commits.

Nothing here asks the slicer's own edges. When the person defined the name is when a commit's files first define it, not
who last wrote the lines of that hunk: a definition that a later commit polishes is not later than its uses. A use belongs to
the commit that wrote the line which has the name, not to the one that wrote most of the hunk.
"""  # noqa: E501

import re
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from corpus import Series, Truth

from limosa_slice.adapters.git import GitRepository, decode
from limosa_slice.engine.facts import DOCUMENT, file_kind
from limosa_slice.engine.reach import Reach
from limosa_slice.model.change import Atom, Change, Role, split_lines
from limosa_slice.model.outline import file_scoped
from limosa_slice.model.scopes import members
from limosa_slice.ports.syntax import Syntax

_LITERAL = re.compile(rb"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|//[^\n]*|/\*.*?\*/")
_COMMENT = re.compile(rb"^\s*(//|/?\*|#(?!\s*(include|define|if|el|endif|undef)))")
_WORD = re.compile(rb"[A-Za-z_]\w{2,}")


@dataclass(frozen=True)
class Need:
    """Atom `first` must not come after atom `later`, because of `name`; the person's commits of the two."""

    first: int
    later: int
    name: str
    first_commit: int
    later_commit: int


def words(line: bytes) -> set[bytes]:
    """Return the names in a line of code, without those in comments and strings."""
    return set() if _COMMENT.match(line) else set(_WORD.findall(_LITERAL.sub(b"", line)))


def needs(repository: GitRepository, syntax: Syntax, series: Series, change: Change, truth: Truth) -> list[Need]:
    """Return the pairs of atoms that do not commute, with the commits in which the person had each."""
    history = _defined(repository, syntax, change, (series.base, *series.commits))
    found = _additions(repository, syntax, series, change, truth, history)
    return found + _removals(repository, syntax, series, change, truth, history)


def _defined(repository: GitRepository, syntax: Syntax, change: Change, commits: Sequence[str]) -> list[set[bytes]]:
    """Return the names that files which the change, or any of its commits, touches define at each commit.

    A file that a later commit moves or takes apart is not in the change by the path that its definitions first had.
    """
    paths = {p for delta in change.files for p in (delta.old_path, delta.new_path) if p}
    span = f"{commits[0]}..{commits[-1]}"
    touched = repository.must("log", "--format=", "--no-renames", "--name-only", "-z", span)
    paths.update(decode(path) for path in touched.split(b"\0") if path)
    known: dict[tuple[str, str], set[bytes]] = {}
    found = []
    for commit in commits:
        listing = repository.must("ls-tree", "-r", "-z", "--full-tree", commit, "--", *sorted(paths))
        names: set[bytes] = set()
        for record in listing.split(b"\0")[:-1]:
            kind, _, name = record.partition(b"\t")
            _, what, oid = kind.decode().split()
            path = decode(name)
            if what == "blob" and (path, oid) not in known:
                lines = split_lines(repository.blob(oid))
                known[path, oid] = {d.name.encode() for d in syntax.outline(path, lines)}
            names |= known.get((path, oid), set())
        found.append(names)
    return found


def _definers(syntax: Syntax, change: Change, new: bool) -> dict[bytes, tuple[int, bool, bool]]:
    """Return the atom that has the only definition of each name on one side, whether only its file can mean it, and
    whether a class has it."""
    found: dict[bytes, set[int]] = defaultdict(set)
    often: dict[bytes, int] = defaultdict(int)
    kept: set[bytes] = set()
    inside: set[bytes] = set()
    for number, delta in enumerate(change.files):
        lines = change.texts[number].new if new else change.texts[number].old
        outline = syntax.outline(delta.path, lines) if lines else []
        kept |= file_scoped(delta.path, lines, outline)
        inside |= members(delta.path, outline)
        for item in outline:
            often[item.name.encode()] += 1
            for atom in (change.atoms[a] for a in change.by_file[number]):
                start = atom.hunk.new_start if new else atom.hunk.old_start
                count = atom.hunk.new_count if new else atom.hunk.old_count
                if atom.role is Role.EDIT and start <= item.start < start + count:
                    found[item.name.encode()].add(atom.id)
    return {name: (min(atoms), name in kept, name in inside) for name, atoms in found.items() if often[name] == 1}


def _absent(repository: GitRepository, commit: str, names: set[bytes]) -> set[bytes]:
    """Return those of `names` that no file of the tree of `commit` has as a word."""
    if not names:
        return set()
    done = subprocess.run(
        ["git", "--git-dir", repository.git_dir, "grep", "-ohwFI", "-f", "-", commit],
        input=b"\n".join(sorted(names)), capture_output=True, check=False,
    )  # fmt: skip
    return names - set(done.stdout.split())


def _uses(change: Change, atom: Atom, new: bool) -> dict[bytes, list[int]]:
    """Return the lines of the file, on one side, at which `atom` has each name."""
    found: dict[bytes, list[int]] = defaultdict(list)
    start = atom.hunk.new_start if new else atom.hunk.old_start
    for number, line in enumerate(change.added(atom) if new else change.removed(atom), start):
        for word in words(line):
            found[word].append(number)
    return found


def _code(change: Change) -> list[Atom]:
    return [a for a in change.atoms if a.role is Role.EDIT and file_kind(change.path(a)) != DOCUMENT]


def _additions(
    repository: GitRepository, syntax: Syntax, series: Series, change: Change, truth: Truth, history: list[set[bytes]]
) -> list[Need]:
    definers = _definers(syntax, change, new=True)
    fresh = _absent(repository, series.base, set(definers))
    since = {w: next(k for k, names in enumerate(history) if w in names) - 1 for w in fresh if w in history[-1]}
    found, reach = [], Reach(change)
    for atom in _code(change):
        for word, lines in _uses(change, atom, new=True).items():
            first, kept, member = definers.get(word, (atom.id, True, False))
            home = change.atoms[first].file
            if (
                word in since
                and first != atom.id
                and reach.can_mean(word, home, atom, kept=kept, member=member, new=True)
            ):
                owners = [o for line in lines if (o := truth.writer(atom.file, line)) is not None]
                if owners and min(owners) != since[word]:
                    found.append(Need(first, atom.id, word.decode(), since[word], min(owners)))
    return found


def _removals(
    repository: GitRepository, syntax: Syntax, series: Series, change: Change, truth: Truth, history: list[set[bytes]]
) -> list[Need]:
    definers = _definers(syntax, change, new=False)
    gone = _absent(repository, series.head, set(definers))
    until = {w: max(k for k, names in enumerate(history) if w in names) for w in gone if w in history[0]}
    found, reach = [], Reach(change)
    for atom in _code(change):
        for word, lines in _uses(change, atom, new=False).items():
            last, kept, member = definers.get(word, (atom.id, True, False))
            home = change.atoms[last].file
            if (
                word in until
                and last != atom.id
                and reach.can_mean(word, home, atom, kept=kept, member=member, new=False)
            ):
                owners = [o for line in lines if (o := truth.deleter(atom.file, line)) is not None]
                if owners and max(owners) != until[word]:
                    found.append(Need(atom.id, last, word.decode(), max(owners), until[word]))
    return found
