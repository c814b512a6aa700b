"""What each atom says by itself: its words, the definitions around it, the names that it brings or drops."""

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

from limosa_slice.model.change import Change, FileText
from limosa_slice.model.outline import Definition, file_scoped
from limosa_slice.model.scopes import members
from limosa_slice.ports.syntax import Syntax

_WORD = re.compile(rb"[A-Za-z_]\w{2,}")
_DASHED = re.compile(rb"[A-Za-z]+(?:-[A-Za-z]+)+")
PART = re.compile(rb"[A-Z]?[a-z]{2,}|[A-Z]{3,}")
_IMPORT = re.compile(rb"^\s*(#\s*include\b|import\b|from\s+\S+\s+import\b|use\s|require\b|package\b)")
_COMMENT = re.compile(rb"^\s*(//|/?\*|#(?!\s*(include|define|if|el|endif|undef|pragma))|--|\"\"\"|'''|<!--)")
_DOCUMENT = re.compile(r"(^|/)(NEWS|README|CHANGES|Change[Ll]og|docs?/|man/)|\.(md|rst|txt|[1-8])$")
_TEST = re.compile(r"(^|/)(tests?/|test_)|_test\.|(^|/)tests?\.")
_BUILD = re.compile(r"(^|/)(Makefile|Kbuild|Kconfig|CMakeLists|meson|configure|setup\.|pyproject|go\.)|\.(am|mk|ac|toml|cfg|ya?ml|spec|json)")  # fmt: skip  # noqa: E501
NEARBY = 3  # lines around an atom that are its context
CODE, HEADER, TEST, BUILD, DOCUMENT = range(5)


@dataclass(frozen=True, slots=True)
class Facts:
    """`fresh` and `stale` are the words that the atom adds or takes away on balance; `novel` are those that no changed
    file had before, `gone` those that none has after; `fresh_here` those that its own file did not have, `stale_here`
    those that its own file does not have any more. `parts` are what the names are made of,
    `novel_parts` those in no name that was there before. `kept` are those of `defines` and `drops` that only their own
    file can mean, `members` those that only classes have. `edit` is the same for equal edits anywhere."""

    added: frozenset[bytes]
    removed: frozenset[bytes]
    fresh: frozenset[bytes]
    stale: frozenset[bytes]
    novel: frozenset[bytes]
    gone: frozenset[bytes]
    fresh_here: frozenset[bytes]
    stale_here: frozenset[bytes]
    parts: frozenset[bytes]
    novel_parts: frozenset[bytes]
    pieces: frozenset[bytes]
    context: frozenset[bytes]
    lines_in: frozenset[bytes]
    lines_out: frozenset[bytes]
    around: str
    outer: str
    defines: frozenset[bytes]
    drops: frozenset[bytes]
    kept: frozenset[bytes]
    members: frozenset[bytes]
    edit: tuple[tuple[bytes, ...], tuple[bytes, ...]]
    imports: bool
    comments: bool
    blank: bool

    @property
    def words(self) -> frozenset[bytes]:
        """The words on either side."""
        return self.added | self.removed


def file_kind(path: str) -> int:
    """Return what a file is for, by its path."""
    if _TEST.search(path):
        return TEST
    if _BUILD.search(path):
        return BUILD
    if _DOCUMENT.search(path):
        return DOCUMENT
    return HEADER if path.endswith((".h", ".hpp", ".hh")) else CODE


def stem(path: str) -> str:
    """Return the part of a file's name that its header and its test share."""
    name = path.rsplit("/", 1)[-1].partition(".")[0]
    return re.sub(r"^test_+|_+test$|_+tests$", "", name)


def imported_names(text: FileText) -> frozenset[bytes]:
    """Return the names in the lines of a file, on either side, that bring in others."""
    return frozenset(w for line in {*text.old, *text.new} if _IMPORT.match(line) for w in _WORD.findall(line))


