"""A series that keeps to its edges: mechanical, independent fixes, preparation, features, tests, documents.

A feature brings names that no changed file had; a preparation only moves, takes away or uses what was there.
"""

from collections import Counter, defaultdict

from limosa_slice.engine.edges import Edges
from limosa_slice.engine.facts import DOCUMENT, TEST, Facts, file_kind
from limosa_slice.model.change import Change, Role

SYSTEMATIC = 4  # so many equal edits are a substitution
MECHANICAL, FIX, PREPARATION, FEATURE, TESTS, DOCUMENTS = range(6)


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
        brings = any(self._facts[a].novel for a in group)
        if alone and not brings:
            return (FIX, place)
        return (FEATURE if brings else PREPARATION, place)


def ordered(ranks: Ranks, groups: list[list[int]], edges: Edges, welds: list[list[int]]) -> list[list[int]]:
    """Return the groups in an order that keeps every edge, each close before the first that needs it.

    Where groups wait for each other in a circle, the smallest weld that another group waits for goes over to it: a
    person, too, has a definition and its first use in one commit. Each weld moves at most once; a circle that is left
    becomes one group.
    """
    groups = [list(group) for group in groups]
    weld_of = {atom: number for number, weld in enumerate(welds) for atom in weld}
    moved: set[int] = set()
    while True:
        place = {atom: number for number, group in enumerate(groups) for atom in group}
        between: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
        for first, later in edges:
            if place[first] != place[later]:
                between[place[first], place[later]].append((first, later))
        before: dict[int, list[int]] = defaultdict(list)
        for one, two in between:
            before[two].append(one)
        circle = _circle(len(groups), before)
        if circle is None:
            return [groups[number] for number in _near_first_use(ranks, groups, before)]
        ties = [pair for one, two in zip(circle, circle[1:] + circle[:1], strict=True) for pair in between[one, two]]
        free = [
            (len(welds[weld_of[first]]), first, later)
            for first, later in ties
            if weld_of[first] not in moved and len(welds[weld_of[first]]) < len(groups[place[first]])
        ]
        if free:
            _, first, later = min(free)
            moved.add(weld_of[first])
            going = set(welds[weld_of[first]])
            groups[place[first]] = [atom for atom in groups[place[first]] if atom not in going]
            groups[place[later]] = sorted({*groups[place[later]], *going})
        else:
            joined = sorted(atom for number in circle for atom in groups[number])
            groups = [group for number, group in enumerate(groups) if number not in circle] + [joined]


def _circle(count: int, before: dict[int, list[int]]) -> list[int] | None:
    """Return groups each of which must come before the next, and the last before the first; None: there are none."""
    state = [0] * count  # 0 not seen, 1 on the way, 2 done
    for start in range(count):
        if state[start]:
            continue
        way = [start]
        rest = [iter(before[start])]
        state[start] = 1
        while way:
            needed = next(rest[-1], None)
            if needed is None:
                state[way.pop()] = 2
                rest.pop()
            elif state[needed] == 1:
                return way[way.index(needed) :][::-1]
            elif state[needed] == 0:
                state[needed] = 1
                way.append(needed)
                rest.append(iter(before[needed]))
    return None


def _near_first_use(ranks: Ranks, groups: list[list[int]], before: dict[int, list[int]]) -> list[int]:
    """Return the numbers of the groups: by rank, each preceded by what it needs that has not been yet.

    A group that only others need has no place of its own, but mechanical ones, which lead.
    """
    rank = [ranks.of(group) for group in groups]
    needed = {number for numbers in before.values() for number in numbers}
    lead = sorted(range(len(groups)), key=lambda n: (n in needed and rank[n][0] != MECHANICAL, rank[n], n))
    result: list[int] = []
    seen: set[int] = set()
    for start in lead:
        stack = [(start, False)]
        while stack:
            number, ready = stack.pop()
            if ready:
                result.append(number)
            elif number not in seen:
                seen.add(number)
                stack.append((number, True))
                stack += [(n, False) for n in sorted(before[number], key=lambda n: rank[n], reverse=True)]
    return result
