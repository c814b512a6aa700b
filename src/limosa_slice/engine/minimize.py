"""Delta debugging: a small set of parts with which a test passes. Source: Zeller and Hildebrandt, 2002, "ddmin"."""

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def smallest(parts: Sequence[T], passes: Callable[[list[T]], bool], tries: int) -> list[T] | None:
    """Return a set of `parts` that passes and from which, if `tries` sufficed, nothing can be left out.

    First the shortest beginning of `parts` that passes is looked for by bisection, then ddmin reduces it. All of
    `parts` are taken to pass and are not tried. Returns: None when no smaller set than that was found.
    """
    low, high = 0, len(parts)  # the first `high` parts pass, the first `low` do not
    while high - low > 1 and tries:
        middle = (low + high) // 2
        tries -= 1
        if passes(list(parts[:middle])):
            high = middle
        else:
            low = middle
    kept = list(parts[:high])
    pieces = 2
    while len(kept) > 1 and tries:
        size = max(1, len(kept) // pieces)
        chunks = [kept[n : n + size] for n in range(0, len(kept), size)]
        for number in range(len(chunks)):
            without = [part for n, chunk in enumerate(chunks) if n != number for part in chunk]
            if not tries:
                break
            tries -= 1
            if without and passes(without):
                kept, pieces = without, max(2, pieces - 1)
                break
        else:
            if size == 1:
                break
            pieces = min(len(kept), pieces * 2)
    return kept if len(kept) < len(parts) else None
