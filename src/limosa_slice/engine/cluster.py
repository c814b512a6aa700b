"""Average-linkage clustering of atoms over the log-odds that they belong together, within a limit of lines."""

import heapq
from collections import defaultdict

from limosa_slice.engine import evidence
from limosa_slice.model.change import Change

THRESHOLD = -0.2  # chosen on the tuning half


def log_odds(features: dict[str, float]) -> float:
    """Return what the evidence of a pair adds up to, without the bias."""
    return sum(evidence.WEIGHTS.get(name, 0.0) * value for name, value in features.items())


def cluster(
    change: Change,
    facts: list[evidence.Facts],
    welds: list[list[int]],
    size_lines: int,
    threshold: float = THRESHOLD,
) -> list[list[int]]:
    """Return groups of atoms. `welds` start as one; a merge beyond 1.6 times `size_lines` is not made."""
    spread = evidence.spread_of(facts)
    group_of = {atom: number for number, group in enumerate(welds) for atom in group}
    members = dict(enumerate(welds))
    lines = {n: sum(change.lines(change.atoms[a]) for a in group) for n, group in members.items()}
    links: dict[int, dict[int, float]] = defaultdict(dict)
    for a, b in evidence.candidates(change, facts, spread):
        one, two = group_of[a], group_of[b]
        if one != two:
            value = log_odds(evidence.pair_features(change, facts, spread, a, b))
            links[one][two] = links[two][one] = links[one].get(two, 0.0) + value
    heap: list[tuple[float, int, int]] = []

    def push(one: int, two: int) -> None:
        mean = evidence.BIAS + links[one][two] / (len(members[one]) * len(members[two]))
        if mean >= threshold and lines[one] + lines[two] <= 1.6 * size_lines:
            heapq.heappush(heap, (-mean, min(one, two), max(one, two)))

    for one in list(links):
        for two in list(links[one]):
            if one < two:
                push(one, two)
    fresh = len(members)
    while heap:
        _, one, two = heapq.heappop(heap)
        if one not in members or two not in members:
            continue
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
    return [sorted(group) for group in members.values()]
