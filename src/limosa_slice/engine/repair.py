"""Make every prefix of a series pass. What a failure teaches becomes an edge; it always ends.

A failing slice is mended by the first of these that applies:
1. its diagnostics name a symbol or a file that a later slice brings, or whose last use a later slice takes away:
   that slice goes first, or becomes one with it where it must also come later;
2. delta debugging over the later atoms finds a small set with which it passes, and takes it in;
3. it becomes one with its neighbour.
Each step either accepts a slice, uses up a (slice, symbol) pair, or moves atoms forward; none is ever undone.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace

from limosa_slice.engine.facts import Facts
from limosa_slice.engine.minimize import smallest
from limosa_slice.engine.oracle import Outcome, Trial, missing_files, missing_symbols
from limosa_slice.model.change import Change
from limosa_slice.model.series import Learned, Slice

TRIES = 24  # builds that delta debugging may use for one failing slice


@dataclass(slots=True)
class Graph:
    """What is known about the atoms: their facts, what must come before what, what nothing may separate."""

    change: Change
    facts: list[Facts]
    edges: dict[tuple[int, int], str]
    welds: list[list[int]]
    learned: list[Learned] = field(default_factory=list)


class Settler:
    """Carries a series through its trial. `title` names a slice whose atoms have changed; `now` is a clock."""

    def __init__(
        self,
        graph: Graph,
        trial: Trial,
        title: Callable[[Collection[int]], str] | None,
        progress: Callable[[str], None],
        now: Callable[[], float],
        deadline_s: float,
    ) -> None:
        self._graph, self._trial, self._title, self._tell = graph, trial, title, progress
        self._now, self._deadline_s = now, deadline_s
        self._spent: set[tuple[int, str]] = set()

    def settle(self, slices: list[Slice]) -> list[Slice]:
        """Return the series with every prefix tried; after the deadline the rest is returned as untried."""
        done: list[Slice] = []
        todo = list(slices)
        applied: frozenset[int] = frozenset()
        while todo:
            if self._now() >= self._deadline_s:
                self._tell(f"time is up: {len(todo)} slices have not been tried")
                return done + todo
            self._trial.ahead(_prefixes(applied, todo[: self._trial.places]))
            item = todo[0]
            outcome = self._trial.of(applied | set(item.atoms))
            state = "passes" if outcome.passed else "fails"
            self._tell(f"slice {len(done) + 1} {state}{', flaky' if outcome.flaky else ''}, {len(todo) - 1} to go: {item.title}")  # fmt: skip  # noqa: E501
            if outcome.passed or len(todo) == 1:
                done.append(replace(item, built=outcome.built, tested=outcome.tested))
                applied |= set(item.atoms)
                todo = todo[1:]
            else:
                todo = self._by_diagnostics(todo, outcome) or self._by_deltas(applied, todo) or self._join(todo, 1)
        return done

    def _by_diagnostics(self, todo: list[Slice], outcome: Outcome) -> list[Slice] | None:
        """Return the series with the slice that the diagnostics call for in front or taken in, or None."""
        item = todo[0]
        for name, wanted in self._called_for(item, outcome.output):
            for number, other in enumerate(todo[1:], 1):
                atoms = [atom for atom in other.atoms if atom in wanted]
                key = (min(item.atoms), f"{name} {min(other.atoms)}")
                if not atoms or key in self._spent:
                    continue
                self._spent.add(key)
                why = f"the build of the one without the other misses {name}"
                self._learn("before", atoms[0], item.atoms[0], why)
                first = self._needed_first(todo, number)
                if 0 in first:
                    return self._join(todo, number)
                moved = [todo[n] for n in sorted(first | {number})]
                return moved + [s for s in todo if s not in moved]
        return None

    def _called_for(self, item: Slice, output: str) -> Iterator[tuple[str, set[int]]]:
        """Yield what is missing and the atoms of the whole change that would bring it or no longer need it."""
        facts, change = self._graph.facts, self._graph.change
        for symbol in sorted(missing_symbols(output)):
            bring = {n for n, fact in enumerate(facts) if symbol in fact.defines}
            bring = bring or {n for n, fact in enumerate(facts) if symbol in fact.novel}
            if any(symbol in facts[atom].removed for atom in item.atoms):
                bring |= {n for n, fact in enumerate(facts) if symbol in fact.removed}
            yield symbol.decode(), bring
        for path in sorted(missing_files(output)):
            bring = {a.id for a in change.atoms if (new := change.files[a.file].new_path) and ("/" + new).endswith("/" + path)}  # fmt: skip  # noqa: E501
            yield path, bring

    def _needed_first(self, todo: list[Slice], number: int) -> set[int]:
        """Return which slices before `number` must stay before it."""
        place = {atom: n for n, item in enumerate(todo) for atom in item.atoms}
        before: dict[int, set[int]] = {}
        for first, later in self._graph.edges:
            one, two = place.get(first), place.get(later)
            if one is not None and two is not None and one != two:
                before.setdefault(two, set()).add(one)
        found: set[int] = set()
        stack = [number]
        while stack:
            for one in before.get(stack.pop(), set()) - found:
                if one < number:
                    found.add(one)
                    stack.append(one)
        return found

    def _by_deltas(self, applied: frozenset[int], todo: list[Slice]) -> list[Slice] | None:
        """Return the series in which the first slice has taken in a small set of later atoms that makes it pass."""
        start = applied | set(todo[0].atoms)
        later = {atom for item in todo[1:] for atom in item.atoms}
        units = [tuple(a for a in weld if a in later) for weld in self._graph.welds]
        place = {atom: n for n, item in enumerate(todo) for atom in item.atoms}
        units = sorted((unit for unit in units if unit), key=lambda unit: (place[unit[0]], unit[0]))
        groups = [tuple(item.atoms) for item in todo[1:]]

        def passes(chosen: list[tuple[int, ...]]) -> bool:
            return self._now() < self._deadline_s and self._trial.of(start.union(*map(set, chosen))).passed

        found = smallest(groups, passes, TRIES)
        if found is None:
            return None
        inside = {atom for group in found for atom in group}
        parts = [unit for unit in units if unit[0] in inside]
        if len(parts) > len(found):
            found = smallest(parts, passes, TRIES) or found
        taken = {atom for group in found for atom in group}
        for atom in sorted(taken):
            self._learn("with", atom, todo[0].atoms[0], "delta debugging: the one does not pass without the other")
        rest = [replace(s, atoms=left) for s in todo[1:] if (left := tuple(a for a in s.atoms if a not in taken))]
        return [self._renamed(todo[0], {*todo[0].atoms, *taken}), *[self._after(old, todo) for old in rest]]

    def _after(self, item: Slice, todo: list[Slice]) -> Slice:
        """Return a slice with a title that fits what is left of it."""
        return item if any(item.atoms == old.atoms for old in todo) else self._renamed(item, item.atoms)

    def _join(self, todo: list[Slice], number: int) -> list[Slice]:
        """Return the series in which the first slice has become one with slice `number`."""
        joined = self._renamed(todo[0], {*todo[0].atoms, *todo[number].atoms})
        self._learn("with", todo[number].atoms[0], todo[0].atoms[0], "neither passes before the other")
        return [joined, *todo[1:number], *todo[number + 1 :]]

    def _renamed(self, item: Slice, atoms: Collection[int]) -> Slice:
        ordered = tuple(sorted(atoms))
        return replace(item, atoms=ordered, title=self._title(ordered) if self._title else item.title)

    def _learn(self, kind: str, one: int, two: int, why: str) -> None:
        self._graph.learned.append(Learned(kind, one, two, why))
        if kind == "before":
            self._graph.edges[(one, two)] = why


def _prefixes(applied: frozenset[int], items: list[Slice]) -> list[frozenset[int]]:
    found = []
    for item in items:
        applied = applied | set(item.atoms)
        found.append(applied)
    return found
