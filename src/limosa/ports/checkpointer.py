"""Dump and restore of process trees: what the engine needs from CRIU."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from limosa.model.confinement import Allowance
from limosa.model.hints import Literal, Protocol
from limosa.model.obstacle import Obstacle
from limosa.model.value import NamedTuple

DumpMoment = Literal["pre-dump", "network-lock", "network-unlock", "post-dump"]
RestoreMoment = Literal[
    "pre-restore", "setup-namespaces", "post-setup-namespaces", "post-restore", "pre-resume", "post-resume"
]


class DumpPlan(NamedTuple):
    """What to dump and how."""

    init_pid: int
    criu_images: str  # directory, exists, empty
    rootfs: str  # where the container's root is mounted on the host
    leave_running: bool
    own_network: bool = True  # the network namespace is left empty and rebuilt by us on restore
    external_mounts: tuple[tuple[str, str], ...] = ()  # (path inside, host path) of what is bind-mounted from outside
    skip_followed: bool = False  # private memory in which writes are marked is read by somebody else
    excluded: tuple[str, ...] = ()  # places inside whose files will not come back
    processes: tuple[int, ...] = ()  # every process of it, for what has to be known of them before they are stopped


class RestorePlan(NamedTuple):
    """What to restore and into what."""

    criu_images: str
    rootfs: str
    cgroup_roots: tuple[tuple[str, str], ...]  # (v1 controllers or "", path): where the container's group is now
    inherited: tuple[tuple[str, int], ...]  # (what the dump called it, descriptor of the runtime), e.g. ("pipe:[7]", 1)
    pid_file: str  # written before criu ends, for the monitor
    keep_connections: bool = True
    own_network: bool = True
    external_mounts: tuple[tuple[str, str], ...] = ()  # the same paths inside as at the dump, with today's host paths
    lazy_pages: bool = False  # what is left out of the images is served by who listens beside them


class Session(NamedTuple):
    """A connection to a criu that somebody else starts, with `remote_fd` as its descriptor 3."""

    argv: tuple[str, ...]
    local_fd: int
    remote_fd: int


OnDumpMoment = Callable[[DumpMoment], None]
OnRestoreMoment = Callable[[RestoreMoment, int], None]
"""(moment, pid of the first process or 0). An exception makes CRIU give up and is raised again by the method."""

OnTerminal = Callable[[int], None]
"""Gets the master of the terminal that the dumped processes had: for their monitor. It is closed afterwards."""


class Checkpointer(Protocol):
    """CRIU, or something as able."""

    def obstacles(
        self, init_pid: int, processes: list[int], *, thorough: bool, not_committed: tuple[tuple[str, str], ...] = ()
    ) -> list[Obstacle]:
        """Return what in `processes` would make `dump` fail, as far as it can be seen while they run.

        Without `thorough` sockets, mappings and mounts are left out: it takes a system call a descriptor then.
        `not_committed` are (path inside, what it is) of places whose files are no part of a commit: files open there
        are told, and stop nothing.
        State: unchanged; no process is stopped.
        """

    def dump(self, plan: DumpPlan, on_moment: OnDumpMoment) -> int:
        """Write the processes' state into `criu_images`. In `post-dump` every process is still stopped.

        Returns: nanoseconds from the stop of the first process until all went on (or were ended); 0 if it is not known.
        Raises: LimosaError LIM-CRIU-…: it cannot be dumped; the processes run as before.
        """

    def released(self, pid: int, timeout_s: float) -> bool:
        """Wait until no criu holds a process any more, one whose command is dead for example; say whether it is so."""

    def require_confined(self, criu_images: str, allowance: Allowance) -> None:
        """Hold the images of a stranger's commit against what limosa would give its container, and make them fit.

        Owners in them become those of the container's own range of ids; nothing of a cgroup but its name is kept.
        Raises: LimosaError LIM-CRIU-040: they are not what criu writes; LIM-CRIU-041: they ask for more. No criu ran.
        """

    def move_ids(self, criu_images: str, first_host_id: int, other_first_host_id: int) -> None:
        """Let images of a container whose ids begin at `first_host_id` be restored to one of `other_first_host_id`.

        May be repeated with another one. Raises: LimosaError LIM-CRIU-040.
        """

    def require_locks(self, criu_images: str, processes: list[int]) -> None:
        """In `post-restore`: see that `take_locks` can be done for the processes that were restored from these images.

        Raises: LimosaError LIM-CRIU-031: their locks are not of these processes; LIM-CRIU-033: not on this machine.
        """

    def take_locks(self, criu_images: str, processes: list[int]) -> None:
        """In `pre-resume`: let the processes have every lock on a file that they had at the dump.

        Raises: LimosaError LIM-CRIU-031, LIM-CRIU-033: one cannot have one of them. They must not go on then.
        """

    def session(self, *, lazy_pages: bool = False) -> AbstractContextManager[Session]:
        """Return a connection for one restore; it is closed, and criu with it, at the end of the `with` block.

        With `lazy_pages` criu is one whose plan may have them.
        """

    def restore(self, session: Session, plan: RestorePlan, on_moment: OnRestoreMoment, on_terminal: OnTerminal) -> int:
        """Drive the criu that the monitor started with `session.argv` through a restore; return the first pid.

        The monitor is the parent of criu, and so of the restored first process.
        Raises: LimosaError LIM-CRIU-…: it cannot be restored; no process is left.
        """
