"""The hybrid layout: every v1 controller is a hierarchy of its own, and v2 beside them holds what is left."""

import errno
import time

from limosa.adapters.cgroups import settings
from limosa.adapters.cgroups.groups import ContainerGroups
from limosa.adapters.cgroups.places import Place
from limosa.linux import cgroupfs
from limosa.model import cgroup
from limosa.model.container import Limits
from limosa.model.errors import LimosaError
from limosa.model.hints import Final
from limosa.model.ids import ContainerId
from limosa.ports.cgroups import CgroupUsage

_SIGKILL: Final = 9
_STATE: Final = "freezer.state"
_FREEZE_TO_KILL_SECONDS: Final = 0.1
_FIRST_STEP_SECONDS: Final = 0.0002
_LAST_STEP_SECONDS: Final = 0.005


class HybridCgroups(ContainerGroups):
    """The `Cgroups` port on v1 controllers."""

    def _directory(self, controller: str, container_id: ContainerId | str = "") -> str:
        """Return a controller's directory of a container (of the parent without one); "" where it is not on v1."""
        for place in self._places():
            if controller in place.hierarchy.controllers:
                return place.directory(container_id)
        return ""

    def _prepare(self, place: Place, directory: str, parent: str) -> None:
        """Give a new group the parent's processors and memory nodes: without them nothing can be in it."""
        if "cpuset" in place.hierarchy.controllers:
            for file in ("cpuset.cpus", "cpuset.mems"):
                if not cgroupfs.read(f"{directory}/{file}"):
                    cgroupfs.write(f"{directory}/{file}", cgroupfs.read(f"{parent}/{file}"))

    def _limit(self, container_id: ContainerId, limits: Limits, *, fresh: bool) -> None:
        parent = self._directory("cpuset")
        every_cpu = cgroupfs.read(f"{parent}/cpuset.cpus") if parent else ""
        wanted = [one for one in settings.v1_settings(limits, every_cpu) if one.asked_for or not fresh]
        writes = settings.resolved(wanted, lambda controller: self._directory(controller, container_id))
        settings.apply(_in_order(writes))

    def usage(self, container_id: ContainerId) -> CgroupUsage:
        """See the port."""
        memory, pids = self._directory("memory", container_id), self._directory("pids", container_id)
        io = f"{self._directory('blkio', container_id)}/blkio.throttle.io_service_bytes_recursive"
        read, written = cgroup.io_totals_v1(_text(io))
        cache = cgroup.keyed(_text(f"{memory}/memory.stat")).get("total_inactive_file", 0)
        # The kernel counts a v1 OOM kill in the group of the killed process alone.
        kills = [cgroup.keyed(_text(f"{one}/memory.oom_control")) for one in cgroupfs.groups(memory)]
        return CgroupUsage(
            memory_bytes=max(0, int(_text(f"{memory}/memory.usage_in_bytes") or 0) - cache),
            memory_limit_bytes=cgroup.limit_of(_text(f"{memory}/memory.limit_in_bytes")),
            cpu_ns=int(_text(f"{self._directory('cpuacct', container_id)}/cpuacct.usage") or 0),
            pids=int(_text(f"{pids}/pids.current") or 0),
            pids_limit=cgroup.limit_of(_text(f"{pids}/pids.max")),
            io_read_bytes=read,
            io_written_bytes=written,
            oom_kills=sum(one.get("oom_kill", 0) for one in kills),
        )

    def freeze(self, container_id: ContainerId, timeout_s: float) -> None:
        """See the port."""
        self._require(container_id)
        if not self._freeze(container_id, timeout_s):
            self.thaw(container_id)
            raise TimeoutError(f"the processes of {container_id} would not freeze within {timeout_s} s")

    def _freeze(self, container_id: ContainerId, timeout_s: float) -> bool:
        """Ask until all are frozen: v1 has no event, and a fork in the meantime needs to be asked again."""
        directory = self._directory("freezer", container_id)
        if not directory:
            raise LimosaError("LIM-CGRP-001", "this kernel cannot freeze", cause="the controller freezer is missing")
        deadline, pause_s = time.monotonic() + timeout_s, _FIRST_STEP_SECONDS
        while True:
            cgroupfs.write(f"{directory}/{_STATE}", "FROZEN")
            if cgroupfs.read(f"{directory}/{_STATE}") == "FROZEN":
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LAST_STEP_SECONDS)

    def thaw(self, container_id: ContainerId) -> None:
        """See the port."""
        with self._gone_is_fine():
            if directory := self._directory("freezer", container_id):
                cgroupfs.write(f"{directory}/{_STATE}", "THAWED")

    def frozen(self, container_id: ContainerId) -> bool:
        """See the port."""
        return _text(f"{self._directory('freezer', container_id)}/{_STATE}") == "FROZEN"

    def _kill_once(self, container_id: ContainerId, timeout_s: float) -> None:
        """Kill what is frozen, so that nothing can fork away, then thaw, for a v1-frozen process does not die.

        A group that froze itself below is thawed too.
        """
        with self._gone_is_fine():
            if directory := self._directory("freezer", container_id):
                self._freeze(container_id, min(timeout_s, _FREEZE_TO_KILL_SECONDS))
                cgroupfs.signal_members(lambda: self.processes(container_id), _SIGKILL)
                for group in cgroupfs.groups(directory):
                    cgroupfs.write(f"{group}/{_STATE}", "THAWED")
        cgroupfs.signal_members(lambda: self.processes(container_id), _SIGKILL)


def _in_order(writes: list[settings.Write]) -> list[settings.Write]:
    """Return `writes` with memory and memory+swap in the order in which the kernel takes them."""
    both = [one for one in writes if one.path.endswith("/memory.memsw.limit_in_bytes")]
    if both and cgroup.swap_limit_first(cgroup.limit_of(cgroupfs.read(both[0].path)), cgroup.limit_of(both[0].value)):
        return both + [one for one in writes if one not in both]
    return writes


def _text(path: str) -> str:
    """Return a file's value, or nothing where the group or the controller is not there."""
    try:
        return cgroupfs.read(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV):
            return ""
        raise
