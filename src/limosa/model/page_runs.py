"""Runs of pages, sorted and apart from each other: what is left of them, and what lies between them."""

from collections.abc import Iterable, Iterator, Sequence

from limosa.model.commit_store import MAX_PAGE, PAGE_BYTES
from limosa.model.hints import Final

Run = tuple[int, int]
"""First page, pages."""

Placed = tuple[int, int, int]
"""First page, pages, and at which byte of some content they begin."""

_PAGE_SHIFT: Final = 12


def joined(starts: Iterable[int], ends: Iterable[int]) -> list[Run]:
    """Return ranges of bytes, sorted, as runs; neighbours become one."""
    runs: list[Run] = []
    first = last = -1
    for start, end in zip(starts, ends, strict=True):
        if start == last:
            last = end
            continue
        if last > first:
            runs.append((first >> _PAGE_SHIFT, (last - first) >> _PAGE_SHIFT))
        first, last = start, end
    if last > first:
        runs.append((first >> _PAGE_SHIFT, (last - first) >> _PAGE_SHIFT))
    return runs


def union(*lists: Iterable[Run]) -> list[Run]:
    """Return what is in any of sorted runs, which may overlap, as runs that are apart from each other."""
    merged: list[Run] = []
    for first, n_pages in sorted(run for runs in lists for run in runs):
        if merged and first <= sum(merged[-1]):
            start, n_before = merged[-1]
            merged[-1] = (start, max(n_before, first + n_pages - start))
        else:
            merged.append((first, n_pages))
    return merged


def placed(runs: Iterable[Run]) -> Iterator[Placed]:
    """Yield each run with where it is in a content that has them one after the other."""
    at = 0
    for first, n_pages in runs:
        yield first, n_pages, at
        at += n_pages * PAGE_BYTES


def left(runs: Iterable[Placed], without: Sequence[Run]) -> Iterator[Placed]:
    """Yield what of sorted `runs` is not in `without`."""
    position = 0
    for run_first, n_pages, run_at in runs:
        first, end, at = run_first, run_first + n_pages, run_at
        while position < len(without) and sum(without[position]) <= first:
            position += 1
        other = position
        while first < end:
            if other == len(without) or without[other][0] >= end:
                yield first, end - first, at
                break
            other_first, other_end = without[other][0], sum(without[other])
            if other_first > first:
                yield first, other_first - first, at
            at += (other_end - first) * PAGE_BYTES
            first = other_end
            other += 1


def gaps(runs: Iterable[Run]) -> Iterator[Run]:
    """Yield what is in none of sorted `runs`."""
    end = 0
    for first, n_pages in runs:
        if first > end:
            yield end, first - end
        end = max(end, first + n_pages)
    if end < MAX_PAGE:
        yield end, MAX_PAGE - end
