"""Pages of a process that are not in its memory yet, by where they are now, and where they come from.

A process may move them, give them up, or have a child that is owed the same. What is not owed is zero, or there.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator

from limosa.model.page_runs import Run

Owed = tuple[int, int, int]
"""First page, end, and the page that the first one is in the commit."""


class OwedPages:
    """Runs that are sorted and apart from each other."""

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        """`runs` are sorted; each page is the same one in the commit."""
        self._runs: list[Owed] = [(first, first + n_pages, first) for first, n_pages in runs]

    def __bool__(self) -> bool:
        """Say whether any page is owed."""
        return bool(self._runs)

    def __iter__(self) -> Iterator[Owed]:
        """Yield what is owed."""
        return iter(self._runs)

    def n_pages(self) -> int:
        """Return how many pages are owed."""
        return sum(end - first for first, end, _ in self._runs)

    def copied(self) -> "OwedPages":
        """Return the same again, which goes its own way from now on."""
        other = OwedPages()
        other._runs = list(self._runs)
        return other

    def at(self, page: int) -> Owed | None:
        """Return the run that has a page, None if it is not owed."""
        place = bisect_right(self._runs, (page, 1 << 62, 0)) - 1
        if place >= 0 and self._runs[place][1] > page:
            return self._runs[place]
        return None

    def following(self, page: int) -> Owed | None:
        """Return what is owed from `page` on: its run, or the rest of it; None if nothing is."""
        place = bisect_right(self._runs, (page, 1 << 62, 0)) - 1
        if place >= 0 and self._runs[place][1] > page:
            first, end, source = self._runs[place]
            return page, end, source + page - first
        return self._runs[place + 1] if place + 1 < len(self._runs) else None

    def settle(self, first: int, end: int) -> list[Owed]:
        """Owe nothing any more from page `first` up to `end`; return what was owed there."""
        if first >= end:
            return []
        low = bisect_right(self._runs, (first, 1 << 62, 0)) - 1
        if low < 0 or self._runs[low][1] <= first:
            low += 1
        high = bisect_left(self._runs, (end, 0, 0))
        taken, kept = [], []
        for run_first, run_end, source in self._runs[low:high]:
            if run_first < first:
                kept.append((run_first, first, source))
            if run_end > end:
                kept.append((end, run_end, source + end - run_first))
            inner_first = max(first, run_first)
            taken.append((inner_first, min(end, run_end), source + inner_first - run_first))
        self._runs[low:high] = kept
        return taken

    def move(self, first: int, to: int, n_pages: int) -> None:
        """Owe at `to` what was owed at `first`; what was owed there is not any more."""
        moved = self.settle(first, first + n_pages)
        self.settle(to, to + n_pages)
        for run_first, run_end, source in moved:
            insort(self._runs, (run_first - first + to, run_end - first + to, source))
