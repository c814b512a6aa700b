"""cgroup v2 alone: one hierarchy, one group per container."""

import errno
import os
from typing import Final

from limosa.adapters.cgroups import settings
from limosa.adapters.cgroups.groups import ContainerGroups
from limosa.adapters.cgroups.places import Place
from limosa.linux import cgroupfs
from limosa.model import cgroup
from limosa.model.container import Limits
from limosa.model.ids import ContainerId
from limosa.ports.cgroups import CgroupUsage

CONTROLLERS: Final = ("cpuset", "cpu", "io", "memory", "pids")
_SIGKILL: Final = 9
_THAW_SECONDS: Final = 1.0


class UnifiedCgroups(ContainerGroups):
    """The `Cgroups` port on cgroup v2."""

    def _places(self) -> tuple[Place, ...]:
        return tuple(place for place in super()._places() if place.hierarchy.unified)

    def _directory(self, container_id: ContainerId) -> str:
        return self._places()[0].directory(container_id)

    def _prepare(self, place: Place, directory: str, parent: str) -> None:
        """Enable the controllers in `parent`, so that `directory` has their files."""
        missing = set(CONTROLLERS) & set(cgroupfs.read(f"{parent}/cgroup.controllers").split())
        missing -= set(cgroupfs.read(f"{parent}/cgroup.subtree_control").split())
        for name in sorted(missing):
            try:
                cgroupfs.write(f"{parent}/cgroup.subtree_control", f"+{name}")
            except OSError as error:
                # Real-time processes outside the root forbid cpu, processes in a nested root forbid all: whether
                # that matters, the limits tell (LIM-CGRP-001).
                if error.errno not in (errno.EINVAL, errno.EBUSY, errno.EPERM):
                    raise

    def _limit(self, container_id: ContainerId, limits: Limits, *, fresh: bool) -> None:
        directory = self._directory(container_id)
        every_cpu = "" if fresh else _every_cpu(directory)
        wanted = [one for one in settings.v2_settings(limits, every_cpu) if one.asked_for or not fresh]
        writes = settings.resolved(wanted, lambda _: directory)
        for write in writes:
            if write.limit == "memory_bytes" and not fresh:
                _make_room(directory, write)
        settings.apply(writes)

    def usage(self, container_id: ContainerId) -> CgroupUsage:
        """See the port."""
        directory = self._directory(container_id)
        read, written = cgroup.io_totals_v2(_text(f"{directory}/io.stat"))
        cache = cgroup.keyed(_text(f"{directory}/memory.stat")).get("inactive_file", 0)
        return CgroupUsage(
            memory_bytes=max(0, int(_text(f"{directory}/memory.current") or 0) - cache),
            memory_limit_bytes=cgroup.limit_of(_text(f"{directory}/memory.max")),
            cpu_ns=cgroup.keyed(_text(f"{directory}/cpu.stat")).get("usage_usec", 0) * 1000,
            pids=int(_text(f"{directory}/pids.current") or 0),
            pids_limit=cgroup.limit_of(_text(f"{directory}/pids.max")),
            io_read_bytes=read,
            io_written_bytes=written,
            oom_kills=cgroup.keyed(_text(f"{directory}/memory.events")).get("oom_kill", 0),
        )

    def freeze(self, container_id: ContainerId, timeout_s: float) -> None:
        """See the port."""
        self._require(container_id)
        directory = self._directory(container_id)
        cgroupfs.write(f"{directory}/cgroup.freeze", "1")
        if not cgroupfs.wait_for_event(f"{directory}/cgroup.events", "frozen", "1", timeout_s):
            self.thaw(container_id)
            raise TimeoutError(f"the processes of {container_id} would not freeze within {timeout_s} s")

    def thaw(self, container_id: ContainerId) -> None:
        """See the port."""
        directory = self._directory(container_id)
        with self._gone_is_fine():
            cgroupfs.write(f"{directory}/cgroup.freeze", "0")
            cgroupfs.wait_for_event(f"{directory}/cgroup.events", "frozen", "0", _THAW_SECONDS)

    def frozen(self, container_id: ContainerId) -> bool:
        """See the port."""
        return cgroup.keyed(_text(f"{self._directory(container_id)}/cgroup.events")).get("frozen") == 1

    def _kill_once(self, container_id: ContainerId, timeout_s: float) -> None:
        directory = self._directory(container_id)
        with self._gone_is_fine():
            if os.path.exists(f"{directory}/cgroup.kill"):
                cgroupfs.write(f"{directory}/cgroup.kill", "1")
            else:  # before 5.14; a frozen process of v2 can be killed
                cgroupfs.signal_members(lambda: self.processes(container_id), _SIGKILL)
            cgroupfs.wait_for_event(f"{directory}/cgroup.events", "populated", "0", timeout_s)


def _every_cpu(directory: str) -> str:
    """Return what to write where a group shall have no cpuset of its own any more.

    A group with processes cannot go back to "" (ENOSPC), so it gets what its parent has; where it is "", it stays.
    """
    populated = cgroup.keyed(_text(f"{directory}/cgroup.events")).get("populated") == 1
    if not populated or not _text(f"{directory}/cpuset.cpus"):
        return ""
    return _text(f"{os.path.dirname(directory)}/cpuset.cpus.effective")


def _make_room(directory: str, write: settings.Write) -> None:
    """Reclaim what is above a smaller memory limit. v2 would accept the limit and kill; v1 refuses, and so does this.

    Raises: LimosaError LIM-CGRP-002: too much is in use. Source: cgroup-v2.rst, memory.max and memory.reclaim.
    """
    wanted = cgroup.limit_of(write.value)
    excess = 0 if wanted is None else int(cgroupfs.read(f"{directory}/memory.current")) - wanted
    if excess <= 0:
        return
    try:
        cgroupfs.write(f"{directory}/memory.reclaim", str(excess))
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.ENOENT):  # ENOENT: before 5.19
            raise settings.refused(write, os.strerror(error.errno or 0)) from error
        used = int(cgroupfs.read(f"{directory}/memory.current"))
        if wanted is not None and used > wanted:
            raise settings.refused(write, f"{used} bytes are in use and cannot be reclaimed") from error


def _text(path: str) -> str:
    """Return a file's value, or nothing where the group or the controller is not there."""
    try:
        return cgroupfs.read(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP):
            return ""
        raise
