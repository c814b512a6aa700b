"""What the doctor says of a container, and that a checkpoint of it fails of just that and of nothing else."""

import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import LIMOSA, Limosa
from tests.e2e.matrix import compatibility
from tests.e2e.matrix.refused import CASES, FORGET
from tests.waiting import eventually

pytestmark = pytest.mark.privileged

# Does what it is told through a file, and says when it has done it.
PROGRAM = """
import ctypes, os, socket, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
kept = []
def child(flag):
    pid = os.fork()
    if not pid:
        code = libc.unshare(flag)
        open("/tmp/child", "w").write(str(code))
        time.sleep(9999)
    return pid
while True:
    try:
        text = open("/tmp/order").read()
        os.unlink("/tmp/order")
    except FileNotFoundError:
        time.sleep(0.02)
        continue
    try:
        exec(text)
        said = "done"
    except BaseException as error:
        said = repr(error)
    open("/tmp/said.new", "w").write(said)
    os.rename("/tmp/said.new", "/tmp/said")
"""
# What looks odd and is none: the doctor must not cry wolf.
HARMLESS = """
import select
kept += [socket.socketpair(), select.epoll(), os.fdopen(os.eventfd(0)), os.fdopen(os.pidfd_open(1))]
kept += [os.fdopen(os.memfd_create('m')), socket.socket(socket.AF_PACKET, 3, 0), open('/dev/urandom', 'rb')]
kept += [os.fdopen(libc.inotify_init()), open('/tmp/gone', 'w')]
os.unlink('/tmp/gone')
routes, listener, waiting = socket.socket(socket.AF_NETLINK, 3, 0), *(socket.socket(socket.AF_UNIX) for _ in '12')
routes.bind((0, 1))
listener.bind('/tmp/l')
listener.listen()
waiting.connect('/tmp/l')
"""


@pytest.fixture
def server() -> Iterator[str]:
    """A directory with a socket that somebody on the host serves."""
    with tempfile.TemporaryDirectory(prefix="limosat-", dir="/var/tmp") as directory:
        os.chmod(directory, 0o777)
        with socket.socket(socket.AF_UNIX) as deaf, socket.socket(socket.AF_UNIX) as answering:
            for name, listener in (("server", deaf), ("answering", answering)):
                listener.bind(f"{directory}/{name}")
                os.chmod(f"{directory}/{name}", 0o777)
                listener.listen(16)
            accepted: list[object] = []
            accepting = threading.Thread(target=lambda: accepted.append(answering.accept()), daemon=True)
            accepting.start()
            yield directory


def order(limosa: Limosa, text: str) -> None:
    limosa("exec", "-i", "one", "sh", "-c", "rm -f /tmp/said; cat >/tmp/o; mv /tmp/o /tmp/order", stdin=text)
    limosa("exec", "one", "sh", "-c", "while ! [ -e /tmp/said ]; do sleep 0.02; done")
    assert limosa("exec", "one", "cat", "/tmp/said") == "done", text


def diagnosed(limosa: Limosa, status: int) -> list[dict[str, Any]]:
    said = json.loads(limosa("doctor", "--json", "one", status=status))
    assert said["able"] is (status == 0)
    found: list[dict[str, Any]] = said["obstacles"]
    return found


@pytest.mark.timeout(600)
def test_the_doctor_says_what_a_checkpoint_fails_of(
    limosa: Limosa, python_rootfs: str, server: str, pytestconfig: pytest.Config
) -> None:
    limosa("image", "import", python_rootfs, "python")
    rights = ("--cap-add", "ALL", "--seccomp", "unconfined", "--device", "tun", "--device", "fuse")
    limosa("run", "-d", "--name", "one", *rights, "-v", f"{server}:/host", "python", "python3", "-c", PROGRAM)
    shown: dict[str, compatibility.Line] = {}
    for name, (text, (code, said, place), undo) in CASES.items():
        order(limosa, text)
        await_verdict(limosa, name, clean=False)
        stopping = [one for one in diagnosed(limosa, 1) if one["stops"]]
        assert stopping[0]["code"] == code, name
        assert {one["code"] for one in stopping} <= {code, "LIM-CRIU-024"}, name
        who = f"python3 (pid {stopping[0]['pid']})" if stopping[0]["pid"] else "the container"
        assert stopping[0]["command"] == ("python3" if stopping[0]["pid"] else ""), name
        assert said in stopping[0]["what"], name
        assert stopping[0]["place"].startswith(place), name
        assert stopping[0]["hint"], name
        refused = limosa("checkpoint", "one", status=1)
        assert f'error[{code}]: cannot checkpoint "one": {who} ' in refused, name
        assert '"one" is running; nothing changed' in refused, name
        order(limosa, undo)
        await_verdict(limosa, name, clean=True)
        shown[name] = {key: stopping[0][key] for key in ("code", "what", "hint", "pid")}
        shown[name]["what"] = shown[name]["what"].replace(server, "…")
    if pytestconfig.getoption("--compatibility"):
        compatibility.remember_refusals(shown)
    order(limosa, HARMLESS)
    assert [one for one in diagnosed(limosa, 0) if one["stops"]] == []
    assert "nothing would stop a checkpoint" in limosa("doctor", "one")
    limosa("checkpoint", "--stop", "one")
    assert "LIM-CONT-002" in limosa("doctor", "one", status=1)
    limosa("restore", "one")
    order(limosa, FORGET)


