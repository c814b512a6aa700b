"""What a container sees of the machine is its own share, also after a checkpoint, and lxcfs can die."""

import os
import signal

import pytest

from limosa.model.cgroup import cpus_of
from tests.e2e.conftest import Limosa
from tests.waiting import eventually

pytestmark = pytest.mark.privileged


FOREVER = ("sh", "-c", "while :; do sleep 1000; done")


@pytest.fixture
def host(limosa: Limosa) -> Limosa:
    limosa("template", "build", "-q", "busybox")
    return limosa


def sleeper(host: Limosa, name: str, *options: str) -> None:
    host("run", "-d", "--name", name, "--network", "none", *options, "busybox", *FOREVER)


def memory_total(host: Limosa, name: str) -> int:
    """Return how much memory a container sees, in MiB."""
    return memory(host("exec", name, "cat", "/proc/meminfo"), "MemTotal")


def memory(meminfo: str, field: str) -> int:
    """Return a field of /proc/meminfo, in MiB."""
    return next(int(line.split()[1]) >> 10 for line in meminfo.splitlines() if line.startswith(f"{field}:"))


def lxcfs_pid(host: Limosa) -> int:
    with open(f"{host.root}/run/lxcfs.pid", encoding="ascii") as file:
        return int(file.read())


def runs(pid: int) -> bool:
    """Say whether there is such a process; one that has ended and waits to be reaped has no command line."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read() != b""
    except FileNotFoundError:
        return False


def host_uptime_s() -> float:
    with open("/proc/uptime", encoding="ascii") as file:
        return float(file.read().split()[0])


def shares(host: Limosa, name: str) -> tuple[int, int, int, int]:
    """Return the number of processors that nproc, /proc/cpuinfo, /proc/stat and /sys show."""
    script = (
        "nproc; grep -c ^processor /proc/cpuinfo; grep -c '^cpu[0-9]' /proc/stat; cat /sys/devices/system/cpu/online"
    )
    *numbers, online = host("exec", name, "sh", "-c", script).split()
    first, second, third = map(int, numbers)
    return first, second, third, len(cpus_of(online))


def test_memory_processors_and_uptime_are_the_containers_own(host: Limosa) -> None:
    last = max(os.sched_getaffinity(0))
    sleeper(host, "small", "-m", "300m", "--cpuset", str(last))
    sleeper(host, "quota", "--cpus", "1")
    assert memory_total(host, "small") == 300
    assert memory_total(host, "quota") > 300
    assert shares(host, "small") == (1, 1, 1, 1)
    assert shares(host, "quota")[1:] == (1, 1, 1), "a quota shows in all but the affinity, which it does not change"
    uptime = float(host("exec", "small", "cat", "/proc/uptime").split()[0])
    assert uptime < min(120, host_uptime_s())
    # Memory that one container uses is used there and not in the other.
    before = memory(host("exec", "quota", "cat", "/proc/meminfo"), "MemFree")
    script = "x=$(head -c 60000000 /dev/zero | tr '\\0' x); cat /proc/meminfo; true"
    assert memory(host("exec", "small", "sh", "-c", script), "MemFree") < 300 - 57
    assert abs(before - memory(host("exec", "quota", "cat", "/proc/meminfo"), "MemFree")) < 30


def test_the_view_is_right_after_a_checkpoint_in_a_restore_and_in_a_copy(host: Limosa) -> None:
    sleeper(host, "box", "-m", "300m", "--cpuset", "0")
    commit = host("checkpoint", "--stop", "box").strip()
    host("restore", commit)
    (copy,) = host("fork", "--name", "copy", commit).split()
    for name in ("box", copy):
        assert memory_total(host, name) == 300
        assert shares(host, name) == (1, 1, 1, 1)
    again = host("checkpoint", "--stop", "box").strip()
    host("restore", again)
    assert memory_total(host, "box") == 300


def test_free_nproc_and_uptime_below_an_init_that_moved_itself(limosa: Limosa, debian_12_rootfs: str) -> None:
    host = limosa
    host.has_image("debian12", debian_12_rootfs)
    host("run", "-d", "--system", "--name", "box", "-m", "300m", "--cpuset", "0", "debian12")
    asked = ("exec", "box", "sh", "-c", "systemctl is-system-running || true")
    eventually(lambda: "running" in host(*asked))
    assert host("exec", "box", "free", "-m").split("\n")[1].split()[1] == "300"
    assert host("exec", "box", "nproc").strip() == host("exec", "box", "getconf", "_NPROCESSORS_ONLN").strip() == "1"
    assert float(host("exec", "box", "cat", "/proc/uptime").split()[0]) < min(120, host_uptime_s())
    assert "load average: 0." in host("exec", "box", "uptime")


def test_containers_outlive_lxcfs_and_the_next_start_brings_it_back(host: Limosa) -> None:
    sleeper(host, "box", "-m", "300m")
    first = lxcfs_pid(host)
    os.kill(first, signal.SIGKILL)
    assert host("exec", "box", "echo", "alive") == "alive\n"
    sleeper(host, "other", "-m", "200m")
    assert lxcfs_pid(host) != first
    assert memory_total(host, "other") == 200
    host("stop", "-t", "0", "box")
    host("start", "box")
    assert memory_total(host, "box") == 300


def test_lxcfs_ends_with_the_last_container(host: Limosa) -> None:
    host("run", "--rm", "--network", "none", "busybox", "true")
    pid = lxcfs_pid(host)
    sleeper(host, "box")
    assert lxcfs_pid(host) == pid, "one lxcfs serves them all"
    host("rm", "--force", "box")
    assert not runs(pid)
    assert not os.path.exists(f"{host.root}/run/lxcfs")
    host("run", "--rm", "--network", "none", "busybox", "true")
    pid = lxcfs_pid(host)
    host("recover")
    assert not runs(pid)
