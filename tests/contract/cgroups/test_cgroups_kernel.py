"""What the kernel does to processes in a container's groups, on the layout of this machine."""

import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from cgroup_laboratory import UNLIMITED, Laboratory, comm, cpu_ticks, dead
from tests.waiting import eventually

from limosa.adapters import cgroups as adapters
from limosa.linux import cgroupfs
from limosa.model.cgroup import CgroupNode, cpus_of
from limosa.model.container import Limits
from limosa.model.errors import LimosaError

pytestmark = pytest.mark.privileged
MIB = 1 << 20
HOLD = "import sys, time; data = b'x' * int(sys.argv[1]); print('ready', flush=True); time.sleep(600)"
SPIN = ("/bin/sh", "-c", "while :; do :; done")


def holder(machine: Laboratory, container_id: Any, size_bytes: int) -> "subprocess.Popen[str]":
    """Start a process that has `size_bytes` of memory."""
    child = machine.start(container_id, sys.executable, "-c", HOLD, str(size_bytes), stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def test_who_gets_in_after_the_kill_is_ended_too(machine: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exec in the moment in which the container's program ends: the end failed, and the record said that it runs."""
    container_id = machine.created()
    kill = machine.cgroups.kill
    late: list[subprocess.Popen[str]] = []

    def kill_and_let_in(one: Any) -> None:
        kill(one)
        if len(late) < 3:
            late.append(machine.start(one, "/bin/sleep", "600"))
            eventually(lambda: comm(late[-1].pid) == "sleep")

    monkeypatch.setattr(machine.cgroups, "kill", kill_and_let_in)
    machine.cgroups.end(container_id)
    assert len(late) == 3
    assert all(dead(child) for child in late)
    assert machine.cgroups.present() == []


def test_too_much_memory_is_killed_and_counted(machine: Laboratory) -> None:
    container_id = machine.created(Limits(memory_bytes=48 * MIB, swap_bytes=0))
    child = machine.start(container_id, sys.executable, "-c", HOLD, str(128 * MIB), stdout=subprocess.PIPE)
    assert dead(child)
    usage = machine.cgroups.usage(container_id)
    assert usage.oom_kills >= 1
    assert usage.memory_limit_bytes == 48 * MIB


def test_usage_is_what_processes_use(machine: Laboratory) -> None:
    container_id = machine.created(Limits(memory_bytes=256 * MIB, pids=17))
    holder(machine, container_id, 64 * MIB)
    machine.start(container_id, *SPIN)
    eventually(lambda: machine.cgroups.usage(container_id).cpu_ns > 100_000_000)
    eventually(lambda: machine.cgroups.usage(container_id).pids == 2)
    usage = machine.cgroups.usage(container_id)
    assert 64 * MIB < usage.memory_bytes < 128 * MIB
    assert (usage.memory_limit_bytes, usage.pids, usage.pids_limit) == (256 * MIB, 2, 17)
    assert usage.oom_kills == 0


def test_memory_grows_and_shrinks_while_it_runs_and_kills_nobody(machine: Laboratory) -> None:
    container_id = machine.created(Limits(memory_bytes=128 * MIB, swap_bytes=0))
    child = holder(machine, container_id, 40 * MIB)
    for memory, swap in ((256, 64), (96, 0), (96, 256), (512, 0), (80, 16)):
        machine.cgroups.set_limits(container_id, Limits(memory_bytes=memory * MIB, swap_bytes=swap * MIB))
        assert machine.cgroups.usage(container_id).memory_limit_bytes == memory * MIB
    before = settable_values(machine, container_id)
    with pytest.raises(LimosaError) as caught:
        machine.cgroups.set_limits(container_id, Limits(memory_bytes=8 * MIB, swap_bytes=0, cpus=0.25, pids=9))
    assert caught.value.code == "LIM-CGRP-002"
    assert "memory" in caught.value.summary
    assert settable_values(machine, container_id) == before
    assert child.poll() is None


def test_a_refused_limit_takes_the_others_back(machine: Laboratory) -> None:
    container_id = machine.created(Limits(memory_bytes=64 * MIB, swap_bytes=0, cpus=0.5, pids=30))
    before = settable_values(machine, container_id)
    with pytest.raises(LimosaError) as caught:
        machine.cgroups.set_limits(container_id, Limits(memory_bytes=128 * MIB, swap_bytes=MIB, cpus=2, cpuset="4095"))
    assert caught.value.code == "LIM-CGRP-002"
    assert "cpuset" in caught.value.summary
    assert settable_values(machine, container_id) == before


def settable_values(machine: Laboratory, container_id: Any) -> dict[str, str]:
    """Return every limit file of the container with its value."""
    endings = ("max", "limit_in_bytes", "quota_us", "shares", "weight", "cpuset.cpus", "cpu.max")
    found = {}
    for procs in machine.cgroups.procs_files(container_id):
        directory = os.path.dirname(procs)
        for name in os.listdir(directory):
            if name.endswith(endings) and "kmem" not in name:
                found[f"{directory}/{name}"] = cgroupfs.read(f"{directory}/{name}")
    assert found
    return found


def test_no_limit_is_no_limit_again(machine: Laboratory) -> None:
    container_id = machine.created(UNLIMITED)
    before = settable_values(machine, container_id)
    machine.cgroups.set_limits(
        container_id, Limits(memory_bytes=64 * MIB, swap_bytes=0, cpus=0.5, cpu_weight=10, cpuset="0", pids=5)
    )
    assert settable_values(machine, container_id) != before
    machine.cgroups.set_limits(container_id, UNLIMITED)
    assert settable_values(machine, container_id) == before


def test_a_swap_limit_alone_is_possible_or_refused(machine: Laboratory) -> None:
    container_id = machine.created()
    try:
        machine.cgroups.set_limits(container_id, Limits(swap_bytes=MIB))
    except LimosaError as error:
        assert error.code == "LIM-CGRP-001"
        assert os.path.exists("/sys/fs/cgroup/memory")
    else:
        assert not os.path.exists("/sys/fs/cgroup/memory")


def test_cpu_time_is_limited(machine: Laboratory) -> None:
    container_id = machine.created(Limits(cpus=0.2))
    child = machine.start(container_id, *SPIN)
    time.sleep(0.3)
    before, started = cpu_ticks(child.pid), time.monotonic()
    time.sleep(1.5)
    used_s = (cpu_ticks(child.pid) - before) / os.sysconf("SC_CLK_TCK")
    assert 0.03 < used_s / (time.monotonic() - started) < 0.3


def test_processors_and_weights_are_what_was_asked_for(machine: Laboratory) -> None:
    one_cpu = min(os.sched_getaffinity(0))
    container_id = machine.created(Limits(cpuset=str(one_cpu), cpu_weight=300))
    pid = machine.member(container_id)
    assert os.sched_getaffinity(pid) == {one_cpu}
    machine.cgroups.set_limits(container_id, Limits(cpu_weight=20))
    assert os.sched_getaffinity(pid) == cpus_of(",".join(map(str, os.sched_getaffinity(0))))


def test_too_many_processes_are_refused(machine: Laboratory) -> None:
    container_id = machine.created(Limits(pids=3))
    script = (
        "import os, time\n"
        "made = 0\n"
        "try:\n"
        "    for _ in range(9):\n"
        "        if os.fork() == 0: time.sleep(600)\n"
        "        made += 1\n"
        "except BlockingIOError: print(made, flush=True)\n"
    )
    child = machine.start(container_id, sys.executable, "-c", script, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == "2\n"


def test_an_io_weight_holds_or_is_refused(machine: Laboratory) -> None:
    try:
        container_id = machine.created(Limits(io_weight=200))
    except LimosaError as error:
        assert error.code == "LIM-CGRP-001"
        assert machine.cgroups.present() == []
        return
    weights = {value for path, value in settable_values(machine, container_id).items() if "io" in path.split("/")[-1]}
    assert weights & {"default 200", "109", "505"}


def test_a_frozen_process_does_nothing_until_it_is_thawed(machine: Laboratory) -> None:
    container_id = machine.created()
    child = machine.start(container_id, *SPIN)
    eventually(lambda: cpu_ticks(child.pid) > 2)
    machine.cgroups.freeze(container_id, 2)
    time.sleep(0.2)  # where a processor is emulated, its time runs on until it looks at what it was told
    before = cpu_ticks(child.pid)
    time.sleep(0.2)
    assert cpu_ticks(child.pid) == before
    machine.cgroups.thaw(container_id)
    eventually(lambda: cpu_ticks(child.pid) > before)


def child_groups(machine: Laboratory, container_id: Any, name: str) -> list[str]:
    """Make a group below the container's in every hierarchy and return the directories."""
    made = []
    for procs in machine.cgroups.procs_files(container_id):
        directory = f"{os.path.dirname(procs)}/{name}"
        os.makedirs(directory)
        if "/cpuset" in directory:
            for file in ("cpuset.cpus", "cpuset.mems"):
                cgroupfs.write(f"{directory}/{file}", cgroupfs.read(f"{os.path.dirname(procs)}/{file}"))
        made.append(directory)
    return made


@pytest.mark.parametrize("variant", ["machine", "v2"])
def test_groups_below_are_part_of_the_container(variant: str, request: pytest.FixtureRequest) -> None:
    laboratory: Laboratory = request.getfixturevalue(variant)
    container_id = laboratory.created()
    pid = laboratory.member(container_id)
    for directory in child_groups(laboratory, container_id, "below"):
        cgroupfs.write(f"{directory}/cgroup.procs", str(pid))
    assert laboratory.cgroups.processes(container_id) == [pid]
    laboratory.cgroups.freeze(container_id, 2)
    assert laboratory.cgroups.frozen(container_id)
    laboratory.cgroups.kill(container_id)
    assert laboratory.cgroups.processes(container_id) == []
    laboratory.cgroups.destroy(container_id)
    assert laboratory.cgroups.present() == []


@pytest.mark.parametrize("variant", ["machine", "v2"])
def test_a_group_that_froze_itself_below_is_killed_too(variant: str, request: pytest.FixtureRequest) -> None:
    laboratory: Laboratory = request.getfixturevalue(variant)
    container_id = laboratory.created()
    pid = laboratory.member(container_id)
    for directory in child_groups(laboratory, container_id, "below"):
        cgroupfs.write(f"{directory}/cgroup.procs", str(pid))
        for file, value in (("freezer.state", "FROZEN"), ("cgroup.freeze", "1")):
            if os.path.exists(f"{directory}/{file}") and (variant == "v2") == (file == "cgroup.freeze"):
                cgroupfs.write(f"{directory}/{file}", value)
    laboratory.cgroups.kill(container_id)
    assert laboratory.cgroups.processes(container_id) == []


def test_processes_that_fork_all_the_time_are_killed(machine: Laboratory) -> None:
    container_id = machine.created(Limits(pids=60))
    forker = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass\n"
    machine.start(container_id, sys.executable, "-c", forker)
    eventually(lambda: len(machine.cgroups.processes(container_id)) > 40)
    machine.cgroups.kill(container_id)
    assert machine.cgroups.processes(container_id) == []


def test_freezing_what_is_stopped_by_a_debugger_or_a_signal(machine: Laboratory) -> None:
    container_id = machine.created()
    pid = machine.member(container_id)
    os.kill(pid, signal.SIGSTOP)
    machine.cgroups.freeze(container_id, 2)
    assert machine.cgroups.frozen(container_id)
    machine.cgroups.thaw(container_id)
    machine.cgroups.kill(container_id)


def test_a_subtree_comes_back_with_owners_values_and_attributes(machine: Laboratory) -> None:
    one, other = machine.created(owner_id=123_000), machine.created(owner_id=123_000)
    for directory in child_groups(machine, one, "system.slice"):
        os.makedirs(f"{directory}/empty.service")
        os.chown(directory, 123_000, 123_001)
        os.chown(f"{directory}/cgroup.procs", 123_000, 123_000)
        os.setxattr(directory, "trusted.delegate", b"1")
        for file, value in (("pids.max", "33"), ("cgroup.max.depth", "5"), ("notify_on_release", "1")):
            if os.path.exists(f"{directory}/{file}"):
                cgroupfs.write(f"{directory}/{file}", value)
    saved = machine.cgroups.save_subtree(one)
    assert {node.path for node in saved} == {"", "system.slice", "system.slice/empty.service"}
    assert any(("pids.max", "33") in node.values or ("cgroup.max.depth", "5") in node.values for node in saved)
    machine.cgroups.restore_subtree(other, saved)
    assert machine.cgroups.save_subtree(other) == saved
    machine.cgroups.restore_subtree(other, saved)
    assert machine.cgroups.save_subtree(other) == saved


def test_a_commit_cannot_hand_out_files_or_values_that_a_container_has_no_right_to(machine: Laboratory) -> None:
    container_id = machine.created(Limits(pids=7), owner_id=123_000)
    name = machine.cgroups.save_subtree(container_id)[0].hierarchy
    procs = machine.cgroups.procs_files(container_id)[0]
    limit = next(path for path in settable_values(machine, container_id) if path.endswith("/pids.max"))
    above = CgroupNode(
        "pids" if "/pids/" in limit else name, "", 123_000, 123_000, 0o755, (("pids.max", "max"),), (), ()
    )
    machine.cgroups.restore_subtree(container_id, (above,))
    assert cgroupfs.read(limit) == "7"
    for file in ("pids.max", "../cgroup.procs", "notify_on_release"):
        with pytest.raises(LimosaError) as caught:
            machine.cgroups.restore_subtree(container_id, (CgroupNode(name, "", 0, 0, 0o755, (), ((file, 5, 5),), ()),))
        assert caught.value.code == "LIM-CGRP-006"
    assert os.stat(os.path.dirname(os.path.dirname(procs))).st_uid == 0


def test_the_containers_root_can_divide_its_groups_and_not_loosen_them(machine: Laboratory) -> None:
    container_id = machine.created(Limits(memory_bytes=64 * MIB, pids=20), owner_id=123_000)
    for procs in machine.cgroups.procs_files(container_id):
        os.setxattr(os.path.dirname(procs), "trusted.test", b"1")
    pid = machine.member(container_id)
    as_root = (
        "setpriv",
        "--reuid=123000",
        "--regid=123000",
        "--clear-groups",
        "--inh-caps=-all",
        "--bounding-set=-all",
    )
    for procs in machine.cgroups.procs_files(container_id):
        directory = os.path.dirname(procs)
        assert subprocess.run([*as_root, "mkdir", f"{directory}/mine"], check=False).returncode == 0
        assert subprocess.run([*as_root, "mkdir", f"{directory}-beside"], check=False, stderr=-3).returncode != 0
        for file in ("pids.max", "memory.max", "memory.limit_in_bytes", "cpu.max", "cpu.shares"):
            if os.path.exists(f"{directory}/{file}"):
                done = subprocess.run([*as_root, "sh", "-c", f"echo 9 >{directory}/{file}"], check=False, stderr=-3)
                assert done.returncode != 0, file
    assert comm(pid) == "sleep"


@pytest.mark.needs("cgroup v2")
def test_whoever_joins_later_joins_a_leaf_where_v2_wants_one(machine: Laboratory) -> None:
    container_id = machine.created()
    assert machine.cgroups.exec_procs_files(container_id) == machine.cgroups.procs_files(container_id)
    (procs,) = machine.cgroups.procs_files(container_id)
    unified = os.path.dirname(procs)
    cgroupfs.write(f"{unified}/cgroup.subtree_control", "+pids")
    files = machine.cgroups.exec_procs_files(container_id)
    assert files != machine.cgroups.procs_files(container_id)
    pid = os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "600")
    for path in files:
        cgroupfs.write(path, str(pid))
    assert machine.cgroups.processes(container_id) == [pid]
    machine.cgroups.kill(container_id)
    os.waitpid(pid, 0)


def test_another_command_finds_the_groups_from_another_group(tmp_path, group_name: str) -> None:
    """What a command remembers holds for one that runs in another cgroup, until the groups are gone."""
    run, name = os.fspath(tmp_path), group_name
    first = Laboratory(adapters.open_cgroups(name, run), real=True)
    container_id = first.created()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        for procs in first.cgroups.procs_files(container_id):
            cgroupfs.write(procs, "0")
        seen = adapters.open_cgroups(name, run)
        os.write(write, "\n".join([*seen.procs_files(container_id), *seen.present()]).encode())
        os._exit(0)
    os.close(write)
    said = os.read(read, 65536).decode().split("\n")
    os.close(read)
    os.waitpid(child, 0)
    assert said == [*first.cgroups.procs_files(container_id), container_id]
    first.close()


def test_a_record_of_another_boot_or_of_groups_that_are_gone_is_replaced(tmp_path, group_name: str) -> None:
    run = os.fspath(tmp_path)
    laboratory = Laboratory(adapters.open_cgroups(group_name, run), real=True)
    right = laboratory.cgroups.procs_files(laboratory.created())
    with open(f"{run}/cgroups", encoding="utf-8") as file:
        text = file.read()
    for wrong in ("", text.replace(text[:8], "00000000"), text.replace("\t/", "\t/limosat-nowhere/")):
        with open(f"{run}/cgroups", "w", encoding="utf-8") as file:
            file.write(wrong)
        again = adapters.open_cgroups(group_name, run)
        assert len(again.procs_files(laboratory.new_id())) == len(right)
        with open(f"{run}/cgroups", encoding="utf-8") as file:
            assert file.read() == text
    laboratory.close()


def test_many_commands_at_once(machine: Laboratory) -> None:
    """Containers come and go beside `recover`, which removes the parent whenever it is empty."""
    failures: list[BaseException] = []

    def come_and_go() -> None:
        try:
            for _ in range(12):
                container_id = machine.created(Limits(memory_bytes=64 * MIB))
                assert container_id in machine.cgroups.present()
                machine.cgroups.destroy(container_id)
                machine.cgroups.close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert machine.cgroups.present() == []


def test_making_groups_leaves_this_process_where_it_is(machine: Laboratory) -> None:
    before = cgroupfs.read("/proc/self/cgroup")
    container_id = machine.created()
    machine.cgroups.exec_procs_files(container_id)
    assert cgroupfs.read("/proc/self/cgroup") == before
