"""The OCI runtime and the monitor: they turn a bundle into processes and hold on to them."""

from collections.abc import Callable, Iterator

from limosa.model.confinement import Allowance
from limosa.model.container import ContainerConfig
from limosa.model.hints import TYPE_CHECKING, Final, Literal, Protocol
from limosa.model.ids import ContainerId
from limosa.model.init import RunFile
from limosa.model.value import NamedTuple

if TYPE_CHECKING:
    from limosa.model.console_log import Entry

INIT_HELPER_PATH: Final = "/run/.limosa-init"
"""Inside a container that asked for it: the minimal init that is its first process."""

SYSFS: Final = "/sys"
"""On the host, and inside a container on the host's network, whose sysfs is the host's."""


class BundlePlan(NamedTuple):
    """What the bundle of one start needs beyond the owner's configuration."""

    container_id: ContainerId
    config: ContainerConfig
    rootfs: str
    first_host_id: int
    argv: tuple[str, ...]
    uid: int
    gid: int
    groups: tuple[int, ...]
    env: tuple[tuple[str, str], ...]
    hosts_file: str
    resolv_conf: str
    hostname: str
    mount_sources: tuple[tuple[str, str], ...]  # place inside, where on the host: binds and volumes, ids mapped
    device_nodes: tuple[tuple[str, str], ...]  # path inside, where on the host
    proc_view_files: tuple[tuple[str, str], ...]  # host file, path inside: the container's own /proc/meminfo, …
    generation_file: str
    init_helper: str = ""  # host file: a minimal init that becomes pid 1, and executes `argv`


class Started(NamedTuple):
    """The first process of a container and its monitor, by pid in the host's namespace."""

    init_pid: int
    init_start_ticks: int
    monitor_pid: int


class Streams(NamedTuple):
    """How this process's standard streams are joined to a program's."""

    stdin: bool = False  # what is typed or piped here goes to the program
    terminal: bool = False  # the program has a terminal; ours is raw meanwhile, and sizes are passed on
    detach_keys: bytes = b""  # typed on a terminal, they end the joining; empty: nothing does
    to_errors: bool = False  # what the program prints is no answer of ours: it goes to our standard error
    pass_signals: bool = False  # signals to this process go to the program, unless our terminal is raw: keys do then


class Outcome(NamedTuple):
    """Why the joining of streams ended."""

    why: Literal["ended", "detached", "interrupted"]  # by the program, by the keys, by a signal to this process
    signal: int = 0


class ExecRequest(NamedTuple):
    """One more program in a running container."""

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    cwd: str = ""
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    capabilities: tuple[str, ...] = ()  # empty: the container's own
    streams: Streams = Streams()


class ExecSession(NamedTuple):
    """A program that came into a container by `execute`."""

    pid: int  # in the host's pid namespace
    inner_pid: int
    command: str  # its name, as the kernel has it
    line: str  # its command line


class RestoreSeat(NamedTuple):
    """A monitor that waits for criu to fill it."""

    container_id: ContainerId
    pid_file: str  # criu's driver writes the first process's pid there
    sync_fd: int


