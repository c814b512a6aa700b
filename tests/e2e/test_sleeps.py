"""No sleep ends because of a commit: a program that gets EINTR without a signal need not know what to do."""

import json
import time
from typing import Any

import pytest

from tests.e2e.conftest import Limosa
from tests.waiting import eventually

pytestmark = pytest.mark.privileged

# Two threads sleep, one for a time and one until a time, and note how each sleep ended and how long it took.
PROGRAM = """
import ctypes, json, os, threading, time
libc = ctypes.CDLL(None, use_errno=True)
heap = bytearray(os.urandom(1 << 20)) * {mib}  # so much that it is copied while this runs
ended = []

class Span(ctypes.Structure):
    _fields_ = [("s", ctypes.c_long), ("ns", ctypes.c_long)]

def note(what, result, start):
    ended.append((what, result and ctypes.get_errno(), time.monotonic() - start))
    with open(f"/tmp/ended.{{what}}", "w") as file:
        json.dump(ended, file)
    os.rename(f"/tmp/ended.{{what}}", "/tmp/ended")

def sleeps():
    while True:
        start, left = time.monotonic(), Span(2, 0)
        note("for", libc.nanosleep(ctypes.byref(left), ctypes.byref(left)), start)

def waits():
    never = ctypes.create_string_buffer(64)
    libc.sem_init(never, 0, 0)
    while True:
        start, until = time.monotonic(), Span(int(time.time()) + 3, 0)
        note("until", libc.sem_timedwait(never, ctypes.byref(until)), start)

threading.Thread(target=sleeps).start()
waits()
"""
TIMED_OUT = 110


def ended(limosa: Limosa, name: str) -> list[Any]:
    found: list[Any] = json.loads(limosa("exec", name, "sh", "-c", "cat /tmp/ended || echo []"))
    return found


def ends(limosa: Limosa, name: str, more: int) -> list[Any]:
    """Return how the sleeps of a container ended, once each of its threads had `more` others that did."""
    before = len(ended(limosa, name))
    eventually(lambda: len(ended(limosa, name)) >= before + 2 * more, 60)
    return ended(limosa, name)


def require_whole(found: list[Any]) -> None:
    assert [one for one in found if one[1] != {"for": 0, "until": TIMED_OUT}[one[0]]] == [], "interrupted"
    # Not so of a wait with a deadline: a commit may be brought back after it.
    assert [one for one in found if one[0] == "for" and one[2] < 2] == [], "ended early"


@pytest.mark.parametrize("mib", [1, 40], ids=["little", "much"])
def test_sleeps_go_on_through_commits_and_after_them(limosa: Limosa, python_rootfs: str, mib: int) -> None:
    limosa.has_image("python", python_rootfs)
    limosa("run", "-d", "--name", "one", "python", "python3", "-c", PROGRAM.format(mib=mib))
    ends(limosa, "one", 1)
    for _ in range(3):
        commit = limosa("checkpoint", "one").strip()
        time.sleep(0.3)
    require_whole(ends(limosa, "one", 1))
    limosa("rewind", "one", commit)
    limosa("fork", "--name", "copy", commit)
    for name in ("one", "copy"):
        require_whole(ends(limosa, name, 2))


def test_a_program_that_sleeps_once_goes_on_sleeping(limosa: Limosa, python_rootfs: str) -> None:
    limosa.has_image("python", python_rootfs)
    sleeps = "import ctypes; span = (ctypes.c_long * 2)(1000, 0); ctypes.CDLL(None).nanosleep(span, span)"
    limosa("run", "-d", "--name", "one", "python", "python3", "-c", sleeps)
    time.sleep(0.5)
    commit = limosa("checkpoint", "one").strip()
    again = limosa("checkpoint", "one").strip()
    limosa("rewind", "one", commit)
    limosa("fork", "--name", "copy", again)
    time.sleep(0.5)
    assert {one["phase"] for one in limosa.records().values()} == {"running"}
