"""A series that keeps to its edges: mechanical, independent fixes, preparation, features, tests, documents."""

import heapq
from collections import Counter, defaultdict

from limosa_slice.engine.edges import Edges
from limosa_slice.engine.facts import DOCUMENT, TEST, Facts, file_kind
from limosa_slice.model.change import Change, Role

SYSTEMATIC = 4  # so many equal edits are a substitution
MECHANICAL, FIX, WORK, TESTS, DOCUMENTS = range(5)


def mechanical(change: Change, facts: list[Facts]) -> frozenset[int]:
    """Return the atoms that change no meaning by themselves: moves, modes, white space, a substitution made often."""
    edits = Counter(fact.edit for fact in facts if fact.edit[0] and fact.edit[1])
    return frozenset(
        atom.id
        for atom, fact in zip(change.atoms, facts, strict=True)
        if atom.role in (Role.RENAME, Role.MODE)
        or (atom.role is Role.EDIT and fact.blank)
        or edits.get(fact.edit, 0) >= SYSTEMATIC
    )


class Ranks:
    """Where a group belongs when nothing forces it."""

    def __init__(self, change: Change, facts: list[Facts], edges: Edges) -> None:
        self._change, self._facts = change, facts
        self._mechanical = mechanical(change, facts)
        self._tied = {atom for pair in edges for atom in pair}

    def of(self, group: list[int]) -> tuple[int, float]:
        """Return the class of a group, then its place in the tree."""
        kinds = {file_kind(self._change.path(self._change.atoms[a])) for a in group}
        place = sum(group) / len(group)
        if self._mechanical.issuperset(group):
            return (MECHANICAL, place)
        if kinds <= {DOCUMENT}:
            return (DOCUMENTS, place)
        if kinds <= {TEST, DOCUMENT}:
            return (TESTS, place)
        alone = not any(atom in self._tied for atom in group)
        brings = any(self._facts[a].defines - self._facts[a].drops for a in group)
        return (FIX if alone and not brings else WORK, place)


def ordered(ranks: Ranks, groups: list[list[int]], edges: Edges) -> list[list[int]]:
    """Return the groups in an order that keeps every edge; groups in a circle become one."""
    while True:
        place = {atom: number for number, group in enumerate(groups) for atom in group}
        after: dict[int, set[int]] = defaultdict(set)
        waits: Counter[int] = Counter()
        for first, later in edges:
            one, two = place[first], place[later]
            if one != two and two not in after[one]:
                after[one].add(two)
                waits[two] += 1
        ready = [(ranks.of(group), number) for number, group in enumerate(groups) if not waits[number]]
        heapq.heapify(ready)
        result: list[int] = []
        while ready:
            _, number = heapq.heappop(ready)
            result.append(number)
            for other in after[number]:
                waits[other] -= 1
                if not waits[other]:
                    heapq.heappush(ready, (ranks.of(groups[other]), other))
        if len(result) == len(groups):
            return [groups[number] for number in result]
        groups = _join_circle(groups, after, set(range(len(groups))) - set(result))


def _join_circle(groups: list[list[int]], after: dict[int, set[int]], stuck: set[int]) -> list[list[int]]:
    """Return the groups with one circle among `stuck` joined: every stuck group waits for another one."""
    before = {later: first for first in sorted(stuck) for later in after[first] if later in stuck}
    walk = [min(stuck)]
    while before[walk[-1]] not in walk:
        walk.append(before[walk[-1]])
    circle = set(walk[walk.index(before[walk[-1]]) :])
    joined = sorted(atom for number in circle for atom in groups[number])
    return [group for number, group in enumerate(groups) if number not in circle] + [joined]
