"""The cgroup of each container: limits, use, freezing, and its subtree across a checkpoint.

limosa makes and removes these groups itself, on cgroup v2 and on the hybrid v1 layout, and starts the OCI runtime
inside them (`crun --cgroup-manager=disabled`), because a restore needs exactly the same (docs/adr/0005).
"""

from limosa.model.cgroup import CgroupNode
from limosa.model.container import Limits
from limosa.model.hints import Protocol
from limosa.model.ids import ContainerId
from limosa.model.value import NamedTuple


class CgroupUsage(NamedTuple):
    """What a container uses now."""

    memory_bytes: int  # without the file cache that nobody used lately, which the kernel takes back first
    memory_limit_bytes: int | None
    cpu_ns: int
    pids: int
    pids_limit: int | None
    io_read_bytes: int
    io_written_bytes: int
    oom_kills: int


class Cgroups(Protocol):
    """Cgroups by container id. Every method may be repeated after a crash; the result is the same."""

    def create(self, container_id: ContainerId, limits: Limits, owner_id: int) -> None:
        """Make the container's groups with `limits`, delegated to host id `owner_id` (0: not delegated).

        Raises: LimosaError LIM-CGRP-001: a controller that a limit needs is not there; LIM-CGRP-002: the kernel refused
        a limit; LIM-CGRP-005: there are no cgroups here. Nothing is left of the attempt.
        """

    def procs_files(self, container_id: ContainerId) -> tuple[str, ...]:
        """Return the files that a new process, of one thread, writes a 0 into to become a member of every group."""

    def exec_procs_files(self, container_id: ContainerId) -> tuple[str, ...]:
        """The same for a process that joins later: a leaf group where v2 forbids processes beside child groups.

        Raises: LimosaError LIM-CGRP-004: it has no groups.
        """

    def criu_root(self, container_id: ContainerId) -> tuple[tuple[str, str], ...]:
        """Return CRIU's `--cgroup-root` values: (v1 controllers or "", path from the hierarchy's root)."""

    def set_limits(self, container_id: ContainerId, limits: Limits) -> None:
        """Make `limits` hold now; growing and shrinking both work while it runs. Nothing is ever killed by it.

        Raises: LimosaError LIM-CGRP-001: no controller; LIM-CGRP-002: the kernel refused one (named, with its reason),
        or more memory is in use than wanted; LIM-CGRP-004: it has no groups. All limits are as before then.
        """

    def usage(self, container_id: ContainerId) -> CgroupUsage:
        """Return what the container uses. All zero when its groups are gone."""

    def processes(self, container_id: ContainerId) -> list[int]:
        """Return the pids (host's pid namespace) of every process in the group and below, sorted."""

    def freeze(self, container_id: ContainerId, timeout_s: float) -> None:
        """Stop every process.

        Raises: TimeoutError: some would not stop; all are thawed again. LimosaError LIM-CGRP-004: it has no groups.
        """

    def thaw(self, container_id: ContainerId) -> None:
        """Let every process go on. Nothing happens if they are."""

    def frozen(self, container_id: ContainerId) -> bool:
        """Say whether the group is frozen."""

    def kill(self, container_id: ContainerId) -> None:
        """Send SIGKILL to every process in the group and below, frozen ones too, and wait until none is left.

        Raises: TimeoutError: some are still there after 5 s.
        """

    def save_subtree(self, container_id: ContainerId) -> tuple[CgroupNode, ...]:
        """Return the group and its child groups, top-down: owners, modes, xattrs and values that are not defaults."""

    def restore_subtree(self, container_id: ContainerId, nodes: tuple[CgroupNode, ...]) -> None:
        """Make the child groups of `nodes` again. CRIU's post-setup-namespaces is the moment (docs/adr/0003).

        For a fork, move their owners first (limosa.model.cgroup.with_owners_moved).
        Raises: LimosaError LIM-CGRP-004: it has no groups; LIM-CGRP-006: the kernel refused something, or a node leads
        out of the group. What was made stays until `destroy`.
        """

    def destroy(self, container_id: ContainerId) -> None:
        """Remove the groups and everything below. Nothing happens if they are gone.

        Raises: LimosaError LIM-CGRP-003: a process is still in them.
        """

    def end(self, container_id: ContainerId) -> None:
        """Kill and remove, again and again until nothing is left: who comes in between is killed, too.

        An exec does, which looked for the groups while the container still ran. Each group that is removed lets nobody
        in any more, so this comes to an end. Raises: as `kill` and `destroy`.
        """

    def present(self) -> list[ContainerId]:
        """Return the ids that have a group here, for `recover`."""

    def close(self) -> None:
        """Remove this root's own group. Nothing happens while a container has one below it."""