def await_verdict(limosa: Limosa, what: str, *, clean: bool) -> None:
    """Wait until the doctor finds nothing, or something: an exec session needs a moment to go, a child to come."""
    argv = [LIMOSA, "--root", limosa.root, "doctor", "one"]
    deadline = time.monotonic() + 20
    while True:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if (done.returncode == 0) is clean and "exec session" not in done.stdout:
            return
        assert time.monotonic() < deadline, f"{what}: {done.stdout}{done.stderr}"
        time.sleep(0.1)


def test_sessions_are_named_refused_and_ended(limosa: Limosa, python_rootfs: str) -> None:
    limosa("image", "import", python_rootfs, "python")
    limosa("run", "-d", "--name", "one", "python", "sleep", "1000")
    deaf = "trap '' HUP TERM; echo ready >/tmp/ready; while :; do sleep 1; done"
    argv = [LIMOSA, "--root", limosa.root, "exec", "one", "sh", "-c", deaf]
    visitor = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
    try:
        limosa("exec", "one", "sh", "-c", "while ! [ -e /tmp/ready ]; do sleep 0.02; done")
        limosa("exec", "-d", "one", "sleep", "777")
        eventually(lambda: len(diagnosed(limosa, 1)) == 2)  # crun itself is no session for long
        (shell, sleeper) = diagnosed(limosa, 1)
        assert {shell["code"], sleeper["code"]} == {"LIM-CRIU-020"}
        assert {shell["command"], sleeper["command"]} == {"sh", "sleep"}
        refused = limosa("checkpoint", "one", status=1)
        assert "exec session: sh -c trap" in refused
        assert "exec session: sleep 777" in refused
        assert "--end-sessions one" in refused
        assert visitor.poll() is None
        said = json.loads(limosa("checkpoint", "--json", "--end-sessions", "one"))
        assert visitor.wait(20) == 128 + signal.SIGKILL, "it heard neither SIGHUP nor SIGTERM"
        await_verdict(limosa, "sessions", clean=True)
    finally:
        visitor.kill()
        visitor.wait()
    took = said["stats"]
    assert said["frozen_ns"] == took["frozen_ns"]
    assert 0 < took["captured_ns"] < took["dumped_ns"]
    assert took["prepared_ns"] + took["dumped_ns"] + took["stored_ns"] == took["total_ns"]
    assert took["read_bytes"] >= took["new_bytes"] > 0 < took["stored_bytes"]


def test_stats_say_what_a_commit_took(limosa: Limosa, python_rootfs: str) -> None:
    """The frozen time is what the program itself sees: how long it did not run."""
    limosa("image", "import", python_rootfs, "python")
    program = """
import time
ballast = bytearray(range(256)) * (40 << 12)
worst = 0
before = time.monotonic_ns()
while True:
    now = time.monotonic_ns()
    worst, before = max(worst, now - before), now
    if now // 10**8 != (now - 10**6) // 10**8:
        with open("/tmp/worst", "w") as file: file.write(str(worst))
        before = time.monotonic_ns()
"""
    limosa("run", "-d", "--name", "one", "python", "python3", "-c", program)
    limosa("exec", "one", "sh", "-c", "while ! [ -s /tmp/worst ]; do sleep 0.05; done")
    begun_ns = time.monotonic_ns()
    first = json.loads(limosa("checkpoint", "--json", "one"))["stats"]
    around_ns = time.monotonic_ns() - begun_ns
    assert first["total_ns"] < around_ns
    assert first["frozen_ns"] < first["dumped_ns"]
    assert first["read_bytes"] > 40 << 20
    time.sleep(0.3)
    worst_ns = int(limosa("exec", "one", "cat", "/tmp/worst"))
    assert worst_ns > first["frozen_ns"] * 0.8, "it stood still for at least that long"
    second = json.loads(limosa("checkpoint", "--json", "one"))["stats"]
    assert second["new_bytes"] < first["new_bytes"] / 4
    assert second["stored_bytes"] < first["stored_bytes"]
    done = subprocess.run(
        [LIMOSA, "--root", limosa.root, "checkpoint", "--stats", "one"], capture_output=True, text=True, check=True
    )
    assert len(done.stdout.strip()) == 64, "standard output has the id alone"
    assert {"frozen", "dump", "store", "read", "new", "stored"} <= {
        line.split()[0] for line in done.stderr.splitlines()
    }
    stopped = json.loads(limosa("checkpoint", "--json", "--stop", "one"))
    assert stopped["stats"]["frozen_ns"] >= stopped["frozen_ns"] > 0
