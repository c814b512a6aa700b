"""Ranges of a file that have data, in whole pages. Source: lseek(2), SEEK_DATA and SEEK_HOLE."""

import errno
import os
from collections.abc import Iterable, Iterator

from limosa.model.hints import Final

PAGE_BYTES: Final = 4096
_LAST_PAGE: Final = 1 << 51

Ranges = list[tuple[int, int]]
"""(first byte, bytes), in order and not overlapping."""


def data_ranges(descriptor: int, size_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges of a file of `size_bytes` that may have data, in whole pages; the rest are holes."""
    end = 0
    while end < size_bytes:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError as none_left:
            if none_left.errno == errno.ENXIO:
                return
            raise
        stop = os.lseek(descriptor, start, os.SEEK_HOLE)
        first, end = start - start % PAGE_BYTES, stop + -stop % PAGE_BYTES
        yield first, end - first


def whole_pages(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return ranges widened to whole pages, sorted, and joined where they touch."""
    found: Ranges = []
    for first, size in sorted(ranges):
        start, end = first - first % PAGE_BYTES, first + size + -(first + size) % PAGE_BYTES
        if found and start <= found[-1][0] + found[-1][1]:
            start, end = found[-1][0], max(end, found[-1][0] + found[-1][1])
            found.pop()
        found.append((start, end - start))
    return found


def common(one: Ranges, other: Ranges) -> Ranges:
    """Return what lies in both."""
    found: Ranges = []
    here, there = 0, 0
    while here < len(one) and there < len(other):
        start = max(one[here][0], other[there][0])
        end = min(sum(one[here]), sum(other[there]))
        if start < end:
            found.append((start, end - start))
        if sum(one[here]) < sum(other[there]):
            here += 1
        else:
            there += 1
    return found


def page_holes(data: Ranges) -> Ranges:
    """Return the runs (first page, pages) outside of ranges of whole pages, up to the largest file's end."""
    found: Ranges = []
    page = 0
    for first, size in data:
        if first // PAGE_BYTES > page:
            found.append((page, first // PAGE_BYTES - page))
        page = (first + size) // PAGE_BYTES
    return [*found, (page, _LAST_PAGE - page)]
