"""cgroup v2 with controllers, over a directory in which a small kernel keeps the rules of the real files.

Where v1 has the controllers, v2 has none; the real thing runs in the virtual machine (tests/vm) through
test_cgroups_kernel.py. What is kept here: files appear in a group for what its parent enables; a domain with processes
cannot enable anything; memory.max cannot go below what may be reclaimed without a kill that is counted.
"""

import errno
import os

import pytest

from limosa.adapters.cgroups import places
from limosa.adapters.cgroups.unified import UnifiedCgroups
from limosa.linux import cgroupfs
from limosa.model.cgroup import CgroupNode
from limosa.model.container import Limits
from limosa.model.errors import LimosaError
from limosa.model.ids import ContainerId

ID = ContainerId("00112233445566778899aabb")
MIB = 1 << 20
FILES = {
    "cpu": {"cpu.max": "max 100000", "cpu.weight": "100", "cpu.idle": "0"},
    "cpuset": {"cpuset.cpus": "", "cpuset.mems": ""},
    "io": {"io.stat": "8:0 rbytes=10 wbytes=20 rios=1 wios=1\n8:16 rbytes=1 wbytes=2", "io.weight": "default 100"},
    "memory": {
        "memory.current": "0",
        "memory.events": "low 0\nhigh 0\nmax 3\noom 1\noom_kill 2",
        "memory.max": "max",
        "memory.oom.group": "0",
        "memory.reclaim": "",
        "memory.stat": "anon 5\ninactive_file 4096",
        "memory.swap.max": "max",
    },
    "pids": {"pids.current": "1", "pids.max": "max"},
}


class Kernel:
    """Keeps the files of a v2 hierarchy in a directory; stands in for the functions that change a real one."""

    def __init__(self, root: str, controllers: str) -> None:
        self.root = root
        self.reclaimable = 0
        self.oom_kills = 0
        self.without: set[str] = set()
        self.written: list[tuple[str, str]] = []
        os.makedirs(root)
        self._core(root, controllers)

    def _put(self, directory: str, name: str, value: str) -> None:
        if name not in self.without:
            with open(f"{directory}/{name}", "w", encoding="ascii") as file:
                file.write(f"{value}\n")

    def _core(self, directory: str, controllers: str) -> None:
        self._put(directory, "cgroup.controllers", controllers)
        for name, value in (("subtree_control", ""), ("procs", ""), ("freeze", "0"), ("type", "domain"), ("kill", "")):
            self._put(directory, f"cgroup.{name}", value)
        self._put(directory, "cgroup.events", "populated 0\nfrozen 0")

    def make(self, directory: str) -> bool:
        if os.path.isdir(directory):
            return False
        enabled = cgroupfs.read(f"{os.path.dirname(directory)}/cgroup.subtree_control")
        os.mkdir(directory)
        self._core(directory, enabled)
        for controller in enabled.split():
            for name, value in FILES[controller].items():
                self._put(directory, name, value)
        return True

    def remove(self, directory: str) -> None:
        names = os.listdir(directory)
        if any(os.path.isdir(f"{directory}/{name}") for name in names) or cgroupfs.processes(directory):
            raise OSError(errno.EBUSY, "busy", directory)
        for name in names:
            os.unlink(f"{directory}/{name}")
        os.rmdir(directory)

    def write(self, path: str, value: str) -> None:
        if not os.path.exists(path):
            raise OSError(errno.ENOENT, "missing", path)
        directory, name = os.path.split(path)
        self.written.append((name, value))
        if name == "cgroup.subtree_control":
            value = self._enabled(directory, path, value)
        elif name == "cgroup.freeze":
            self._put(directory, "cgroup.events", f"populated 1\nfrozen {value}")
        elif name == "memory.reclaim":
            self._reclaim(directory, int(value), path)
        elif name == "memory.max" and value != "max":
            self.oom_kills += int(cgroupfs.read(f"{directory}/memory.current")) > int(value)
        elif name == "cpuset.cpus" and value == "4095":
            raise OSError(errno.EINVAL, "no such processor", path)
        self._put(directory, name, value)

    def _enabled(self, directory: str, path: str, value: str) -> str:
        controller = value.removeprefix("+")
        if directory != self.root and cgroupfs.processes(directory):
            raise OSError(errno.EBUSY, "processes in an inner group", path)
        if controller not in cgroupfs.read(f"{directory}/cgroup.controllers").split():
            raise OSError(errno.ENOENT, "not available", path)
        enabled = {*cgroupfs.read(path).split(), controller}
        for below in os.scandir(directory):
            if below.is_dir():
                self._put(below.path, "cgroup.controllers", " ".join(sorted(enabled)))
                for file, start in FILES[controller].items():
                    self._put(below.path, file, start)
        return " ".join(sorted(enabled))

    def _reclaim(self, directory: str, wanted: int, path: str) -> None:
        used = int(cgroupfs.read(f"{directory}/memory.current"))
        got = min(wanted, self.reclaimable)
        self._put(directory, "memory.current", str(used - got))
        if got < wanted:
            raise OSError(errno.EAGAIN, "not enough", path)

    def file(self, name: str) -> str:
        return cgroupfs.read(f"{self.root}/limosat/{ID}/{name}")

    def use(self, size_bytes: int, reclaimable: int) -> None:
        self._put(f"{self.root}/limosat/{ID}", "memory.current", str(size_bytes))
        self.reclaimable = reclaimable


