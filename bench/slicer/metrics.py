"""How alike two groupings and two orders are."""

import math
import random
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from math import comb


def adjusted_rand(one: Sequence[int], two: Sequence[int]) -> float:
    """Return the adjusted Rand index of two labelings. Source: Hubert and Arabie, 1985."""
    both, left, right, pairs = _pair_counts(one, two)
    expected = left * right / pairs if pairs else 0.0
    most = (left + right) / 2
    return 1.0 if most == expected else (both - expected) / (most - expected)


def pairwise_f1(truth: Sequence[int], found: Sequence[int]) -> float:
    """Return the F1 of "these two belong together", over all pairs."""
    both, left, right, _ = _pair_counts(truth, found)
    return 2 * both / (left + right) if left + right else 1.0


def _pair_counts(one: Sequence[int], two: Sequence[int]) -> tuple[int, int, int, int]:
    both = sum(comb(n, 2) for n in Counter(zip(one, two, strict=True)).values())
    left, right = (sum(comb(n, 2) for n in Counter(side).values()) for side in (one, two))
    return both, left, right, comb(len(one), 2)


def normalized_information(one: Sequence[int], two: Sequence[int]) -> float:
    """Return the mutual information of two labelings over the mean of their entropies; 1 when both say nothing."""
    count = len(one)
    joint, left, right = Counter(zip(one, two, strict=True)), Counter(one), Counter(two)
    mutual = sum(n / count * math.log(n * count / (left[a] * right[b])) for (a, b), n in joint.items())
    entropies = [-sum(n / count * math.log(n / count) for n in side.values()) for side in (left, right)]
    mean = sum(entropies) / 2
    return mutual / mean if mean > 1e-12 else 1.0


def tau_counts(pairs: Iterable[tuple[int, int]], truth: Sequence[int], found: Sequence[int]) -> Counter[str]:
    """Return how many of `pairs`, which differ in `truth`, are in the same order in `found`, reversed, or tied."""
    counts: Counter[str] = Counter()
    for a, b in pairs:
        sign = (truth[a] - truth[b]) * (found[a] - found[b])
        counts["same" if sign > 0 else "reversed" if sign < 0 else "tied"] += 1
    return counts


def tau_b(counts: Counter[str]) -> float:
    """Return Kendall's tau-b of counted pairs without ties in the truth; 0 where nothing can be said."""
    decided = counts["same"] + counts["reversed"]
    total = decided + counts["tied"]
    return (counts["same"] - counts["reversed"]) / math.sqrt(total * decided) if decided else 0.0


def interval(values: Sequence[float], rounds: int = 2000) -> tuple[float, float]:
    """Return the 95 % interval of the mean, by drawing the values again with a fixed seed (bootstrap)."""
    chance = random.Random(0)
    means = sorted(statistics.fmean(chance.choices(values, k=len(values))) for _ in range(rounds))
    return means[rounds // 40], means[-1 - rounds // 40]
