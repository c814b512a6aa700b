"""Batches of pages on their way to the sorter: read and digested by threads, sorted in order by the caller."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator

from limosa.adapters.commit_store.sorting import Sorter
from limosa.model.commit_store import BATCH_PAGES, MAX_PAGE, PAGE_BYTES
from limosa.model.hints import TYPE_CHECKING, Any, Final
from limosa.model.page_runs import Run
from limosa.ports.commit_store import Buffer, NewMap, Unread

if TYPE_CHECKING:
    from concurrent.futures import Future

Submit = Callable[[Callable[[], Any]], "Future[Any]"]

_AHEAD: Final = 6  # batches at most that are being read or wait to be sorted, a MiB each
_BUFFER_PAGES: Final = BATCH_PAGES  # of a buffer that is there, as many at a time


class _Found:
    """What was found out at once, in the place of a Future."""

    def __init__(self, found: Any) -> None:
        self._found = found

    def result(self) -> Any:
        """Return it."""
        return self._found

    def exception(self) -> None:
        """Say that nothing failed."""


def _after(write: tuple[int, Buffer] | Unread, end_page: int) -> int:
    """Return the page after those of a write. Raises: ValueError: it is no whole pages, or not after `end_page`."""
    if not isinstance(write, Unread):
        first_page, size_bytes = write[0], memoryview(write[1]).nbytes
        if size_bytes % PAGE_BYTES:
            raise ValueError(f"{size_bytes} bytes from page {first_page} on are no whole pages")
        write = Unread(((first_page, size_bytes // PAGE_BYTES),), lambda _: None)
    for first_page, n_pages in write.runs:
        if first_page < end_page:
            raise ValueError(f"page {first_page} comes after page {end_page}")
        end_page = first_page + n_pages
    if end_page > MAX_PAGE:
        raise ValueError(f"page {end_page} is after the last page of the largest file")
    return end_page


class Step:
    """One step of making maps: `begins` the map, or brings a batch of its pages, or, with neither, ends it."""

    def __init__(
        self,
        begins: NewMap | None = None,
        runs: Iterable[Run] = (),
        looked: "Future[Any] | _Found | None" = None,
        room: bytearray | None = None,
    ) -> None:
        self.begins, self.runs, self._looked, self.room = begins, runs, looked, room
        self.is_batch: Final = looked is not None
        self.now = False  # what it reads may change when the next is asked for

    def looked(self) -> Any:
        """Return what `Sorter.look` found, when it has. Raises: what reading raised."""
        return self._looked.result() if self._looked is not None else None

    def settle(self) -> None:
        """Return when nothing is read for it any more, however that ended."""
        if self._looked is not None:
            self._looked.exception()


class Steps:
    """Gives the steps of maps in order, those that come next being worked on meanwhile."""

    def __init__(self, sorter: Sorter, submit: Submit) -> None:
        self._sorter, self._submit = sorter, submit
        self._waiting: deque[Step] = deque()
        self._rooms: list[bytearray] = []

    def of(self, maps: Iterable[NewMap]) -> Generator[Step, None, None]:
        """Yield the steps; a batch's pages stay until the next step is asked for."""
        n_batches = 0
        try:
            for step in self._planned(maps):
                self._waiting.append(step)
                n_batches += step.is_batch
                while self._waiting and (step.now or n_batches > _AHEAD or not self._waiting[0].is_batch):
                    n_batches -= self._waiting[0].is_batch
                    yield from self._one()
            while self._waiting:
                yield from self._one()
        finally:
            self.settle()
            self._waiting.clear()

    def _one(self) -> Iterator[Step]:
        step = self._waiting.popleft()
        try:
            yield step
        finally:
            step.settle()
        if step.room is not None:
            self._rooms.append(step.room)

    def settle(self) -> None:
        """Return when no thread reads anything."""
        for step in self._waiting:
            step.settle()

    def _planned(self, maps: Iterable[NewMap]) -> Iterator[Step]:
        for one in maps:
            yield Step(begins=one)
            end_page = 0
            for write in one.writes:
                end_page = _after(write, end_page)
                if isinstance(write, Unread):
                    yield self._unread(write)
                else:
                    yield from self._buffer(write[0], memoryview(write[1]).cast("B"))
            yield Step()

    def _unread(self, write: Unread) -> Step:
        size_bytes = sum(n_pages for _, n_pages in write.runs) * PAGE_BYTES
        if size_bytes > BATCH_PAGES * PAGE_BYTES:
            raise ValueError(f"{size_bytes} bytes are more than a batch")
        room = self._rooms.pop() if self._rooms else bytearray(BATCH_PAGES * PAGE_BYTES)
        into = memoryview(room)[:size_bytes]

        def read() -> Any:
            write.read(into)
            return self._sorter.look(into)

        return Step(runs=write.runs, looked=self._submit(read), room=room)

    def _buffer(self, first_page: int, content: memoryview) -> Iterator[Step]:
        """Yield the batches of a buffer, which is its caller's again after the last one."""
        size_bytes = _BUFFER_PAGES * PAGE_BYTES
        for at in range(0, len(content), size_bytes):
            part = content[at : at + size_bytes]
            runs = ((first_page + at // PAGE_BYTES, len(part) // PAGE_BYTES),)
            last = at + size_bytes >= len(content)
            if last and at == 0:  # it would be waited for
                step = Step(runs=runs, looked=_Found(self._sorter.look(part)))
            else:
                step = Step(runs=runs, looked=self._submit(lambda part=part: self._sorter.look(part)))  # type: ignore[misc]
            step.now = last
            yield step
