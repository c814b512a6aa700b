"""The OCI runtime and the monitor: they turn a bundle into processes and hold on to them."""

from typing import NamedTuple, Protocol

from limosa.model.container import ContainerConfig
from limosa.model.ids import ContainerId


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
    volume_sources: tuple[tuple[str, str], ...]  # volume name, host directory
    proc_view_files: tuple[tuple[str, str], ...]  # host file, path inside: the container's own /proc/meminfo, …
    generation_file: str


class Started(NamedTuple):
    """The first process of a container and its monitor, by pid in the host's namespace."""

    init_pid: int
    init_start_ticks: int
    monitor_pid: int


class Runtime(Protocol):
    """Processes of containers.

    The monitor outlives the command that calls this, and tells the exit status afterwards.
    """

    def create(self, plan: BundlePlan, procs_files: tuple[str, ...]) -> Started:
        """Make the container's namespaces and mounts and leave its first process waiting before the program's start.

        The first process enters the cgroups of `procs_files` before its namespaces are made.
        Raises: LimosaError LIM-RUN-001: the runtime refused (its reason, translated); nothing is left of the attempt.
                LIM-RUN-002 (status 127): no such command inside; LIM-RUN-003 (status 126): it cannot be executed.
        """

    def start(self, container_id: ContainerId) -> None:
        """Let the first process execute the program."""

    def adopt(self, container_id: ContainerId, started: Started) -> None:
        """Bring the runtime's own state in line with a first process that CRIU restored, so that exec and kill work."""

    def signal(self, container_id: ContainerId, signal_number: int) -> None:
        """Signal the first process. Raises: ProcessLookupError: it is gone."""

    def exit_status(self, container_id: ContainerId) -> int | None:
        """Return the status that the monitor noted, or None while the program runs or if none was noted."""

    def delete(self, container_id: ContainerId) -> None:
        """Remove bundle, runtime state, monitor's files and a monitor that is left.

        Nothing happens if they are gone.
        """
