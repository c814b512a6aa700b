"""The `Cgroups` port on cgroup v2 and on the hybrid layout."""

import os
import signal
import time
from typing import Final

from limosa.adapters.cgroups import layout, limits, subtree
from limosa.model.container import Limits
from limosa.model.errors import LimosaError
from limosa.model.ids import ContainerId
from limosa.ports.cgroups import CgroupNode, CgroupUsage

_DELEGATED_V2: Final = ("cgroup.procs", "cgroup.threads", "cgroup.subtree_control", "memory.oom.group")
_OPTIONAL: Final = ("memory.memsw.limit_in_bytes", "memory.swap.max")
_KILL_SECONDS: Final = 5.0
_STEP_SECONDS: Final = 0.002


class ContainerCgroups:
    """One group per container in every hierarchy, `<parent>/limosa…/<id>`."""

    def __init__(self, group: str, run_directory: str) -> None:
        """`group` is this root's own, "limosa" or "limosa-<hash>"."""
        self._group = group
        self._memory_file = f"{run_directory}/cgroup-parents.json"

    def _hierarchies(self) -> tuple[layout.Hierarchy, ...]:
        return layout.hierarchies(self._memory_file)

    def _directories(self, container_id: ContainerId) -> list[str]:
        return [item.directory(f"{self._group}/{container_id}") for item in self._hierarchies()]

    def _v1(self, controller: str, container_id: ContainerId) -> str:
        for item in self._hierarchies():
            if controller in item.controllers.split(","):
                return item.directory(f"{self._group}/{container_id}")
        return ""

    def create(self, container_id: ContainerId, limits: Limits, owner_id: int) -> None:
        """See the port."""
        try:
            for item in self._hierarchies():
                self._make(item, container_id, owner_id)
            self.set_limits(container_id, limits)
        except (OSError, LimosaError):
            self.destroy(container_id)
            raise

    def _make(self, item: layout.Hierarchy, container_id: ContainerId, owner_id: int) -> None:
        base = item.directory(self._group)
        place = f"{base}/{container_id}"
        unified = item.controllers == ""
        for directory in (base, place):
            os.makedirs(directory, exist_ok=True)
            if "cpuset" in item.controllers:
                for name in ("cpuset.cpus", "cpuset.mems"):
                    if not _read(f"{directory}/{name}").strip():
                        _write(f"{directory}/{name}", _read(f"{os.path.dirname(directory)}/{name}"))
        if unified:
            for directory in (os.path.dirname(base), base):
                _enable_controllers(directory)
        if owner_id:
            names = _DELEGATED_V2 if unified else ("cgroup.procs", "tasks")
            for path in (place, *(f"{place}/{name}" for name in names)):
                if os.path.exists(path):
                    os.chown(path, owner_id, owner_id)

    def procs_files(self, container_id: ContainerId) -> tuple[str, ...]:
        """See the port."""
        return tuple(f"{directory}/cgroup.procs" for directory in self._directories(container_id))

    def exec_procs_files(self, container_id: ContainerId) -> tuple[str, ...]:
        """See the port."""
        files = []
        for directory in self._directories(container_id):
            leaf = directory
            if _read(f"{directory}/cgroup.subtree_control").strip():
                leaf = f"{directory}/limosa-exec"
                os.makedirs(leaf, exist_ok=True)
            files.append(f"{leaf}/cgroup.procs")
        return tuple(files)

    def criu_root(self, container_id: ContainerId) -> tuple[tuple[str, str], ...]:
        """See the port."""
        group = f"{self._group}/{container_id}"
        return tuple((item.controllers, item.path(group)) for item in self._hierarchies())

    def set_limits(self, container_id: ContainerId, limits_: Limits) -> None:
        """See the port."""
        wanted = self._values(container_id, limits_)
        before = [(path, _read(path).strip()) for path, _ in wanted if os.path.exists(path)]
        # A limit together with swap may only shrink after, and only grow before, the one without: try, then the rest.
        pending = wanted
        for _ in range(2):
            failed = [(path, value, error) for path, value in pending if (error := _tried(path, value))]
            pending = [(path, value) for path, value, _ in failed]
            if not pending:
                return
        for path, value in before:
            _tried(path, value)
        path, value, error = failed[0]
        raise LimosaError(
            "LIM-CGRP-002",
            f"the kernel refused {os.path.basename(path)} = {value}",
            state="the limits are as they were",
            cause=str(error),
            hint="limosa stats shows what is in use; a memory limit cannot be below it",
        )

    def _values(self, container_id: ContainerId, limits_: Limits) -> list[tuple[str, str]]:
        if layout.unified():
            (directory,) = self._directories(container_id)
            found = [(f"{directory}/{name}", value) for name, value in limits.v2_values(limits_)]
        else:
            found = [
                (f"{self._v1(controller, container_id)}/{name}", value)
                for controller, name, value in limits.v1_values(limits_)
            ]
        return [(path, value) for path, value in found if os.path.exists(path) or not path.endswith(_OPTIONAL)]

    def usage(self, container_id: ContainerId) -> CgroupUsage:
        """See the port."""
        if layout.unified():
            (place,) = self._directories(container_id)
            cpu_ns = _field(f"{place}/cpu.stat", "usage_usec") * 1000
            kills = _field(f"{place}/memory.events", "oom_kill")
            memory, most = f"{place}/memory.current", f"{place}/memory.max"
            pids = place
        else:
            place = self._v1("memory", container_id)
            cpu_ns = _number(f"{self._v1('cpuacct', container_id)}/cpuacct.usage") or 0
            kills = _field(f"{place}/memory.oom_control", "oom_kill")
            memory, most = f"{place}/memory.usage_in_bytes", f"{place}/memory.limit_in_bytes"
            pids = self._v1("pids", container_id)
        limit = _number(most)
        return CgroupUsage(
            memory_bytes=_number(memory) or 0,
            memory_limit_bytes=limit if limit is not None and limit < 1 << 62 else None,
            cpu_ns=cpu_ns,
            pids=_number(f"{pids}/pids.current") or 0,
            pids_limit=_number(f"{pids}/pids.max"),
            io_read_bytes=0,
            io_written_bytes=0,
            oom_kills=kills,
        )

    def processes(self, container_id: ContainerId) -> list[int]:
        """See the port."""
        found: set[int] = set()
        for directory in self._directories(container_id):
            for place, _, _ in os.walk(directory):
                found.update(int(word) for word in _read(f"{place}/cgroup.procs").split())
        return sorted(found)

    def freeze(self, container_id: ContainerId, timeout_s: float) -> None:
        """See the port."""
        self._set_frozen(container_id, True)
        deadline = time.monotonic() + timeout_s
        while not self.frozen(container_id):
            if time.monotonic() > deadline:
                self.thaw(container_id)
                raise TimeoutError(f"the processes of {container_id} would not freeze within {timeout_s} s")
            time.sleep(_STEP_SECONDS)

    def thaw(self, container_id: ContainerId) -> None:
        """See the port."""
        self._set_frozen(container_id, False)

    def _set_frozen(self, container_id: ContainerId, wanted: bool) -> None:
        if layout.unified():
            path, words = f"{self._directories(container_id)[0]}/cgroup.freeze", ("0", "1")
        else:
            path, words = f"{self._v1('freezer', container_id)}/freezer.state", ("THAWED", "FROZEN")
        if os.path.exists(path):
            _write(path, words[wanted])

    def frozen(self, container_id: ContainerId) -> bool:
        """See the port."""
        if layout.unified():
            return bool(_field(f"{self._directories(container_id)[0]}/cgroup.events", "frozen"))
        return _read(f"{self._v1('freezer', container_id)}/freezer.state").strip() == "FROZEN"

    def kill(self, container_id: ContainerId) -> None:
        """See the port."""
        deadline = time.monotonic() + _KILL_SECONDS
        while pids := self.processes(container_id):
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.thaw(container_id)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(pids)} processes of {container_id} do not end")
            time.sleep(_STEP_SECONDS)

    def save_subtree(self, container_id: ContainerId) -> tuple[CgroupNode, ...]:
        """See the port."""
        found = []
        for item in self._hierarchies():
            found += subtree.saved(item.controllers, item.directory(f"{self._group}/{container_id}"))
        return tuple(found)

    def restore_subtree(self, container_id: ContainerId, nodes: tuple[CgroupNode, ...]) -> None:
        """See the port."""
        for item in self._hierarchies():
            own = [node for node in nodes if node.hierarchy == item.controllers]
            subtree.recreate(own, item.directory(f"{self._group}/{container_id}"))

    def destroy(self, container_id: ContainerId) -> None:
        """See the port."""
        for directory in self._directories(container_id):
            for place, _, _ in os.walk(directory, topdown=False):
                try:
                    os.rmdir(place)
                except FileNotFoundError:
                    pass
                except OSError as busy:
                    raise LimosaError("LIM-CGRP-003", f"{place} cannot be removed", cause=str(busy)) from busy

    def present(self) -> list[ContainerId]:
        """See the port."""
        found: set[str] = set()
        for item in self._hierarchies():
            base = item.directory(self._group)
            if os.path.isdir(base):
                found.update(name for name in os.listdir(base) if os.path.isdir(f"{base}/{name}"))
        return [ContainerId(name) for name in sorted(found)]

    def close(self) -> None:
        """See the port."""
        for item in self._hierarchies():
            try:
                os.rmdir(item.directory(self._group))
            except OSError:
                pass


def _enable_controllers(directory: str) -> None:
    available = _read(f"{directory}/cgroup.controllers").split()
    enabled = _read(f"{directory}/cgroup.subtree_control").split()
    for name in available:
        if name not in enabled and name != "hugetlb":
            _tried(f"{directory}/cgroup.subtree_control", f"+{name}")


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError:
        return ""


def _write(path: str, value: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(value)


def _tried(path: str, value: str) -> OSError | None:
    try:
        _write(path, value)
    except OSError as error:
        return error
    return None


def _number(path: str) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isdigit() else None


def _field(path: str, name: str) -> int:
    for line in _read(path).splitlines():
        words = line.split()
        if words[:1] == [name]:
            return int(words[1])
    return 0
