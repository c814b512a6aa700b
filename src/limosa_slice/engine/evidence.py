"""Why two atoms belong together: features of a pair, and what each is worth.

The weights are log-odds of "one commit of a person", learnt on the tuning half of the real series
(bench/slicer/train.py).
Only pairs with something in common are named; any other pair is worth BIAS.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from limosa_slice.model.change import Atom, Change, Role
from limosa_slice.model.outline import Definition
from limosa_slice.ports.syntax import Syntax

_WORD = re.compile(rb"[A-Za-z_]\w{2,}")
COMMON = 40  # an identifier in more atoms than this names nothing
WINDOW = 60  # atoms of one file that are further apart than this in the list are not compared

BIAS = -1.3
WEIGHTS: dict[str, float] = {
    "same file": 1.24,
    "near": 1.44,
    "same hunk": 0.75,
    "same function": 0.17,
    "neighbours": -0.13,
    "same folder": 0.49,
    "same stem": 1.01,
    "same file type": -0.33,
    "rare identifier": 1.22,
    "several identifiers": 0.03,
    "definition and use": 0.73,
    "dropped and last use": 0.36,
    "equal edit": 3.05,
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What one atom says: its words on both sides, the functions around it, the names that it defines or drops."""

    added: frozenset[bytes]
    removed: frozenset[bytes]
    around: str
    defines: frozenset[bytes]
    drops: frozenset[bytes]
    edit: tuple[tuple[bytes, ...], tuple[bytes, ...]]


def read_facts(change: Change, syntax: Syntax) -> list[Facts]:
    """Return the facts of every atom, in order."""
    outlines: dict[tuple[int, bool], list[Definition]] = {}
    found = []
    for atom in change.atoms:
        text = change.texts[atom.file]
        sides = []
        for new in (False, True):
            key = (atom.file, new)
            if key not in outlines:
                lines = text.new if new else text.old
                outlines[key] = syntax.outline(change.path(atom), lines) if lines else []
            sides.append(outlines[key])
        found.append(_facts(change, atom, *sides))
    return found


def _facts(change: Change, atom: Atom, old: list[Definition], new: list[Definition]) -> Facts:
    added, removed = b"".join(change.added(atom)), b"".join(change.removed(atom))
    plus, minus = Counter(_WORD.findall(added)), Counter(_WORD.findall(removed))
    hunk = atom.hunk
    around = [d for d in new if d.kind != "variable" and d.start <= hunk.new_start < d.end]
    edit = (tuple(sorted((minus - plus).elements())), tuple(sorted((plus - minus).elements())))
    return Facts(
        frozenset(plus), frozenset(minus), around[-1].name if around and hunk.old_count + hunk.new_count else "",
        _names(new, hunk.new_start, hunk.new_count), _names(old, hunk.old_start, hunk.old_count), edit,
    )  # fmt: skip


def _names(outline: list[Definition], start: int, count: int) -> frozenset[bytes]:
    inside = (d.name.encode() for d in outline if start <= d.end - 1 and start <= d.start < start + count)
    return frozenset(inside)


def stem(path: str) -> str:
    """Return the part of a file's name that its header and its test share."""
    name = path.rsplit("/", 1)[-1].partition(".")[0]
    return re.sub(r"^test_+|_+test$|_+tests$", "", name)


def pair_features(change: Change, facts: list[Facts], spread: Counter[bytes], a: int, b: int) -> dict[str, float]:
    """Return the features of a pair of atoms; the keys are those of WEIGHTS."""
    one, two = change.atoms[a], change.atoms[b]
    left, right = facts[a], facts[b]
    features: dict[str, float] = {}
    path_one, path_two = change.path(one), change.path(two)
    if one.file == two.file:
        gap = abs(one.hunk.new_start - two.hunk.new_start)
        features["same file"] = 1.0
        features["near"] = 1 / (1 + gap / 20)
        features["same hunk"] = float(one.role is Role.EDIT is two.role and one.ordinal == two.ordinal)
        features["same function"] = float(bool(left.around) and left.around == right.around)
        features["neighbours"] = float(abs(a - b) == 1)
    else:
        features["same folder"] = float(path_one.rpartition("/")[0] == path_two.rpartition("/")[0])
        features["same stem"] = float(stem(path_one) == stem(path_two))
        features["same file type"] = float(path_one.rpartition(".")[2] == path_two.rpartition(".")[2])
    shared = (left.added & right.added) | (left.removed & right.removed) | (left.added & right.removed) | (
        left.removed & right.added
    )  # fmt: skip
    worth = sorted((1 / math.log2(1 + spread[w]) for w in shared), reverse=True)
    features["rare identifier"] = worth[0] if worth else 0.0
    features["several identifiers"] = min(3.0, sum(worth[1:5]))
    features["definition and use"] = float(bool(left.defines & right.added or right.defines & left.added))
    features["dropped and last use"] = float(bool(left.drops & right.removed or right.drops & left.removed))
    features["equal edit"] = float(left.edit == right.edit and left.edit != ((), ()))
    return {name: value for name, value in features.items() if value}


def candidates(change: Change, facts: list[Facts], spread: Counter[bytes]) -> Iterator[tuple[int, int]]:
    """Return the pairs worth looking at: same file and close, a shared rare identifier, all in a small change."""
    count = len(change.atoms)
    if count <= 400:
        yield from ((a, b) for b in range(count) for a in range(b))
        return
    pairs: set[tuple[int, int]] = set()
    for atoms in change.by_file:
        pairs.update((a, b) for b in atoms for a in range(max(atoms[0], b - WINDOW), b))
    places: dict[bytes, list[int]] = defaultdict(list)
    for index, fact in enumerate(facts):
        for word in fact.added | fact.removed:
            if spread[word] <= COMMON // 4:
                places[word].append(index)
    for indexes in places.values():
        pairs.update((a, b) for n, b in enumerate(indexes) for a in indexes[:n])
    yield from pairs


def spread_of(facts: list[Facts]) -> Counter[bytes]:
    """Return in how many atoms each word occurs."""
    return Counter(word for fact in facts for word in fact.added | fact.removed)
