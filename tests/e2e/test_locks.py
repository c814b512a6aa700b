"""Locks on files come back with a commit, whatever kind they are, whoever has them, and whether the file is mapped."""

import fcntl
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Limosa
from tests.imported import LIMOSA
from tests.waiting import eventually

pytestmark = pytest.mark.privileged

# Three processes, one of them with a second thread and one a stopped job, and what they hold of five files.
HOLDERS = """
import ctypes, fcntl, mmap, os, signal, struct, threading, time

def opened(name):
    descriptor = os.open(f"/srv/{name}", os.O_RDWR | os.O_CREAT)
    os.truncate(descriptor, 1 << 16)
    return descriptor

def posix(descriptor, kind, first, size):
    fcntl.lockf(descriptor, kind | fcntl.LOCK_NB, size, first)

shared, private, plain, open_file, whole = map(opened, ("shared", "private", "plain", "open-file", "whole"))
mapped = [mmap.mmap(descriptor, 1 << 16) for descriptor in (shared, open_file, whole)]
mapped += [mmap.mmap(private, 4096, mmap.MAP_PRIVATE), mmap.mmap(shared, 4096, offset=8192)]
posix(shared, fcntl.LOCK_SH, 128, 1)
thread = threading.Thread(target=posix, args=(shared, fcntl.LOCK_EX, 200, 10))
thread.start()
thread.join()
posix(os.open("/srv/shared", os.O_RDWR), fcntl.LOCK_EX, 60000, 0)
posix(private, fcntl.LOCK_EX, 0, 0)
posix(plain, fcntl.LOCK_SH, 128, 1)
fcntl.fcntl(open_file, 37, struct.pack("@hhqqi4x", fcntl.F_WRLCK, 0, 7, 3, 0))
fcntl.flock(whole, fcntl.LOCK_EX)
threading.Thread(target=time.sleep, args=(10000,), daemon=True).start()
if os.fork() == 0:
    posix(shared, fcntl.LOCK_SH, 128, 1)
    posix(shared, fcntl.LOCK_EX, 300, 1)
elif os.fork() == 0:
    posix(shared, fcntl.LOCK_EX, 400, 1)
    os.kill(os.getpid(), signal.SIGSTOP)
time.sleep(10000)
"""
# Each lock by its kind, way, holder and part; and the state of each process but this one.
LOOK = """
import os, re
with open("/proc/locks") as file:
    fields = [line.split() for line in file]
about = [os.stat(f"/srv/{name}") for name in os.listdir("/srv")]
files = [f"{os.major(one.st_dev):02x}:{os.minor(one.st_dev):02x}:{one.st_ino}" for one in about]
locks = [field[1:5] + field[6:] for field in fields if field[5] in files]
states = [open(f"/proc/{pid}/stat").read().split()[:3] for pid in os.listdir("/proc") if pid.isdigit()]
print(sorted(map(str, locks)), sorted(state for state in states if state[0] != str(os.getpid())))
"""
TAKE = """
import fcntl, sys
for at in map(int, sys.argv[1:]):
    with open("/srv/shared", "r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, at)
        except BlockingIOError:
            continue
    sys.exit(f"byte {at} is free")
"""


def test_every_lock_comes_back_before_anybody_can_take_it(limosa: Limosa, python_rootfs: str) -> None:
    limosa.has_image("python", python_rootfs)
    limosa("run", "-d", "--name", "one", "python", "python3", "-c", HOLDERS)

    def found(name: str) -> str:
        return limosa("exec", name, "python3", "-c", LOOK)

    eventually(lambda: found("one").count("POSIX") == 8 and "'T'" in found("one"))
    before = found("one")
    assert (before.count("OFDLCK"), before.count("FLOCK"), before.count("EOF")) == (1, 1, 3), before
    commit = limosa("checkpoint", "one").strip()
    assert found("one") == before
    limosa("rewind", "--discard", "one", commit)
    assert found("one") == before
    again = limosa("checkpoint", "one").strip()
    hook = shlex.join(("python3", "-c", TAKE, "128", "205", "300", "400", "65000"))
    (copy,) = limosa("fork", "--name", "copy", "--hook", hook, again).split()
    assert found(copy) == before


# Of the host: waits until somebody has locked a file, and then for the moment in which nobody has.
LURK = """
import fcntl, struct, sys, time
file = open(sys.argv[1], "r+b")
asked = struct.pack("@hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0)
while struct.unpack("@hhqqi4x", fcntl.fcntl(file, fcntl.F_GETLK, asked))[0] == fcntl.F_UNLCK:
    pass
fcntl.lockf(file, fcntl.LOCK_EX)
print("taken", flush=True)
time.sleep(1000)
"""
LOCKED = """
import fcntl, mmap, time
file = open("/shared/file", "r+b")
shared = mmap.mmap(file.fileno(), 4096)
fcntl.lockf(file, fcntl.LOCK_SH, 1, 128)
open("/srv/ready", "w").close()
time.sleep(10000)
"""


@pytest.mark.slow
def test_without_a_lock_that_somebody_else_took_nothing_comes_back(
    limosa: Limosa, python_rootfs: str, tmp_path: Path
) -> None:
    limosa.has_image("python", python_rootfs)
    tmp_path.chmod(0o777)
    file = tmp_path / "file"
    file.write_bytes(bytes(4096))
    file.chmod(0o666)
    limosa("run", "-d", "--name", "one", "-v", f"{tmp_path}:/shared", "python", "python3", "-c", LOCKED)
    eventually(lambda: "ready" in limosa("exec", "one", "ls", "/srv"))
    commit = limosa("checkpoint", "--stop", "one").strip()

    def refused() -> bool:
        """Say whether a process of the host got in between, where criu has given a lock up and it is not back yet."""
        with subprocess.Popen([sys.executable, "-c", LURK, str(file)], stdout=subprocess.PIPE) as lurking:
            try:
                argv = [LIMOSA, "--root", limosa.root, "restore", commit]
                done = subprocess.run(argv, capture_output=True, text=True, check=False)
                if done.returncode == 0:
                    limosa("kill", "one")
                    limosa("wait", "one")
                    return False
                assert "LIM-CRIU-033" in done.stderr and "/shared/file" in done.stderr, done.stderr
                assert limosa.records()["one"]["phase"] == "stopped"
                return True
            finally:
                lurking.kill()

    assert any(refused() for _ in range(20)), "nobody ever got in between"
    with open(file, "r+b") as mine:
        fcntl.lockf(mine, fcntl.LOCK_EX)
        assert "LIM-CRIU-033" in limosa("restore", commit, status=1), "criu itself would wait for it"
        assert limosa.records()["one"]["phase"] == "stopped"
    limosa("restore", commit)
    assert "free" not in limosa("exec", "one", "python3", "-c", TAKE.replace("/srv/shared", "/shared/file"), "128")
