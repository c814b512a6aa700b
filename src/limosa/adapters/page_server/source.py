"""Where pages come from: the commit store, by blocks, into one buffer that the kernel copies from."""

import ctypes
import mmap
from bisect import bisect_right
from collections import OrderedDict

from limosa.model.commit_store import PAGE_BYTES, PageMap, PageRun
from limosa.model.hints import Final
from limosa.ports.commit_store import CommitReader

BLOCK_PAGES: Final = 64  # what a writer puts into a frame: less would decompress it again
_WINDOW_PAGES: Final = 16 * BLOCK_PAGES  # whose places are looked up at once
_MOST_WINDOWS: Final = 256


class PageSource:
    """Pages of one commit."""

    def __init__(self, reader: CommitReader) -> None:
        self._reader = reader
        self._buffer = mmap.mmap(-1, BLOCK_PAGES * PAGE_BYTES)
        self._view = memoryview(self._buffer)
        self._windows: OrderedDict[tuple[PageMap, int], list[PageRun]] = OrderedDict()
        self.address: Final = ctypes.addressof(ctypes.c_char.from_buffer(self._buffer))

    def load(self, pages: PageMap, first_page: int, n_pages: int) -> bool:
        """Have pages at `address`; say whether any is not zero. Raises: as `CommitReader`.

        They are of one block: of BLOCK_PAGES pages from a multiple of that on.
        """
        done = 0
        end_page = first_page + n_pages
        runs = self._window(pages, first_page // _WINDOW_PAGES)
        for run in runs[max(0, bisect_right(runs, first_page, key=_first) - 1) :]:
            low, high = max(run.first_page, first_page), min(run.first_page + run.n_pages, end_page)
            if low >= high:
                if run.first_page >= end_page:
                    break
                continue
            part = PageRun(low, high - low, run.frame, run.slot + low - run.first_page)
            at, end = (low - first_page) * PAGE_BYTES, (high - first_page) * PAGE_BYTES
            self._view[done:at] = bytes(at - done)
            self._view[at:end] = self._reader.read_run(part)
            done = end
        if done == 0:
            return False
        self._view[done : n_pages * PAGE_BYTES] = bytes(n_pages * PAGE_BYTES - done)
        return True

    def _window(self, pages: PageMap, number: int) -> list[PageRun]:
        key = (pages, number)
        known = self._windows.get(key)
        if known is None:
            first = number * _WINDOW_PAGES
            known = self._windows[key] = list(self._reader.page_runs(pages, first, first + _WINDOW_PAGES))
            if len(self._windows) > _MOST_WINDOWS:
                self._windows.popitem(last=False)
        else:
            self._windows.move_to_end(key)
        return known


def _first(run: PageRun) -> int:
    return run.first_page
