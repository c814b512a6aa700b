"""Which pages of private memory a container's processes wrote since a commit, found out without asking them.

A page that is missed is lost data, so an implementation that is not sure says that a page was written.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from itertools import compress

from limosa.model import page_runs
from limosa.model.commit_store import PAGE_BYTES, PageMap
from limosa.model.hints import TYPE_CHECKING, Protocol
from limosa.model.ids import ContainerId
from limosa.model.page_runs import Run
from limosa.model.value import NamedTuple
from limosa.ports.commit_store import Unread

if TYPE_CHECKING:
    from array import array


KeepAhead = Callable[[int, bool, Iterable[Unread]], PageMap]
"""Called with a process (inside the container), whether its pages count since the parent, and pages, sorted: returns
the memory that the parent has of it, or none, with these. What a read raises ends the call and is raised."""


class EarlierCopy(NamedTuple):
    """What was copied of a process while it ran; what it wrote after that was copied again."""

    ranges: "array[int]"  # first byte, end: two numbers each, sorted
    content: memoryview  # nothing where it was kept
    kept: PageMap | None = None  # all that the commit has of the process so far; only the first copy is kept


class ProcessMemory(NamedTuple):
    """The private memory of one process that was followed, as it was while everything stood still.

    What is not in it was not followed (the dump has it), or is zero, or is a page of a file that is mapped.
    """

    pid: int  # inside the container
    ranges: "array[int]"  # first byte, end, and whether it was written: three numbers each, sorted
    content: memoryview  # of what was written, in this order
    since_parent: bool  # what was not copied is as in the parent commit; otherwise everything was
    earlier: tuple[EarlierCopy, ...] = ()  # the latest last

    def present(self) -> list[Run]:
        """Return what the process has, sorted, neighbours joined."""
        return page_runs.joined(self.ranges[0::3], self.ranges[1::3])

    def written(self) -> list[Run]:
        """Return what `content` has, sorted, neighbours joined."""
        if not self.since_parent and not self.earlier:
            return self.present()
        marks = self.ranges[2::3]
        return page_runs.joined(compress(self.ranges[0::3], marks), compress(self.ranges[1::3], marks))

    def pieces(self) -> list[tuple[int, int, memoryview]]:
        """Return all that was copied, not kept, and is still there: first page, pages, their content; sorted."""
        found = [(run, self.content) for run in page_runs.placed(self.written())]
        if self.earlier:
            absent = list(page_runs.gaps(self.present()))
            for ranges, content, kept in reversed(self.earlier):
                if kept is not None:
                    continue
                covered = sorted((first, n_pages) for (first, n_pages, _), _ in found)
                still_there = page_runs.left(page_runs.placed(page_runs.joined(ranges[0::2], ranges[1::2])), absent)
                found += [(run, content) for run in page_runs.left(still_there, covered)]
            found.sort(key=lambda piece: piece[0])
        return [(first, n, content[at : at + n * PAGE_BYTES]) for (first, n, at), content in found]

    def kept(self) -> tuple[PageMap, list[Run]] | None:
        """Return what was kept of the process while it ran, which pages that were, sorted; None: nothing was."""
        for ranges, _, kept in self.earlier:
            if kept is not None:
                return kept, page_runs.joined(ranges[0::2], ranges[1::2])
        return None


class Following(Protocol):
    """The processes of a container that are followed, for the time of one commit."""

    def witness(self, pids: Sequence[int]) -> list[ProcessMemory]:
        """Return, in the checked mode, all private memory of processes that stand still; otherwise nothing.

        It is found without any mark, to hold the commit against it. Raises: LimosaError LIM-TRACK-001.
        """

    def capture(self, pids: Sequence[int]) -> list[ProcessMemory]:
        """Return the followed memory of processes that all stand still; from now on marks are relative to this moment.

        `pids` are all processes of the container, by their numbers on the host. The contents are private copies.
        Raises: LimosaError LIM-TRACK-001: some of it cannot be read; everything counts as written the next time.
        """

    def settle(self, commit: str) -> None:
        """What was captured is on disk as `commit`: the next commit may build upon it."""


class WrittenPages(Protocol):
    """The written pages of the containers of one root.

    Whatever dies in between (a command, the process that holds descriptors, the machine), the next capture has
    everything: what was followed since which commit is known only after `settle`. Following ends with the processes.
    """

    @property
    def name(self) -> str:
        """Return what tells written pages here."""

    @property
    def skips(self) -> bool:
        """Say whether the kernel knows what is followed (`PAGE_IS_WPALLOWED`), so that a dump can leave it out."""

    def following(
        self,
        container_id: ContainerId,
        init_pid: int,
        pids: Sequence[int],
        parent: str,
        scratch: str,
        keep_ahead: KeepAhead | None = None,
    ) -> AbstractContextManager[Following]:
        """Follow the processes `pids`, which run, from now on; each may stand still for less than a millisecond.

        What cannot be followed (a process that ends, or sleeps uninterruptibly) is not, and the dump has it. `parent`
        is the commit that is to be built upon, "" for none. `scratch` is a directory for copies that are too large
        for memory. What is copied first while the processes run goes to `keep_ahead`, if it is given; what it raises
        is raised.
        """