def read_facts(change: Change, syntax: Syntax) -> tuple[list[Facts], Counter[bytes]]:
    """Return the facts of every atom, in order, and how often each word occurs in the changed files on either side."""
    before: Counter[bytes] = Counter()
    after: Counter[bytes] = Counter()
    outlines: dict[int, tuple[_Outline, _Outline]] = {}
    words: list[tuple[Counter[bytes], Counter[bytes]]] = []
    for number, text in enumerate(change.texts):
        path = change.files[number].path
        old_words, new_words = (Counter(_WORD.findall(b"".join(side))) for side in (text.old, text.new))
        words.append((old_words, new_words))
        before.update(old_words)
        after.update(new_words)
        outlines[number] = (_Outline.of(path, text.old, syntax), _Outline.of(path, text.new, syntax))
    for index, atom in enumerate(change.atoms):
        if not change.texts[atom.file].old and not change.texts[atom.file].new:
            before.update(_WORD.findall(b"".join(change.removed(change.atoms[index]))))
    known = frozenset(part.lower() for word in before for part in PART.findall(word))
    facts = [
        _facts(change, index, *outlines[atom.file], (before, after), words[atom.file], known)
        for index, atom in enumerate(change.atoms)
    ]
    return facts, before | after


class _Outline(NamedTuple):
    """The definitions of one side of a file, and the names of those that no other file can mean."""

    definitions: list[Definition]
    scoped: frozenset[bytes]
    members: frozenset[bytes]

    @classmethod
    def of(cls, path: str, lines: Sequence[bytes], syntax: Syntax) -> Self:
        """Read `lines` as a file at `path`; there are none where the side is not text or absent."""
        definitions = syntax.outline(path, lines) if lines else []
        return cls(definitions, file_scoped(path, lines, definitions), members(path, definitions))


def _facts(
    change: Change,
    index: int,
    old_side: _Outline,
    new_side: _Outline,
    everywhere: tuple[Counter[bytes], Counter[bytes]],
    here: tuple[Counter[bytes], Counter[bytes]],
    known: frozenset[bytes],
) -> Facts:
    before, after = everywhere
    old, new = old_side.definitions, new_side.definitions
    atom = change.atoms[index]
    added, removed, hunk = change.added(atom), change.removed(atom), atom.hunk
    plus, minus = Counter(_WORD.findall(b"".join(added))), Counter(_WORD.findall(b"".join(removed)))
    more, less = plus - minus, minus - plus
    around = _around(new, hunk.new_start, hunk.new_count) or _around(old, hunk.old_start, hunk.old_count)
    text = change.texts[atom.file].new
    nearby = (
        *text[max(0, hunk.new_start - NEARBY) : hunk.new_start],
        *text[hunk.new_start + hunk.new_count : hunk.new_start + hunk.new_count + NEARBY],
    )
    changed = [line for line in (*added, *removed) if line.strip()]
    parts = frozenset(p.lower() for w in (*more, *less) for p in PART.findall(w))
    dashed = set(_DASHED.findall(b"".join(added))) ^ set(_DASHED.findall(b"".join(removed)))
    defines, drops = _names(new, hunk.new_start, hunk.new_count), _names(old, hunk.old_start, hunk.old_count)
    return Facts(
        frozenset(plus), frozenset(minus), frozenset(more), frozenset(less),
        frozenset(w for w in more if w not in before), frozenset(w for w in less if w not in after),
        frozenset(w for w in more if w not in here[0]), frozenset(w for w in less if w not in here[1]),
        parts, parts - known,
        frozenset(p for w in (*more, *less, *dashed) for p in _pieces(w)),
        frozenset(_WORD.findall(b"".join(nearby))), _telling(added), _telling(removed),
        around[-1].name if around else "", around[0].name if around else "",
        defines, drops, (defines & new_side.scoped) | (drops & old_side.scoped),
        (defines & new_side.members) | (drops & old_side.members),
        (tuple(sorted(less.elements())), tuple(sorted(more.elements()))),
        bool(changed) and all(_IMPORT.match(line) for line in changed),
        bool(changed) and all(_COMMENT.match(line) for line in changed),
        b"".join(b"".join(added).split()) == b"".join(b"".join(removed).split()),
    )  # fmt: skip


def _pieces(word: bytes) -> list[bytes]:
    """Return the neighbouring parts of a name by twos: of test_expand_includes and expandInclude the same."""
    parts = [part.lower().rstrip(b"s") for part in PART.findall(word)]
    return [b" ".join(two) for two in itertools.pairwise(parts)]


def _around(outline: list[Definition], start: int, count: int) -> list[Definition]:
    return [d for d in outline if count and d.kind != "variable" and d.start <= start < d.end]


def _telling(lines: Sequence[bytes]) -> frozenset[bytes]:
    """Return the lines that are long enough to be the same by no accident."""
    return frozenset(text for line in lines if len(text := b" ".join(line.split())) >= 12)


def _names(outline: list[Definition], start: int, count: int) -> frozenset[bytes]:
    return frozenset(d.name.encode() for d in outline if start <= d.start < start + count)
