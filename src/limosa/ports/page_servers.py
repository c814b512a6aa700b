"""Memory that comes when it is touched: a process per container gives pages of a commit to those who wait for them."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from limosa.model.commit_store import ObjectId, PageMap
from limosa.model.hints import Literal, Protocol
from limosa.model.ids import ContainerId
from limosa.model.page_runs import Run
from limosa.model.value import NamedTuple
from limosa.ports.commit_store import CommitStore

Laziness = Literal["off", "background", "demand"]
"""All memory is there before anything goes on; it comes when it is touched, and the rest meanwhile; or only then."""


class LazyMemory(NamedTuple):
    """The private memory of one process of which something was left out of the images.

    `areas` and `others` are mappings (first byte, end) in which a missing page is waited for: those of which something
    is left out, and those of which nothing is. `runs` are what is left out, sorted, each within one of `areas`.
    """

    pid: int  # inside the container
    pages: PageMap
    runs: tuple[Run, ...] = ()
    areas: tuple[tuple[int, int], ...] = ()
    others: tuple[tuple[int, int], ...] = ()


class PageServer(Protocol):
    """The server of one container that is being restored."""

    def adopt(self, init_pid: int) -> None:
        """Serve the container from now on, until it has ended or has everything; its processes are all there, stopped.

        Raises: LimosaError LIM-LAZY-002: it cannot, and the restore must not go on.
        """


class PageServers(Protocol):
    """Servers of pages. If one dies, its container is killed: nobody may ever see zeros for what was not there yet."""

    def works(self) -> bool:
        """Say whether memory can come later on this machine."""

    def in_front(self) -> AbstractContextManager[None]:
        """Put restores before all background work: servers that start in the `with` block give what is touched.

        They begin to give the rest when the block ends, or this process.
        """

    def serving(
        self,
        container_id: ContainerId,
        store: CommitStore,
        commit: ObjectId,
        memories: Sequence[LazyMemory],
        criu_images: str,
        failed: Callable[[str], None],
        *,
        in_background: bool,
    ) -> AbstractContextManager[PageServer]:
        """Start a server that waits for the restore from `criu_images`, for the time of a `with` block.

        `failed` is told, in the server, why it has to give the container up.
        If it was not adopted at the end of the block it ends. Raises: LimosaError LIM-LAZY-002.
        """

    def complete(self, container_id: ContainerId) -> None:
        """Have all memory of a container there, and return then; nothing happens if it is.

        Raises: LimosaError LIM-LAZY-001: its server has died, and the container is killed.
        """

    def lost(self, container_id: ContainerId) -> bool:
        """Say whether a server died before its container had everything."""
