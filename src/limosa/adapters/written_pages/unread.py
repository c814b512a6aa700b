"""Ranges of a process's memory, cut into batches that a writer reads when it gets to them."""

from array import array
from collections.abc import Iterator

from limosa.linux import process_memory
from limosa.model.commit_store import BATCH_PAGES, PAGE_BYTES
from limosa.model.page_runs import Run
from limosa.ports.commit_store import Unread


class Gone(Exception):
    """A part of the memory was not there any more when it was read."""


def of(pid: int, starts: "array[int]", ends: "array[int]") -> Iterator[Unread]:
    """Yield the batches of sorted ranges; reading one raises Gone if a part of it is not there."""
    runs: list[Run] = []
    left = BATCH_PAGES
    for start, end in zip(starts, ends, strict=True):
        first, n_pages = start // PAGE_BYTES, (end - start) // PAGE_BYTES
        while n_pages:
            taken = min(n_pages, left)
            runs.append((first, taken))
            first, n_pages, left = first + taken, n_pages - taken, left - taken
            if left == 0:
                yield _batch(pid, runs)
                runs, left = [], BATCH_PAGES
    if runs:
        yield _batch(pid, runs)


def _batch(pid: int, runs: list[Run]) -> Unread:
    def read(into: memoryview) -> None:
        starts = array("Q", [first * PAGE_BYTES for first, _ in runs])
        ends = array("Q", [(first + n_pages) * PAGE_BYTES for first, n_pages in runs])
        try:
            process_memory.read_ranges(pid, starts, ends, into)
        except OSError as failed:
            raise Gone(f"process {pid}: {failed}") from failed

    return Unread(tuple(runs), read)
