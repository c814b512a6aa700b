"""The `Cgroups` port in memory, for tests of the engine: the same answers and refusals, no group and no process."""

from limosa.model.cgroup import CgroupNode
from limosa.model.container import Limits
from limosa.model.errors import LimosaError
from limosa.model.ids import ContainerId
from limosa.ports.cgroups import CgroupUsage


class _Group:
    def __init__(self, limits: Limits, owner_id: int) -> None:
        self.limits = limits
        self.pids: set[int] = set()
        self.frozen = False
        self.nodes = [CgroupNode("unified", "", owner_id, owner_id, 0o755, (), (), ())]


class FakeCgroups:
    """Remembers what it was told. A test puts processes in with `enter` and can make a limit or a freeze fail."""

    def __init__(self) -> None:
        self._groups: dict[ContainerId, _Group] = {}
        self.missing_limits: set[str] = set()
        self.refused_limits: set[str] = set()
        self.unfreezable: set[ContainerId] = set()
        self.closed = False

    def enter(self, container_id: ContainerId, pid: int) -> None:
        self._groups[container_id].pids.add(pid)

    def limits(self, container_id: ContainerId) -> Limits:
        return self._groups[container_id].limits

    def create(self, container_id: ContainerId, limits: Limits, owner_id: int) -> None:
        self._check(limits)
        self._groups.setdefault(container_id, _Group(limits, owner_id)).limits = limits
        self.closed = False

    def _check(self, limits: Limits) -> None:
        asked = {name for name, value in limits._asdict().items() if value not in (None, "")}
        for name in sorted(asked & self.missing_limits):
            raise LimosaError("LIM-CGRP-001", f"this kernel cannot limit {name}")
        for name in sorted(asked & self.refused_limits):
            raise LimosaError("LIM-CGRP-002", f"{name} cannot be set", state="all limits are as they were")

    def _group(self, container_id: ContainerId) -> _Group:
        if container_id not in self._groups:
            raise LimosaError("LIM-CGRP-004", f"{container_id} has no cgroups")
        return self._groups[container_id]

    def procs_files(self, container_id: ContainerId) -> tuple[str, ...]:
        return (f"/fake/{container_id}/cgroup.procs",)

    def exec_procs_files(self, container_id: ContainerId) -> tuple[str, ...]:
        self._group(container_id)
        return self.procs_files(container_id)

    def criu_root(self, container_id: ContainerId) -> tuple[tuple[str, str], ...]:
        return (("", f"/fake/{container_id}"),)

    def set_limits(self, container_id: ContainerId, limits: Limits) -> None:
        group = self._group(container_id)
        self._check(limits)
        group.limits = limits

    def usage(self, container_id: ContainerId) -> CgroupUsage:
        group = self._groups.get(container_id)
        if group is None:
            return CgroupUsage(0, None, 0, 0, None, 0, 0, 0)
        return CgroupUsage(0, group.limits.memory_bytes, 0, len(group.pids), group.limits.pids, 0, 0, 0)

    def processes(self, container_id: ContainerId) -> list[int]:
        group = self._groups.get(container_id)
        return sorted(group.pids) if group else []

    def freeze(self, container_id: ContainerId, timeout_s: float) -> None:
        group = self._group(container_id)
        if container_id in self.unfreezable:
            raise TimeoutError(f"the processes of {container_id} would not freeze within {timeout_s} s")
        group.frozen = True

    def thaw(self, container_id: ContainerId) -> None:
        if container_id in self._groups:
            self._groups[container_id].frozen = False

    def frozen(self, container_id: ContainerId) -> bool:
        return container_id in self._groups and self._groups[container_id].frozen

    def kill(self, container_id: ContainerId) -> None:
        if container_id in self._groups:
            self._groups[container_id].pids.clear()
            self._groups[container_id].frozen = False

    def save_subtree(self, container_id: ContainerId) -> tuple[CgroupNode, ...]:
        group = self._groups.get(container_id)
        return tuple(group.nodes) if group else ()

    def restore_subtree(self, container_id: ContainerId, nodes: tuple[CgroupNode, ...]) -> None:
        group = self._group(container_id)
        for node in nodes:
            if ".." in node.path.split("/"):
                raise LimosaError("LIM-CGRP-006", f"the container's cgroup {node.path!r} cannot be made again")
        group.nodes = list(nodes)

    def destroy(self, container_id: ContainerId) -> None:
        group = self._groups.get(container_id)
        if group is not None and group.pids:
            raise LimosaError("LIM-CGRP-003", "the container's cgroups cannot be removed")
        self._groups.pop(container_id, None)

    def end(self, container_id: ContainerId) -> None:
        self._groups.pop(container_id, None)

    def present(self) -> list[ContainerId]:
        return sorted(self._groups)

    def close(self) -> None:
        self.closed = not self._groups
