"""Memory of which a part is in criu's images and a part was read by limosa: one page map, and one list of runs."""

import heapq

from limosa.adapters.criu import pagemap
from limosa.model import page_runs
from limosa.model.commit_store import PAGE_BYTES, PageMap
from limosa.ports.commit_store import CommitWriter
from limosa.ports.written_pages import ProcessMemory


def page_map(
    writer: CommitWriter, dumped: pagemap.Pagemap, view: memoryview, memory: ProcessMemory, parent: PageMap
) -> PageMap:
    """Return a process's pages: those that were followed as `memory` says, and what else is in criu's `view`.

    `parent` is what the parent commit has of it; only what was written since, or was not followed, is stored.
    Raises: ValueError: `memory` has neither a page nor a parent that could have it.
    """
    present = memory.present()
    rest = _rest(dumped, present)
    pieces = memory.pieces()
    base, kept_runs = memory.kept() or (parent if memory.since_parent else PageMap(), [])
    if not memory.since_parent:
        copied = page_runs.union(kept_runs, ((first, n_pages) for first, n_pages, _ in pieces))
        missing = list(page_runs.left(page_runs.placed(present), copied))
        if missing:
            raise ValueError(f"page {missing[0][0]:#x} of process {memory.pid} was not copied")
    writes = heapq.merge(
        ((first, content) for first, _, content in pieces),
        ((first, view[at : at + n_pages * PAGE_BYTES]) for first, n_pages, at in rest),
        key=lambda write: write[0],
    )
    gone = list(page_runs.gaps(heapq.merge(present, ((first, n_pages) for first, n_pages, _ in rest))))
    return writer.put_pages(base, writes, gone)


def runs(dumped: pagemap.Pagemap, memory: ProcessMemory) -> list[page_runs.Run]:
    """Return where all of a process's pages are, in the order of their addresses."""
    present = memory.present()
    rest = ((first, n_pages) for first, n_pages, _ in _rest(dumped, present))
    return list(heapq.merge(present, rest))


def _rest(dumped: pagemap.Pagemap, present: list[page_runs.Run]) -> list[page_runs.Placed]:
    """Return what only criu has; one that cannot skip has dumped everything."""
    return list(page_runs.left(sorted(page_runs.placed(dumped.runs)), present))