@pytest.fixture
def kernel(tmp_path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel(f"{tmp_path}/fs", "cpuset cpu io memory pids")
    monkeypatch.setattr(cgroupfs, "make", kernel.make)
    monkeypatch.setattr(cgroupfs, "remove", kernel.remove)
    monkeypatch.setattr(cgroupfs, "write", kernel.write)
    monkeypatch.setattr(cgroupfs, "hierarchies", lambda: (cgroupfs.Hierarchy("unified", kernel.root, "/", "/"),))
    return kernel


@pytest.fixture
def v2_files(kernel: Kernel, tmp_path) -> UnifiedCgroups:
    return UnifiedCgroups("limosat", f"{tmp_path}/run")


def test_controllers_are_enabled_above_and_limits_are_written(kernel: Kernel, v2_files: UnifiedCgroups) -> None:
    v2_files.create(ID, Limits(64 * MIB, 0, 1.5, 50, "0-1", 99, 200), 0)
    for directory in (kernel.root, f"{kernel.root}/limosat"):
        assert cgroupfs.read(f"{directory}/cgroup.subtree_control") == "cpu cpuset io memory pids"
    assert kernel.file("cgroup.subtree_control") == ""
    names = ("memory.max", "memory.swap.max", "cpu.max", "cpu.weight", "cpuset.cpus", "pids.max", "io.weight")
    assert [kernel.file(name) for name in names] == [
        "67108864",
        "0",
        "150000 100000",
        "50",
        "0-1",
        "99",
        "default 200",
    ]


def test_only_what_differs_is_written_and_nothing_is_the_default_again(
    kernel: Kernel, v2_files: UnifiedCgroups
) -> None:
    v2_files.create(ID, Limits(64 * MIB, 0, 1.5, 50, "0-1", 99, 200), 0)
    kernel.written.clear()
    v2_files.set_limits(ID, Limits(64 * MIB, 0, 1.5, 50, "0-1", 100, 200))
    assert kernel.written == [("pids.max", "100")]
    v2_files.set_limits(ID, Limits(pids=None))
    for files in FILES.values():
        for name in files:
            if name in ("memory.max", "memory.swap.max", "cpu.max", "cpu.weight", "cpuset.cpus", "pids.max"):
                assert kernel.file(name) == files[name]
    assert kernel.file("io.weight") == "default 100"


def test_less_memory_than_is_used_is_reclaimed_or_refused_but_never_killed_for(
    kernel: Kernel, v2_files: UnifiedCgroups
) -> None:
    v2_files.create(ID, Limits(memory_bytes=256 * MIB), 0)
    kernel.use(128 * MIB, reclaimable=100 * MIB)
    v2_files.set_limits(ID, Limits(memory_bytes=64 * MIB))
    assert (kernel.file("memory.max"), kernel.oom_kills) == (str(64 * MIB), 0)
    kernel.use(60 * MIB, reclaimable=MIB)
    with pytest.raises(LimosaError) as caught:
        v2_files.set_limits(ID, Limits(memory_bytes=32 * MIB, pids=5))
    assert caught.value.code == "LIM-CGRP-002"
    assert "in use" in caught.value.cause
    assert (kernel.file("memory.max"), kernel.file("pids.max"), kernel.oom_kills) == (str(64 * MIB), "4096", 0)


def test_a_refusal_takes_everything_back(kernel: Kernel, v2_files: UnifiedCgroups) -> None:
    v2_files.create(ID, Limits(memory_bytes=64 * MIB, cpus=1), 0)
    with pytest.raises(LimosaError) as caught:
        v2_files.set_limits(ID, Limits(memory_bytes=128 * MIB, cpus=2, cpuset="4095"))
    assert caught.value.code == "LIM-CGRP-002"
    assert (kernel.file("memory.max"), kernel.file("cpu.max")) == (str(64 * MIB), "100000 100000")


def test_a_limit_without_its_file_is_refused_and_leaves_nothing(kernel: Kernel, v2_files: UnifiedCgroups) -> None:
    kernel.without = {"io.weight", "io.bfq.weight", "memory.swap.max"}
    for limits, name in ((Limits(io_weight=50), "io_weight"), (Limits(swap_bytes=0), "swap_bytes")):
        with pytest.raises(LimosaError) as caught:
            v2_files.create(ID, limits, 0)
        assert caught.value.code == "LIM-CGRP-001"
        assert name in caught.value.summary
        assert v2_files.present() == []
    v2_files.create(ID, Limits(memory_bytes=MIB), 0)


def test_usage_is_read_from_every_file(kernel: Kernel, v2_files: UnifiedCgroups) -> None:
    v2_files.create(ID, Limits(memory_bytes=64 * MIB), 0)
    kernel.use(10_000, 0)
    usage = v2_files.usage(ID)
    assert (usage.memory_bytes, usage.memory_limit_bytes) == (10_000 - 4096, 64 * MIB)
    assert (usage.io_read_bytes, usage.io_written_bytes) == (11, 22)
    assert (usage.pids, usage.pids_limit, usage.oom_kills) == (1, 4096, 2)


def test_freezing_waits_for_the_event(kernel: Kernel, v2_files: UnifiedCgroups) -> None:
    v2_files.create(ID, Limits(), 0)
    v2_files.freeze(ID, 0.5)
    assert v2_files.frozen(ID)
    v2_files.thaw(ID)
    assert not v2_files.frozen(ID)


def test_what_would_not_freeze_is_thawed_again(
    kernel: Kernel, v2_files: UnifiedCgroups, monkeypatch: pytest.MonkeyPatch
) -> None:
    v2_files.create(ID, Limits(), 0)
    write = kernel.write

    def stubborn(path: str, value: str) -> None:
        write(path, value)
        if path.endswith("cgroup.freeze"):
            kernel._put(os.path.dirname(path), "cgroup.events", "populated 1\nfrozen 0")

    monkeypatch.setattr(cgroupfs, "write", stubborn)
    with pytest.raises(TimeoutError):
        v2_files.freeze(ID, 0.05)
    assert kernel.file("cgroup.freeze") == "0"


def test_exec_joins_a_leaf_below_groups_with_controllers(kernel: Kernel, v2_files: UnifiedCgroups) -> None:
    v2_files.create(ID, Limits(), 0)
    assert v2_files.exec_procs_files(ID) == v2_files.procs_files(ID)
    kernel.write(f"{kernel.root}/limosat/{ID}/cgroup.subtree_control", "+pids")
    (file,) = v2_files.exec_procs_files(ID)
    assert file == f"{kernel.root}/limosat/{ID}/limosa-exec/cgroup.procs"
    assert os.path.exists(file)


def test_a_subtree_gets_its_controllers_before_its_values(kernel: Kernel, v2_files: UnifiedCgroups) -> None:
    v2_files.create(ID, Limits(), 0)
    nodes = (
        CgroupNode("unified", "", 0, 0, 0o755, (("cgroup.subtree_control", "memory pids"),), (), ()),
        CgroupNode("unified", "a", 0, 0, 0o755, (("cgroup.subtree_control", "pids"), ("memory.max", "4096")), (), ()),
        CgroupNode("unified", "a/b", 0, 0, 0o755, (("pids.max", "12"),), (), ()),
    )
    v2_files.restore_subtree(ID, nodes)
    assert [(node.path, node.values) for node in v2_files.save_subtree(ID)] == [
        (node.path, node.values) for node in nodes
    ]
    v2_files.destroy(ID)
    v2_files.close()
    assert os.listdir(f"{kernel.root}") and not os.path.exists(f"{kernel.root}/limosat")


def test_groups_go_below_the_root_of_v2_wherever_the_caller_is(kernel: Kernel, tmp_path, monkeypatch) -> None:
    hierarchy = cgroupfs.Hierarchy("unified", kernel.root, "/", "/user.slice/session-1.scope")
    monkeypatch.setattr(cgroupfs, "hierarchies", lambda: (hierarchy,))
    (place,) = places.remembered("limosat", f"{tmp_path}/elsewhere/cgroups")
    assert place.group(ID) == f"/limosat/{ID}"
