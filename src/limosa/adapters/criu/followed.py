"""Memory of which a part is in criu's images and a part was read by limosa: one page map, and one pagemap image."""

import heapq
from collections.abc import Iterable, Iterator
from typing import Final

from limosa.adapters.criu import pagemap
from limosa.model.commit_store import MAX_PAGE, PAGE_BYTES, PageMap
from limosa.ports.commit_store import CommitWriter
from limosa.ports.written_pages import ProcessMemory, Run

_START: Final = 0


def page_map(
    writer: CommitWriter, dumped: pagemap.Pagemap, view: memoryview, memory: ProcessMemory, parent: PageMap
) -> PageMap:
    """Return a process's pages: those that were followed as `memory` says, and what else is in criu's `view`.

    `parent` is what the parent commit has of it; only what was written since, or was not followed, is stored.
    """
    present = memory.present()
    rest = list(_left(sorted(_placed(dumped)), present))
    writes = heapq.merge(
        _cut(memory.written(), memory.content),
        ((first, view[at : at + n_pages * PAGE_BYTES]) for first, n_pages, at in rest),
        key=lambda write: write[0],
    )
    base = parent if memory.since_parent else PageMap()
    gone = list(_gaps(heapq.merge(present, ((first, n_pages) for first, n_pages, _ in rest))))
    return writer.put_pages(base, writes, gone)


def image(dumped: pagemap.Pagemap, memory: ProcessMemory) -> bytes:
    """Return the pagemap image of all of a process's pages, in the order of their addresses."""
    present = memory.present()
    rest = ((first, n_pages) for first, n_pages, _ in _left(sorted(_placed(dumped)), present))
    return pagemap.encode(pagemap.Pagemap(dumped.pages_id, list(heapq.merge(present, rest))))


def _placed(dumped: pagemap.Pagemap) -> Iterator[tuple[int, int, int]]:
    """Yield each run with where its content begins in the pages image."""
    at = 0
    for first, n_pages in dumped.runs:
        yield first, n_pages, at
        at += n_pages * PAGE_BYTES


def _left(runs: list[tuple[int, int, int]], without: list[Run]) -> Iterator[tuple[int, int, int]]:
    """Yield what of sorted runs is not in others; a criu that cannot skip has dumped everything."""
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


def _cut(runs: list[Run], content: memoryview) -> Iterator[tuple[int, memoryview]]:
    at = 0
    for first, n_pages in runs:
        yield first, content[at : at + n_pages * PAGE_BYTES]
        at += n_pages * PAGE_BYTES


def _gaps(runs: Iterable[Run]) -> Iterator[Run]:
    end = _START
    for first, n_pages in runs:
        if first > end:
            yield end, first - end
        end = max(end, first + n_pages)
    if end < MAX_PAGE:
        yield end, MAX_PAGE - end