class Runtime(Protocol):
    """Processes of containers.

    The monitor outlives the command that calls this, and tells the exit status afterwards.
    """

    def begin(self, container_id: ContainerId, config: ContainerConfig) -> None:
        """Start the monitor of a container that is about to get its parts; it comes up meanwhile.

        Nothing happens if it was begun. `delete` takes it back, and it ends by itself if this process does before
        `create`.
        """

    def join(self, container_id: ContainerId, procs_files: tuple[str, ...]) -> None:
        """Have what is to become the first process enter its cgroups now, by these files, and return at once."""

    def create(self, plan: BundlePlan, meanwhile: Callable[[], None]) -> Started:
        """Make the container's namespaces and mounts and leave its first process waiting before the program's start.

        It comes after `begin` and `join`; `meanwhile` is called while the runtime is at work.
        Raises: LimosaError LIM-RUN-001: the runtime refused (its reason, translated); nothing is left of the attempt.
                LIM-RUN-002 (status 127): no such command inside; LIM-RUN-003 (status 126): it cannot be executed.
        """

    def init_helper(self) -> str:
        """Return the path of the minimal init. Raises: LimosaError LIM-HOST-002: it is not installed."""

    def furnish(self, started: Started, owner_id: int, files: tuple[RunFile, ...]) -> None:
        """Put `files`, owned by host id `owner_id`, below /run of a container between `create` and `start`.

        Raises: LimosaError LIM-RUN-006: its /run is not the tmpfs that `create` mounted there.
        """

    def start(self, container_id: ContainerId) -> None:
        """Let the first process execute the program."""

    def standard_streams(self, container_id: ContainerId) -> tuple[str, str, str]:
        """Return what the first process's descriptors 0..2 are, as /proc names them ("pipe:[7]"): a dump records it.

        Raises: OSError: it has ended or closed one.
        """

    def make_ready(self, container_id: ContainerId, config: ContainerConfig, first_host_id: int) -> None:
        """Have there what `begin_restore` would first have to make for a container of this configuration.

        Nothing of it is the container's own. Raises: LimosaError LIM-SEC-001, LIM-RUN-009.
        """

    def begin_restore(self, plan: BundlePlan, criu_argv: tuple[str, ...], connection: int) -> RestoreSeat:
        """Start the monitor over `criu_argv`, which gets the container's streams as 0..2 and `connection` as 3.

        The processes that it leaves are the monitor's, as those of `create` are.
        Raises: LimosaError LIM-RUN-009: what is executed in it later could not be confined as before.
        """

    def allowance(self, plan: BundlePlan) -> Allowance:
        """Return what `create` would give a container of that plan, for a stranger's images to be held against.

        Raises: LimosaError LIM-RUN-009, LIM-SEC-001: its seccomp filter cannot be made.
        """

    def give_terminal(self, seat: RestoreSeat, master: int) -> None:
        """Hand the monitor the master of the restored terminal; the caller's descriptor stays open.

        Raises: LimosaError LIM-RUN-008: it expects none or does not take it.
        """

    def seated(self, container_id: ContainerId, init_pid: int) -> Started:
        """Return how a restored first process is named while criu is still at work."""

    def left_alone(self, started: Started, timeout_s: float) -> bool:
        """Wait until the monitor has no child but the first process: no criu is there that would still end it.

        Returns: whether it is so.
        """

    def adopt(self, container_id: ContainerId, started: Started) -> None:
        """Bring the runtime's own state in line with a restored container whose `finish_restore` was never reached."""

    def finish_restore(self, plan: BundlePlan, seat: RestoreSeat) -> Started:
        """Wait until criu has ended well, and bring the runtime's own state in line, so that exec and kill work.

        Raises: LimosaError LIM-RUN-001: it did not; nothing is left.
        """

    def abandon_restore(self, seat: RestoreSeat) -> None:
        """Take back what `begin_restore` made, when criu failed."""

    def signal(self, container_id: ContainerId, signal_number: int) -> None:
        """Signal the first process. Raises: ProcessLookupError: it is gone."""

    def wait(self, container_id: ContainerId, started: Started, timeout_s: float | None) -> int | None:
        """Wait until the first process has ended and return its status; None if `timeout_s` went by first.

        A process that ended without its monitor's word (both were killed) has status 137.
        """

    def expect_connection(self) -> None:
        """Get ready for `connect` and `relay`, which are quicker then."""

    def connect(self, container_id: ContainerId) -> int:
        """Return a connection to the container's streams; what is printed from now on comes through it."""

    def redraw(self, container_id: ContainerId) -> None:
        """Let the program draw its screen anew: its terminal gets another size, and `relay` then gives it this one's.

        Nothing happens where this process has no terminal.
        """

    def relay(self, container_id: ContainerId, connection: int, streams: Streams) -> Outcome:
        """Copy between `connection` and this process's streams until the container has ended or the person leaves;
        closes it. This process's terminal is afterwards as it was before, whatever happens.
        """

    def execute(self, container_id: ContainerId, request: ExecRequest, procs_files: tuple[str, ...]) -> int:
        """Execute a program inside, joined to this process's standard streams, and return its status.

        It joins the cgroups of `procs_files`. 0 too if the person let go of it with the detach keys; it runs on then.
        Raises: LimosaError LIM-RUN-001: the runtime refused (125); -002: there is no such command (127); -003: it
        cannot be executed (126).
        """

    def execute_detached(self, container_id: ContainerId, request: ExecRequest, procs_files: tuple[str, ...]) -> None:
        """Start a program inside that has nothing to do with this process; its output is lost. Raises: as `execute`."""

    def sessions(self, started: Started, processes: list[int]) -> list[ExecSession]:
        """Return which of a container's `processes` came in by `execute`, outermost ones only.

        They are no descendants of the first process, so a dump would silently leave them out.
        """

    def end_sessions(self, started: Started, processes: list[int]) -> list[ExecSession]:
        """End what `sessions` returns with all that it started, and return it: SIGHUP, SIGTERM, and SIGKILL after 2 s.

        Raises: TimeoutError: a process waits in the kernel and could not be killed within 5 s.
        """

    def log(self, container_id: ContainerId) -> "Iterator[Entry]":
        """Return what the container printed so far, across starts and restores."""

    def follow_log(
        self, container_id: ContainerId, started_of: Callable[[], Started | None]
    ) -> "Iterator[Entry | None]":
        """Return what `log` does and then what is printed, until the container has ended or is gone.

        `started_of` returns the present first process, None if nothing runs; it is asked again when one has ended, so
        a container that was started anew is followed on; without a monitor it is about to be.
        None: there is nothing more for now.
        """

    def exit_status(self, container_id: ContainerId) -> int | None:
        """Return the status that the monitor noted, or None while the program runs or if none was noted."""

    def delete(self, container_id: ContainerId) -> None:
        """Remove bundle, runtime state, monitor's files and a monitor that is left.

        Nothing happens if they are gone.
        """

    def present(self) -> list[ContainerId]:
        """Return the ids that have a bundle or runtime state, for `recover`."""
