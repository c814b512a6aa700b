"""One process that is served: its userfaultfd, what it is owed, and who waits."""

import errno
import os
import time
from collections.abc import Iterator

from limosa.adapters.page_server.source import BLOCK_PAGES, PageSource
from limosa.linux import missing_pages
from limosa.model.commit_store import PAGE_BYTES, PageMap
from limosa.model.hints import Final
from limosa.model.owed_pages import OwedPages
from limosa.ports.page_servers import LazyMemory

_ZERO_PAGES: Final = 16  # at a time where nothing was: a program that begins to use its memory goes on there
_ROOM_PAUSE_S: Final = 0.05  # until memory is asked for again that there was none of


class Served:
    """A process, or what it was forked into."""

    def __init__(self, descriptor: int, pages: PageMap, owed: OwedPages, memory: LazyMemory | None = None) -> None:
        """`memory` is what is known of one that is being restored."""
        self.descriptor, self.owed = descriptor, owed
        self.gone = False
        self._pages, self._memory = pages, memory
        self._waiting: list[int] = []  # pages on which somebody waits, who was not served yet
        self._again_at = 0.0

    def close(self) -> None:
        """Let everybody go on, with zeros for whatever is not there: nothing may be owed."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def waits(self) -> bool:
        """Say whether somebody waits."""
        return bool(self._waiting) and not self.gone

    def make_sure(self) -> None:
        """Have what is owed waited for, and nothing else; before anything runs. Raises: OSError: that cannot be."""
        if self._memory is None:
            return
        for first, end in self._memory.areas:
            missing_pages.register(self.descriptor, first, end - first)
        for first, end in self._memory.others:
            try:
                missing_pages.unregister(self.descriptor, first, end - first)
            except OSError:
                continue  # zeros come from us then

    def hear(self) -> Iterator["Served"]:
        """Read what is told, and yield the children that it was forked into.

        Raises: OSError: EMFILE: a child cannot be served, so nobody may go on.
        """
        for what, first, second, third in missing_pages.read(self.descriptor):
            if what == missing_pages.FAULT:
                self._waiting.append(second // PAGE_BYTES)
            elif what == missing_pages.FORK:
                yield Served(first, self._pages, self.owed.copied())
            elif what == missing_pages.REMAP:
                self.owed.move(first // PAGE_BYTES, second // PAGE_BYTES, third // PAGE_BYTES)
            else:
                self.owed.settle(first // PAGE_BYTES, second // PAGE_BYTES)

    def serve(self, source: PageSource) -> None:
        """Give those who wait what they wait for; who cannot be served now waits on."""
        if time.monotonic() < self._again_at:
            return
        waiting, self._waiting = self._waiting, []
        for page in waiting:
            if self.gone:
                return
            run = self.owed.at(page)
            if run is None:
                following = self.owed.following(page)
                end = page + _ZERO_PAGES
                served = self._put(page, end if following is None else min(end, following[0]), 0)
            else:
                first, end, commits_page = run
                block = (commits_page + page - first) // BLOCK_PAGES * BLOCK_PAGES - commits_page + first
                served = self._give(source, max(first, block), min(end, block + BLOCK_PAGES), page)
            if not served:
                self._waiting.append(page)

    def give_next(self, source: PageSource, page: int) -> int | None:
        """Give what is owed at `page` or after it; return where to go on, None if nothing is owed from there on."""
        run = self.owed.following(page)
        if run is None:
            return None
        if time.monotonic() >= self._again_at:
            first, end, commits_page = run
            room = BLOCK_PAGES - commits_page % BLOCK_PAGES
            self._give(source, first, min(end, first + room), first)
        return run[0] + 1

    def _give(self, source: PageSource, first: int, end: int, wanted: int) -> bool:
        """Put pages that are owed there; say whether `wanted` is."""
        run = self.owed.at(first)
        if run is None:
            return False
        full = source.load(self._pages, run[2] + first - run[0], end - first)
        if self._put(first, end, source.address if full else 0):
            return True
        return self.owed.at(wanted) is None and not self.gone

    def _put(self, first: int, end: int, address: int) -> bool:
        """Put pages from `address` (0: zeros) there, and owe them no more; False if something was in the way."""
        at = first
        while at < end:
            source = address + (at - first) * PAGE_BYTES if address else 0
            done, why = self._put_once(at, end - at, source)
            if why == errno.ENOENT and end - at > 1:  # two mappings by now, of which each gets its own
                done, why = self._put_once(at, 1, source)
            if not done and not self._passes(at, why):
                return False
            self.owed.settle(at, at + max(done, 1))
            at += max(done, 1)
        return True

    def _put_once(self, at: int, n_pages: int, address: int) -> tuple[int, int]:
        first, n_bytes = at * PAGE_BYTES, n_pages * PAGE_BYTES
        if address:
            done, why = missing_pages.copy(self.descriptor, first, address, n_bytes)
        else:
            done, why = missing_pages.fill_with_zeros(self.descriptor, first, n_bytes)
        return done // PAGE_BYTES, why

    def _passes(self, at: int, why: int) -> bool:
        """Say whether the page that could not be put there is not to be: it is there, or its place is gone."""
        if why in (errno.EEXIST, errno.ENOENT):
            missing_pages.wake(self.descriptor, at * PAGE_BYTES, PAGE_BYTES)
            return True
        if why == errno.ESRCH:
            self.gone = True
        elif why == errno.ENOMEM:
            self._again_at = time.monotonic() + _ROOM_PAUSE_S
        elif why != errno.EAGAIN:
            raise OSError(why, os.strerror(why), "userfaultfd")
        return False
