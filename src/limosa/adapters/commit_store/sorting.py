"""Sort pages into zero ones, known ones, and frames of new ones: one implementation here, one in C, native.py.

Both make the same frames and the same runs of the same pages.
"""

from collections.abc import Callable, Iterable

from limosa.adapters.commit_store import record
from limosa.adapters.commit_store.hashing import Hasher
from limosa.adapters.commit_store.objects import ObjectReader
from limosa.adapters.commit_store.page_index import PageIndex
from limosa.model import page_map, page_runs
from limosa.model.commit_store import FRAME_PAGES, PAGE_BYTES, ObjectId
from limosa.model.hints import Any, Final, Protocol
from limosa.model.value import NamedTuple
from limosa.ports.commit_store import Buffer

_ZERO_PAGE: Final = bytes(PAGE_BYTES)
_PREFIX: Final = record.DIGEST_PREFIX_BYTES

PutFrame = Callable[[bytes, Buffer, Callable[[], None]], ObjectId]


class Counts(NamedTuple):
    """How many pages there were, and what they were; `known` ones were in the store or came before."""

    seen: int = 0
    zero: int = 0
    known: int = 0
    new: int = 0


class Surroundings(NamedTuple):
    """What a sorter asks for known pages, and whom it gives frames: as `Intake.put_frame`."""

    hasher: Hasher
    page_index: PageIndex
    objects: ObjectReader
    put_frame: PutFrame


class Sorter(Protocol):
    """Sorts the pages of one writer."""

    counts: Counts

    @property
    def n_new(self) -> int:
        """How many new pages are remembered."""

    @property
    def n_runs(self) -> int:
        """How many runs wait to be told."""

    def begin(self) -> None:
        """Begin another map: what was not told of the last one is not wanted."""

    def look(self, pages: memoryview) -> Any:
        """Find out about a batch of pages what needs nothing but them; other threads may do so at the same time."""

    def sort(self, runs: Iterable[page_runs.Run], looked: Any) -> None:
        """Take a batch that was looked at: `runs` say where its pages are, and come in order, within it and after.

        The pages are not needed any more when this has returned.
        """

    def finished(self) -> list[page_map.Change]:
        """Close the frame and return the changes since the last call, sorted."""

    def forget(self) -> None:
        """Remember no new pages any more: the index has them. The frame is closed."""


MakeSorter = Callable[[PutFrame], Sorter]


class _Run:
    """Pages beside each other, and where they come to lie beside each other in a frame."""

    __slots__ = ("end_page", "end_slot", "first_page", "frame", "slot")

    def __init__(self, page: int, frame: ObjectId | None, slot: int) -> None:
        self.first_page, self.frame, self.slot = page, frame, slot
        self.end_page, self.end_slot = page + 1, slot + 1


def _place(runs: list[_Run], page: int, frame: ObjectId | None, slot: int) -> None:
    """Add a page to the last run if it goes on from there, else to a new one."""
    if runs:
        last = runs[-1]
        if last.end_page == page and last.end_slot == slot and last.frame == frame:
            last.end_page += 1
            last.end_slot += 1
            return
    runs.append(_Run(page, frame, slot))


class PythonSorter:
    """See `Sorter`."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self.counts = Counts()
        self._closed: dict[bytes, tuple[ObjectId, int]] = {}  # pages of frames that were put
        self._digests: list[bytes] = []
        self._pages: list[bytes] = []
        self._slots: dict[bytes, int] = {}
        self._waiting: list[_Run] = []  # for the id of the frame that is being filled
        self._placed: list[_Run] = []
        self._zero: list[_Run] = []

    @property
    def n_new(self) -> int:
        """See `Sorter`."""
        return len(self._closed) + len(self._slots)

    @property
    def n_runs(self) -> int:
        """See `Sorter`."""
        return len(self._placed) + len(self._zero)

    def begin(self) -> None:
        """See `Sorter`."""
        self._waiting, self._placed, self._zero = [], [], []

    def look(self, pages: memoryview) -> list[bytes]:
        """See `Sorter`."""
        data = bytes(pages)
        return [data[at : at + PAGE_BYTES] for at in range(0, len(data), PAGE_BYTES)]

    def sort(self, runs: Iterable[page_runs.Run], looked: list[bytes]) -> None:
        """See `Sorter`."""
        at = 0
        for first_page, n_pages in runs:
            self._sort(first_page, looked[at : at + n_pages])
            at += n_pages

    def _sort(self, first_page: int, contents: list[bytes]) -> None:
        there = [number for number, content in enumerate(contents) if content != _ZERO_PAGE]
        if len(there) < len(contents):
            for number in sorted(set(range(len(contents))).difference(there)):
                _place(self._zero, first_page + number, None, first_page + number)
        digests = [self._around.hasher.page(contents[number]) for number in there]
        new = 0
        for number, digest, known in zip(there, digests, self._known(digests), strict=True):
            place = known or self._closed.get(digest[:_PREFIX])
            if place is not None:
                _place(self._placed, first_page + number, *place)
                continue
            slot = self._slots.get(digest)
            if slot is None:
                new += 1
                slot = self._slots[digest] = len(self._pages)
                self._digests.append(digest)
                self._pages.append(contents[number])
            _place(self._waiting, first_page + number, None, slot)
            if len(self._pages) == FRAME_PAGES:
                self._close()
        seen, zero, known_before, new_before = self.counts
        n_zero = len(contents) - len(there)
        self.counts = Counts(seen + len(contents), zero + n_zero, known_before + len(there) - new, new_before + new)

    def _known(self, digests: list[bytes]) -> list[tuple[ObjectId, int] | None]:
        """Return (frame, slot) for each digest of a page that the store has, None for the others."""
        prefixes = [digest[:_PREFIX] for digest in digests]
        places = list(map(self._closed.get, prefixes))
        missing = [number for number, place in enumerate(places) if place is None]
        rows = self._around.page_index.find_all([prefixes[number] for number in missing])
        for number, row in zip(missing, rows, strict=True):
            if row is not None:
                frame, here = self._around.objects.directory(row[0])
                if here[row[1] * _PREFIX : (row[1] + 1) * _PREFIX] == prefixes[number]:
                    places[number] = (frame, row[1])
        return places

    def _close(self) -> None:
        if not self._pages:
            return
        frame = self._around.put_frame(b"".join(self._digests), b"".join(self._pages), lambda: None)
        for run in self._waiting:
            run.frame = frame
        self._placed += self._waiting
        self._closed.update((digest[:_PREFIX], (frame, slot)) for slot, digest in enumerate(self._digests))
        self._digests, self._pages, self._slots, self._waiting = [], [], {}, []

    def finished(self) -> list[page_map.Change]:
        """See `Sorter`."""
        self._close()
        runs = sorted(self._placed + self._zero, key=lambda run: run.first_page)
        self._placed, self._zero = [], []
        return [
            page_map.Change(run.first_page, run.end_page - run.first_page, run.frame, run.slot if run.frame else 0)
            for run in runs
        ]

    def forget(self) -> None:
        """See `Sorter`."""
        self._close()
        self._closed.clear()
