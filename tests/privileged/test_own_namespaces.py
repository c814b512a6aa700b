"""criu's question whether the namespaces of a process belong to its user namespace, of a process that gave up root.

Here it is asked as criu asks it (check_user_ns in criu/namespaces.c), with what is preloaded and without.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from limosa.adapters.criu import native

pytestmark = pytest.mark.privileged
FIRST_ID = 700_000_000  # nobody's on a machine of tests
NEW_USER, NEW_NET = 0x10000000, 0x40000000
# A process as criu restores one: its memory is of the host's user namespace, and it changed its user.
SUBJECT = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
for kind in map(int, sys.argv[1:]):
    assert libc.unshare(kind) == 0
print("apart", flush=True)
sys.stdin.readline()
os.setgroups([])
os.setresgid(5, 5, 5)
os.setresuid(5, 5, 5)
assert libc.prctl(3, 0, 0, 0, 0) != 1, "it may not be looked into"
print("ready", flush=True)
sys.stdin.readline()
"""
ASK = """
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(8, 1, 0, 0, 0)
there = os.open(f"/proc/{sys.argv[1]}", os.O_PATH)
first = int(sys.argv[2])
os.setresgid(first, first, first)
os.setgroups([])
os.setresuid(first, first, first)
caps = (ctypes.c_uint32 * 6)()
header = (ctypes.c_uint32 * 2)(0x20080522, 0)
assert libc.capget(header, caps) == 0
caps[0], caps[3] = caps[1], caps[4]
assert libc.capset(header, caps) == 0
def enter(name, kind):
    opened = libc.openat64(there, b"ns/" + name, os.O_RDONLY)
    if opened < 0:
        return "not opened: " + errno.errorcode[ctypes.get_errno()]
    entered = libc.setns(opened, kind)
    os.close(opened)
    return "entered" if entered == 0 else "not entered: " + errno.errorcode[ctypes.get_errno()]
assert enter(b"user", 0x10000000) == "entered"
print(enter(b"net", 0x40000000))
"""


@contextmanager
def subject(*kinds: int) -> Iterator[int]:
    argv = [sys.executable, "-c", SUBJECT, *map(str, kinds)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        try:
            assert process.stdout.readline() == "apart\n"
            for name in ("uid_map", "gid_map"):
                with open(f"/proc/{process.pid}/{name}", "w", encoding="ascii") as file:
                    file.write(f"0 {FIRST_ID} 10")
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "ready\n"
            yield process.pid
        finally:
            process.kill()


def asked(pid: int, library: str) -> str:
    argv = [sys.executable, "-c", ASK, str(pid), str(FIRST_ID)]
    done = subprocess.run(
        argv, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, "LD_PRELOAD": library}
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def library(tmp_path_factory: Any) -> str:
    made = native.namespaces(str(tmp_path_factory.mktemp("native")), shutil.which("cc") or "")
    assert made
    return made


def test_its_own_network_is_found_to_be_its_own(library: str) -> None:
    with subject(NEW_USER | NEW_NET) as pid:
        assert asked(pid, "") == "not opened: EACCES", "the kernel does not say so any more: this can go"
        assert asked(pid, library) == "entered"


def test_a_network_that_is_not_its_own_is_found_not_to_be(library: str) -> None:
    with subject(NEW_NET, NEW_USER) as pid:
        assert asked(pid, library) == "not entered: EPERM"
