"""Group atoms by what each pair is worth: average linkage, cut where the groups are expected to be right.

Average linkage joins the two groups with the highest mean probability, over and over. Each step is a clustering; the one is
taken whose adjusted Rand index against the unknown true one is expected to be highest, when each pair is together with its
probability (Fritsch and Ickstadt, 2009, "PEAR"). So there is no threshold: a change of one subject stays whole, one of many falls apart.
"""  # noqa: E501

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterator

from limosa_slice.engine.affinity import UNNAMED, scorer
from limosa_slice.engine.evidence import Evidence
from limosa_slice.model.change import Role

SLACK = 1.6  # beyond so many times the lines that are asked for, a join has to be SURE
SURE = 0.6
TELLING = 0.1  # below this the expected index says nothing (one subject, or two atoms), and EVEN decides
EVEN = 0.5
LEAST = 0.02  # groups with a lower mean are never joined


def cluster(
    evidence: Evidence, welds: list[list[int]], size_lines: int, score: Callable[[list[float]], float] | None = None
) -> list[list[int]]:
    """Return groups of atoms. `welds` start as one; a join beyond SLACK times `size_lines` must be SURE."""
    score = score or scorer()
    linkage = Linkage(evidence, welds, SLACK * size_lines)
    moves = {atom.id for atom in evidence.change.atoms if atom.role in (Role.RENAME, Role.MODE)}
    for a, b in evidence.candidates():
        if (a in moves) == (b in moves):  # a move is a slice of its own
            linkage.add(a, b, score(evidence.features(a, b)))
    return linkage.best()


class Linkage:
    """Average linkage over sparse probabilities; a pair that was never added is worth UNNAMED."""

    def __init__(self, evidence: Evidence, welds: list[list[int]], most_lines: float) -> None:
        change = evidence.change
        self._most_lines = most_lines
        self._group_of = {atom: number for number, group in enumerate(welds) for atom in group}
        self._members = dict(enumerate(map(list, welds)))
        self._lines = {n: sum(change.lines(change.atoms[a]) for a in group) for n, group in enumerate(welds)}
        # Sums are kept as what exceeds UNNAMED, so a missing pair is worth zero.
        self._links: dict[int, dict[int, float]] = defaultdict(dict)
        count = len(change.atoms)
        self._pairs = count * (count - 1) / 2
        self._expected = UNNAMED * self._pairs  # pairs that are together in the true clustering
        self._inside = sum(len(group) * (len(group) - 1) / 2 for group in welds)
        self._right = self._inside  # of those inside, how many are expected to be right; a weld is
        self._expected += self._inside * (1 - UNNAMED)

    def add(self, a: int, b: int, probability: float) -> None:
        """Take in the probability of one pair."""
        one, two = self._group_of[a], self._group_of[b]
        if one != two:
            value = probability - UNNAMED
            self._links[one][two] = self._links[two][one] = self._links[one].get(two, 0.0) + value
            self._expected += value

    def best(self) -> list[list[int]]:
        """Return the clustering along the way up whose expected adjusted Rand index is highest."""
        joins: list[tuple[int, int]] = []
        start = {number: list(group) for number, group in self._members.items()}
        best, taken, sure = self._rand(), 0, 0
        for one, two, mean in self._join_all():
            joins.append((one, two))
            sure = len(joins) if mean >= EVEN and sure == len(joins) - 1 else sure
            value = self._rand()
            if value > best + 1e-12:
                best, taken = value, len(joins)
        fresh = len(start)
        for one, two in joins[: taken if best >= TELLING else sure]:
            start[fresh] = start.pop(one) + start.pop(two)
            fresh += 1
        return [sorted(group) for group in start.values()]

    def _rand(self) -> float:
        chance = self._expected * self._inside / self._pairs if self._pairs else 0.0
        most = (self._expected + self._inside) / 2
        return (self._right - chance) / (most - chance) if most - chance > 1e-9 else 0.0

    def _join_all(self) -> Iterator[tuple[int, int, float]]:
        heap: list[tuple[float, int, int]] = []
        members, lines, links = self._members, self._lines, self._links

        def push(one: int, two: int) -> None:
            mean = UNNAMED + links[one][two] / (len(members[one]) * len(members[two]))
            if mean >= (LEAST if lines[one] + lines[two] <= self._most_lines else SURE):
                heapq.heappush(heap, (-mean, min(one, two), max(one, two)))

        for one in list(links):
            for two in list(links[one]):
                if one < two:
                    push(one, two)
        fresh = len(members)
        while heap:
            mean, one, two = heapq.heappop(heap)
            if one not in members or two not in members:
                continue
            pairs = len(members[one]) * len(members[two])
            self._inside += pairs
            self._right += -mean * pairs
            members[fresh] = members.pop(one) + members.pop(two)
            lines[fresh] = lines[one] + lines[two]
            for old in (one, two):
                for other, value in links.pop(old).items():
                    links[other].pop(old, None)
                    if other in members:
                        links[fresh][other] = links[other][fresh] = links[fresh].get(other, 0.0) + value
            for other in links[fresh]:
                push(fresh, other)
            fresh += 1
            yield one, two, -mean
