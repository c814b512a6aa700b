"""What the features of a pair are worth: the probability that a person would have put both in one commit.

Boosted trees of a few leaves (engine/forest.py), learnt on the tuning halves of real series and on series of other
repositories (bench/slicer/train.py).
"""

import math
from collections.abc import Callable, Sequence

from limosa_slice.engine import forest

UNNAMED = 0.01  # what a pair is worth that has nothing in common in a large change


def score(features: Sequence[float]) -> float:
    """Return the probability that a pair with these features belongs together."""
    return 1 / (1 + math.exp(-forest.log_odds(features)))


def scorer() -> Callable[[list[float]], float]:
    """Return the function that clustering uses."""
    return score
