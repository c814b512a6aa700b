"""What runs in the virtual machine: commits that its systemd makes at their times, of a redis that goes on counting.

python3 -m tests.vm.guest_schedule
"""

import json
import os
import shutil
import subprocess
import tempfile
from typing import Any

from tests.vm.guest_containers import limosa, nothing_left, record, shown
from tests.waiting import eventually

UNITS = "/etc/systemd/system"
WAIT_S = 240  # under emulation


def rootfs() -> str:
    """Return a directory with the guest's own redis, what it needs, and a shell."""
    tree = tempfile.mkdtemp(dir="/srv", prefix="rootfs-")
    for program in ("/usr/bin/redis-server", "/usr/bin/redis-cli", "/bin/busybox"):
        needed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
        paths = [word for line in needed.splitlines() for word in line.split() if word.startswith("/")]
        for path in (program, *paths):
            os.makedirs(f"{tree}{os.path.dirname(path)}", exist_ok=True)
            shutil.copy(path, f"{tree}{path}")
    for name in ("bin", "root", "tmp", "proc", "sys", "dev", "run", "etc"):
        os.makedirs(f"{tree}/{name}", exist_ok=True)
    os.symlink("/bin/busybox", f"{tree}/bin/sh")
    with open(f"{tree}/etc/passwd", "w", encoding="ascii") as file:
        file.write("root:x:0:0:root:/root:/bin/sh\n")
    return tree


def made() -> list[dict[str, Any]]:
    return [one for one in json.loads(limosa("log", "--json")) if one["scheduled"]]


def units() -> list[str]:
    return sorted(name for name in os.listdir(UNITS) if name.startswith("limosa-checkpoint-"))


def commits_at_their_times() -> None:
    limosa("image", "import", rootfs(), "redis")
    server = ("/usr/bin/redis-server", "--save", "", "--dir", "/tmp")
    limosa("run", "-d", "--name", "db", "redis", *server)
    eventually(lambda: limosa("exec", "db", "/usr/bin/redis-cli", "ping") == "PONG", WAIT_S)
    by_hand = limosa("checkpoint", "db")
    limosa("checkpoint", "--every", "10s", "--keep", "last=2", "db")
    one = record("db")
    assert one["schedule"] == {"every_s": 10, "keep": "last=2"}
    assert units() == [f"limosa-checkpoint-{one['container_id']}.{kind}" for kind in ("service", "timer")]
    eventually(lambda: len(made()) == 2, WAIT_S)
    first = [commit["commit_id"] for commit in made()]
    shown("two commits were made at their times")
    limosa("exec", "db", "/usr/bin/redis-cli", "set", "bird", "limosa")
    eventually(lambda: not {commit["commit_id"] for commit in made()} & set(first), WAIT_S)
    assert len(made()) == 2
    everything = [commit["commit_id"] for commit in json.loads(limosa("log", "--json"))]
    assert everything[0] == by_hand, "what somebody made stays"
    (listed,) = json.loads(limosa("checkpoint", "--every", "list", "--json"))
    assert (listed["container"], listed["every_s"]) == ("db", 10)
    shown("older ones were forgotten")
    limosa("stop", "db")
    failed = subprocess.run(
        ["systemctl", "is-failed", "limosa-checkpoint-*"], capture_output=True, text=True, check=False
    )
    service = f"limosa-checkpoint-{one['container_id']}.service"
    said = subprocess.run(["journalctl", "--no-pager", "-u", service], capture_output=True, text=True, check=False)
    assert "failed" not in failed.stdout.split(), failed.stdout + said.stdout
    limosa("checkpoint", "--every", "off", "db")
    assert units() == []
    assert record("db")["schedule"] is None
    limosa("rewind", "db", made()[-1]["commit_id"])
    assert limosa("exec", "db", "/usr/bin/redis-cli", "get", "bird") == "limosa"
    probe = "/usr/bin/redis-cli get bird | /bin/busybox grep -q limosa"
    limosa("verify", "--trial", "--within", "60", "--probe", probe, made()[-1]["commit_id"])
    shown("no more of them; the last one came back, and passed a trial")
    limosa("checkpoint", "--every", "1h", "--keep", "daily=7", "db")
    os.unlink(f"{UNITS}/limosa-checkpoint-{one['container_id']}.timer")
    os.unlink(f"{UNITS}/limosa-checkpoint-{one['container_id']}.service")
    assert "made the timer" in limosa("recover")
    assert len(units()) == 2
    limosa("rm", "-f", "db")
    assert units() == []
    loaded = subprocess.run(
        ["systemctl", "list-units", "--all", "--no-legend", "limosa-checkpoint*"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "limosa" not in loaded.stdout, loaded.stdout
    shown("a timer goes with its container")


if __name__ == "__main__":
    commits_at_their_times()
    nothing_left()
