"""Plain affinity clustering: what everybody would try first. Nothing is learnt; one threshold for all."""

import heapq
import math
from collections import Counter

from limosa_slice.engine.facts import Facts
from limosa_slice.model.change import Change

THRESHOLD = 0.5  # chosen on the tuning half


def affinity(change: Change, facts: list[Facts]) -> list[int]:
    """Return a label per atom: average linkage over shared rare identifiers, same file and distance, equal edits."""
    count = len(facts)
    spread = Counter(word for fact in facts for word in fact.words)
    value = [[0.0] * count for _ in range(count)]
    for b in range(count):
        for a in range(b):
            one, two = change.atoms[a], change.atoms[b]
            shared = facts[a].words & facts[b].words
            worth = 2 * max((1 / math.log2(spread[w]) for w in shared), default=0.0)
            if one.file == two.file:
                worth += 1 / (1 + abs(one.hunk.new_start - two.hunk.new_start) / 20)
            if facts[a].edit == facts[b].edit != ((), ()):
                worth += 2
            value[a][b] = value[b][a] = worth
    members = {n: [n] for n in range(count)}
    heap = [(-value[a][b], a, b) for b in range(count) for a in range(b) if value[a][b] >= THRESHOLD]
    heapq.heapify(heap)
    while heap:
        mean, kept, gone = heapq.heappop(heap)
        if kept not in members or gone not in members or -mean != value[kept][gone]:
            continue  # out of date: one of the two has grown since
        left, right = len(members[kept]), len(members[gone])
        members[kept] += members.pop(gone)
        for other in members.keys() - {kept}:
            joined = (value[kept][other] * left + value[gone][other] * right) / (left + right)
            value[kept][other] = value[other][kept] = joined
            if joined >= THRESHOLD:
                heapq.heappush(heap, (-joined, min(kept, other), max(kept, other)))
    home = {atom: number for number, group in members.items() for atom in group}
    return [home[atom] for atom in range(count)]
