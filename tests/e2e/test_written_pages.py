"""Commits of what was written, in a container with the safe defaults; every commit is held against a full copy."""

import json
import time
from typing import Any

import pytest

from tests.e2e.conftest import Limosa

pytestmark = pytest.mark.privileged

# Memory that changes in steps and is otherwise the same, as the program itself sees to; a child and threads beside it.
PROGRAM = """
import hashlib, mmap, os, random, threading, time
PAGES = 6000
heap = mmap.mmap(-1, PAGES * 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for page in range(PAGES):
    heap[page * 4096 : page * 4096 + 64] = os.urandom(64)
if os.fork() == 0:
    while True:
        own = bytearray(os.urandom(100000))
        time.sleep(0.05)
scratch = bytearray(1 << 20)
def scribble():
    while True:
        scratch[random.randrange(len(scratch))] = 1
        time.sleep(0.001)
for _ in range(3):
    threading.Thread(target=scribble, daemon=True).start()
number = 0
while True:
    number += 1
    for page in random.sample(range(PAGES), 40):
        heap[page * 4096 : page * 4096 + 64] = os.urandom(64)
    heap.madvise(mmap.MADV_DONTNEED, random.randrange(PAGES) * 4096, 4096)
    with open("/proc/self/meminfo" if os.path.exists("/proc/self/meminfo") else "/proc/meminfo", "rb") as file:
        file.readinto(memoryview(heap)[4096 * 17 : 4096 * 18])
    digest = hashlib.sha256(heap).hexdigest()
    with open("/tmp/answer.new", "w") as file:
        file.write(f"{number} {digest}")
    os.rename("/tmp/answer.new", "/tmp/answer")
    while not os.path.exists("/tmp/next"):
        time.sleep(0.01)
        if hashlib.sha256(heap).hexdigest() != digest:
            os._exit(66)
    os.unlink("/tmp/next")
"""
STEP = "touch /tmp/next; while [ -e /tmp/next ]; do sleep 0.02; done; sleep 0.2"


def answer(limosa: Limosa, name: str) -> str:
    return limosa("exec", name, "cat", "/tmp/answer")


def record(limosa: Limosa, name: str) -> Any:
    container = limosa.records()[name]["container_id"]
    with open(f"{limosa.root}/run/bundles/{container}/written-pages", encoding="ascii") as file:
        return json.load(file)


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_commits_of_written_pages_come_back(limosa: Limosa, python_rootfs: str) -> None:
    limosa("image", "import", python_rootfs, "python")
    limosa("run", "-d", "--name", "one", "python", "python3", "-c", PROGRAM)
    limosa("exec", "one", "sh", "-c", "while ! [ -e /tmp/answer ]; do sleep 0.05; done")
    commits = []
    for _ in range(3):
        commits.append((limosa("checkpoint", "one").strip(), answer(limosa, "one")))
        kept = record(limosa, "one")
        assert {process["since"] for process in kept["processes"]} == {commits[-1][0]}, (
            "marks count from this commit on"
        )
        assert len(kept["processes"]) == 2
        limosa("exec", "one", "sh", "-c", STEP)
    holder = kept["holder"][0]
    assert alive(holder)
    for commit, expected in (commits[1], commits[2], commits[0]):
        limosa("rewind", "--discard", "one", commit)
        assert answer(limosa, "one") == expected
        limosa("exec", "one", "sh", "-c", STEP)
        assert answer(limosa, "one") != expected
        limosa("checkpoint", "one")
    copies = limosa("fork", "-n", "2", "--name", "copy", commits[2][0]).split()
    assert {answer(limosa, name) for name in copies} == {commits[2][1]}
    assert limosa.records()["one"]["phase"] == "running", "it found its own memory as it left it"
    deadline = time.monotonic() + 20
    while alive(holder):
        assert time.monotonic() < deadline, "the first life's holder lives on"
        time.sleep(0.1)
    last = record(limosa, "one")["holder"][0]
    limosa("rm", "--force", "one")
    while alive(last):
        assert time.monotonic() < deadline, "the holder outlives its container"
        time.sleep(0.1)
