"""What runs in the virtual machine: limosa on cgroup v2, from a program's container to a Debian that is committed.

    python3 -m tests.vm.guest_containers ROOTFS     ROOTFS is a tar of Debian with systemd

It prints a line for each thing that was shown and stops at the first that was not.
"""

import json
import os
import pty
import subprocess
import sys
import time
from typing import Any

from tests.waiting import eventually

GROUPS = "/sys/fs/cgroup/limosa"
BOOT_S = 180  # under emulation


def limosa(*args: str, status: int = 0) -> str:
    """Run the command, whose status must be `status`, and return its standard output."""
    done = subprocess.run(["limosa", *args], capture_output=True, text=True, check=False)
    assert done.returncode == status, f"limosa {' '.join(args)}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout.strip()


def shown(what: str) -> None:
    print(f"{time.monotonic():6.0f} s  {what}", flush=True)


def group_value(name: str, file: str) -> str:
    """Return a file of a container's own group, as the host sees it."""
    with open(f"{GROUPS}/{record(name)['container_id']}/{file}", encoding="ascii") as opened:
        return opened.read().strip()


def record(name: str) -> dict[str, Any]:
    """Return what is recorded of a container."""
    return next(one for one in json.loads(limosa("ps", "-a", "--json")) if one["config"]["name"] == name)


def memory_mib(name: str) -> int:
    text = limosa("exec", name, "cat", "/proc/meminfo")
    return int(text.split("MemTotal:")[1].split()[0]) >> 10


def program() -> None:
    """The thin path's container: run, limits, exec, checkpoint, restore, exit status."""
    limosa("template", "build", "-q", "busybox")
    assert limosa("run", "--rm", "busybox", "echo", "hello") == "hello"
    shown("run --rm")
    script = "trap 'exit 37' TERM; while :; do sleep 0.2; done"
    limosa("run", "-d", "--name", "box", "-m", "64m", "--cpus", "0.5", "--pids", "50", "busybox", "sh", "-c", script)
    assert group_value("box", "memory.max") == str(64 << 20)
    assert group_value("box", "cpu.max") == "50000 100000"
    assert memory_mib("box") == 64
    limosa("set", "-m", "128m", "--cpus", "1.5", "--pids", "60", "box")
    assert (group_value("box", "memory.max"), group_value("box", "pids.max")) == (str(128 << 20), "60")
    assert group_value("box", "cpu.max") == "150000 100000"
    assert memory_mib("box") == 128
    shown("limits, changed live; its own view follows")
    limosa("exec", "box", "touch", "/root/before")
    commit = limosa("checkpoint", "box")
    limosa("exec", "box", "touch", "/root/after")
    limosa("kill", "box")
    assert limosa("wait", "box") == "137"
    limosa("restore", commit)
    assert limosa("exec", "box", "ls", "/root") == "before"
    assert memory_mib("box") == 128
    limosa("kill", "--signal", "TERM", "box")
    assert limosa("wait", "box") == "37"
    limosa("rm", "box")
    shown("checkpoint, restore, exit status")


def state(name: str) -> str:
    return limosa("exec", name, "sh", "-c", "systemctl is-system-running || true")


def entered(name: str, typed: str) -> str:
    """Return what a login shell says to what is typed."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp("limosa", ["limosa", "enter", name])
    time.sleep(8)
    os.write(terminal, typed.encode())
    text = b""
    try:
        while more := os.read(terminal, 4096):
            text += more
    except OSError:  # its end
        os.waitpid(pid, 0)
    return text.decode()


def machine(rootfs: str) -> None:
    """A Debian with systemd: boot, enter, limits, reboot, commit, copies, stop."""
    limosa("image", "import", rootfs, "debian")
    limosa("create", "--init", "-m", "256m", "box", "debian")
    limosa("start", "box")
    eventually(lambda: state("box") == "running", BOOT_S)
    assert limosa("exec", "box", "cat", "/proc/1/cgroup") == "0::/init.scope"
    assert {"memory", "pids"} <= set(limosa("exec", "box", "cat", "/sys/fs/cgroup/cgroup.subtree_control").split())
    shown("systemd is running, in groups of its own with controllers")
    said = entered("box", "echo $((6 * 7)) $(hostname) $(tty); exit\n")
    assert "42 box /dev/pts/" in said, said
    shown("enter")
    assert memory_mib("box") == 256
    limosa("set", "-m", "300m", "box")
    assert (group_value("box", "memory.max"), memory_mib("box")) == (str(300 << 20), 300)
    limosa(
        "exec", "box", "systemd-run", "--wait", "-q", "-p", "MemoryMax=50M", "sh", "-c", "grep run-u /proc/self/cgroup"
    )
    shown("limits changed live; its init limits its own services")
    before = record("box")["init_pid"]
    limosa("exec", "-d", "box", "systemctl", "reboot")
    eventually(lambda: record("box")["init_pid"] not in (0, before), BOOT_S)
    eventually(lambda: record("box")["phase"] == "running" and state("box") == "running", BOOT_S)
    shown("rebooted from inside")
    for _ in range(2):
        commit = limosa("checkpoint", "--stop", "box")
        limosa("restore", commit)
        assert state("box") == "running"
        limosa("exec", "box", "systemd-run", "--wait", "-q", "true")
    shown("committed and restored, twice")
    limosa("fork", "--name", "copy", commit)
    assert state("copy") == "running"
    limosa("exec", "copy", "systemctl", "restart", "systemd-logind")
    assert limosa("exec", "copy", "cat", "/sys/fs/cgroup/cgroup.subtree_control") != ""
    shown("a copy runs beside it")
    limosa("stop", "box", "copy")
    assert [record(name)["exit"]["status"] for name in ("box", "copy")] == [0, 0]
    limosa("rm", "box", "copy")
    shown("shut down by its own init")


def nothing_left() -> None:
    """No group, mount or process of limosa is left."""
    limosa("recover")
    assert not os.path.exists(GROUPS)
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        left = [line.split()[4] for line in file if "limosa" in line.split()[4] and "/srv/" not in line.split()[4]]
    assert left == []
    running = subprocess.run(["ps", "-eo", "args"], check=True, capture_output=True, text=True).stdout
    assert not [
        line for line in running.splitlines() if line.startswith(("conmon", "/usr/bin/conmon")) or "/run/limosa" in line
    ]
    shown("nothing is left")


if __name__ == "__main__":
    program()
    machine(sys.argv[1])
    nothing_left()
