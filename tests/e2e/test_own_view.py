"""What a container sees of the machine is its own share, also after a checkpoint, and lxcfs can die."""

import os
import signal
import time

import pytest

from tests.e2e.conftest import Limosa

pytestmark = pytest.mark.privileged


@pytest.fixture
def host(limosa: Limosa, debian_12_rootfs: str) -> Limosa:
    limosa("image", "import", debian_12_rootfs, "debian12")
    return limosa


def sleeper(host: Limosa, name: str, *options: str) -> None:
    host("run", "-d", "--name", name, "--network", "none", *options, "debian12", "sleep", "infinity")


def memory_total(host: Limosa, name: str) -> int:
    """Return what `free` says there is, in MiB."""
    return int(host("exec", name, "free", "-m").split("\n")[1].split()[1])


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
    """Return the processors that nproc, /proc/cpuinfo, /proc/stat and /sys show."""
    script = (
        "nproc; grep -c ^processor /proc/cpuinfo; grep -c '^cpu[0-9]' /proc/stat; getconf _NPROCESSORS_ONLN; "
        "grep -q -- - /sys/devices/system/cpu/online && echo several || true"
    )
    words = host("exec", name, "sh", "-c", script).split()
    assert words[4:] in ([], ["several"])
    first, second, third, fourth = map(int, words[:4])
    return first, second, third, fourth


def test_free_nproc_and_uptime_show_the_containers_share(host: Limosa) -> None:
    last = max(os.sched_getaffinity(0))
    sleeper(host, "small", "-m", "300m", "--cpuset", str(last))
    sleeper(host, "quota", "--cpus", "1")
    assert memory_total(host, "small") == 300
    assert memory_total(host, "quota") > 300
    assert shares(host, "small") == (1, 1, 1, 1)
    assert shares(host, "quota")[1:] == (1, 1, 1), "a quota shows in all but the affinity, which it does not change"
    uptime = float(host("exec", "small", "cat", "/proc/uptime").split()[0])
    assert uptime < min(120, host_uptime_s())
    assert "load average: 0." in host("exec", "small", "uptime")
    # Memory that one container uses is used there and not in the other.
    before = used_mib(host, "quota")
    script = "perl -e 'my $x = \"x\" x (100 << 20); print `free -m`'"
    assert int(host("exec", "small", "sh", "-c", script).split("\n")[1].split()[2]) >= 100
    assert used_mib(host, "quota") - before < 50


def used_mib(host: Limosa, name: str) -> int:
    return int(host("exec", name, "free", "-m").split("\n")[1].split()[2])


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


def test_a_system_container_sees_its_share(host: Limosa) -> None:
    host("run", "-d", "--system", "--name", "box", "-m", "300m", "--cpuset", "0", "debian12")
    deadline = time.monotonic() + 60
    while "running" not in host("exec", "box", "sh", "-c", "systemctl is-system-running || true"):
        assert time.monotonic() < deadline
        time.sleep(0.3)
    assert memory_total(host, "box") == 300
    assert shares(host, "box") == (1, 1, 1, 1)
    assert float(host("exec", "box", "cat", "/proc/uptime").split()[0]) < min(120, host_uptime_s())


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
    host("run", "--rm", "--network", "none", "debian12", "true")
    pid = lxcfs_pid(host)
    sleeper(host, "box")
    assert lxcfs_pid(host) == pid, "one lxcfs serves them all"
    host("rm", "--force", "box")
    assert not runs(pid)
    assert not os.path.exists(f"{host.root}/run/lxcfs")
    host("run", "--rm", "--network", "none", "debian12", "true")
    pid = lxcfs_pid(host)
    host("recover")
    assert not runs(pid)
