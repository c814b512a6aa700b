"""criu leaves out what is followed, and what is followed and what it dumps are together all of a process's memory."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest

from limosa import wiring_setup
from limosa.adapters.commit_store.parts import create
from limosa.adapters.commit_store.store import DirectoryStore
from limosa.adapters.criu import kernel_cache, native, pagemap
from limosa.adapters.criu.archive import CriuImageArchive
from limosa.adapters.written_pages.by_userfaultfd import UserfaultfdPages
from limosa.engine import written_check
from limosa.engine.host import Host
from limosa.keeper import descriptors
from limosa.model.commit_store import Commit, Manifest, ObjectId
from limosa.model.errors import LimosaError
from limosa.model.ids import ContainerId
from limosa.ports.written_pages import ProcessMemory

pytestmark = pytest.mark.privileged

CRIU = f"{wiring_setup.TOOLS_DIR}/current/criu"
HOLDER = (sys.executable, "-I", "-S", os.path.abspath(descriptors.__file__))
CONTAINER = ContainerId("0123456789abcdef0123456789abcdef")
MIB = 32
PROGRAM = f"""
import os
heap = bytearray(os.urandom(1 << 20) * {MIB})
print("ready", flush=True)
while True:
    page = os.read(0, 8)
    if not page:
        break
    heap[int(page) * 4096 : int(page) * 4096 + 8] = os.urandom(8)
    os.write(1, b"written")
"""


@pytest.fixture
def library(tmp_path: Any) -> str:
    made = native.library(str(tmp_path), shutil.which("cc") or "")
    assert made, "there is a compiler here"
    assert native.library(str(tmp_path), "") == made, "it is compiled once"
    return made


def test_without_a_compiler_nothing_is_skipped(tmp_path: Any) -> None:
    assert native.library(str(tmp_path), "") == ""
    assert native.library(str(tmp_path), "/bin/false") == ""
    assert native.programs(str(tmp_path), "") == ""
    assert [name for _, _, names in os.walk(tmp_path) for name in names] == []


def dump(pid: int, directory: str, library: str) -> None:
    os.mkdir(directory)
    kernel_cache.keep(CRIU)
    argv = [CRIU, "dump", "--tree", str(pid), "--images-dir", directory, "--leave-stopped", "-o", "dump.log"]
    argv += ["--skip-file-rwx-check"]
    subprocess.run(argv, check=True, env={"PATH": "/usr/sbin:/usr/bin", "LD_PRELOAD": library})


def dumped_pages(directory: str, pid: int) -> int:
    with open(f"{directory}/pagemap-{pid}.img", "rb") as file:
        return sum(n_pages for _, n_pages in pagemap.parse(file.read()).runs)


@pytest.fixture
def process() -> Iterator[Any]:
    started = subprocess.Popen(
        [sys.executable, "-I", "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert started.stdout
    started.stdout.readline()
    yield started
    started.kill()
    started.wait()


@pytest.fixture
def host(tmp_path: Any) -> Iterator[Host]:
    create(f"{tmp_path}/store", b"k" * 32)
    store = DirectoryStore(f"{tmp_path}/store")
    yield Host({"store": lambda: store, "memory_archive": CriuImageArchive}, lambda: 1, os.urandom, lambda: "boot")
    assert store.verify().damages == ()
    store.close()


def wait_for_state(pid: int, wanted: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            if file.read().rsplit(")", 1)[1].split()[0] == wanted:
                return
        assert time.monotonic() < deadline, f"it does not come to {wanted}"
        time.sleep(0.001)


def commit_of_a_dump(host: Host, directory: str) -> ObjectId:
    with host.store.writing() as writer:
        entries = CriuImageArchive().save(writer, directory)
        commit = writer.put_commit(Commit((), writer.put_entries(Manifest(), entries), 1))
        host.store.set_ref("containers/one", commit, when_ns=1, why="test")
    return commit


def test_what_the_kernel_keeps_for_itself_may_change_after_a_dump(
    library: str, process: Any, host: Host, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that runs for criu on another CPU: the kernel says so in its struct rseq, after criu has read that."""
    pid, cpus = process.pid, sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(pid, cpus[:1])
    wait_for_state(pid, "S")
    dump(pid, f"{tmp_path}/dump", library)
    commit = commit_of_a_dump(host, f"{tmp_path}/dump")
    os.sched_setaffinity(pid, cpus[-1:])
    os.kill(pid, signal.SIGCONT)  # it goes to user mode, and back into its read(2)
    wait_for_state(pid, "S")
    os.kill(pid, signal.SIGSTOP)
    wait_for_state(pid, "T")
    with UserfaultfdPages(lambda _: str(tmp_path), HOLDER, checked=True).following(
        CONTAINER, pid, [], "", str(tmp_path)
    ) as following:
        (witness,) = following.witness([pid])
    written_check.check(host, commit, [witness])
    with host.store.reading(commit) as reader:
        (first, flags), (others, _) = host.memory_archive.kept_by_kernel(reader, pid)
    # Of the processors' numbers each byte may differ; what the program says, and what is beside that, may not.
    for address, may_differ in ((first, True), (others, True), (flags, False), (first - 1, False)):
        changed = bytearray(witness.content)
        changed[place_in(witness, address)] ^= 1
        with nullcontext() if may_differ else pytest.raises(LimosaError, match="1 pages"):
            written_check.check(host, commit, [witness._replace(content=memoryview(changed))])
    if len(cpus) > 1:
        monkeypatch.setattr(CriuImageArchive, "kept_by_kernel", lambda *_: [])
        with pytest.raises(LimosaError, match="1 pages"):
            written_check.check(host, commit, [witness])


def place_in(memory: ProcessMemory, address: int) -> int:
    """Return where in its content a copy of everything has an address."""
    at = 0
    for start, end in zip(memory.ranges[0::3], memory.ranges[1::3], strict=True):
        if start <= address < end:
            return at + address - start
        at += end - start
    raise AssertionError(f"{address:#x} is not in it")


@pytest.mark.parametrize("ahead", [False, True], ids=["at once", "kept ahead"])
def test_commits_of_written_pages_are_whole(library: str, process: Any, host: Host, tmp_path: Any, ahead: bool) -> None:
    store = host.store
    worth_bytes = 0 if ahead else 1 << 40
    tracker = UserfaultfdPages(lambda _: str(tmp_path), HOLDER, checked=True, worth_bytes=worth_bytes)
    parent = None
    for number in range(4):
        base = store.reading(parent) if parent else None
        reader = base.__enter__() if base else None
        upon = "" if parent is None else parent.hex()
        with (
            store.writing() as writer,
            tracker.following(
                CONTAINER,
                process.pid,
                [process.pid],
                upon,
                str(tmp_path),
                host.memory_archive.keep_ahead(writer, reader),
            ) as following,
        ):
            writer.rest()
            for page in (5 + number, 700, 8000):
                process.stdin.write(f"{page:8}".encode())
                process.stdin.flush()
                os.read(process.stdout.fileno(), 100)
            directory = f"{tmp_path}/dump-{number}"
            dump(process.pid, directory, library)
            witness = following.witness([process.pid])
            memories = following.capture([process.pid])
            os.kill(process.pid, signal.SIGCONT)
            entries = CriuImageArchive().save(writer, directory, memories, reader)
            manifest = writer.put_entries(Manifest(), entries)
            commit = writer.put_commit(Commit((), manifest, 1))
            written_check.check(host, commit, witness)
            store.set_ref("containers/one", commit, when_ns=1, why="test")
            following.settle(commit.hex())
        assert dumped_pages(directory, process.pid) < 100, "criu dumped what is followed"
        assert all((one.kept() is not None) == ahead for one in memories)
        if number:
            written = sum(n_pages for _, n_pages in memories[0].written())
            assert memories[0].since_parent
            assert 3 <= written < 500
        # A witness of another moment is not believed: the check sees a single byte.
        changed = bytearray(witness[0].content)
        changed[len(changed) // 2] ^= 1
        with pytest.raises(LimosaError) as missed:
            written_check.check(host, commit, [witness[0]._replace(content=memoryview(changed))])
        assert missed.value.code == "LIM-TRACK-002"
        assert "1 pages" in missed.value.summary
        if base:
            base.__exit__(None, None, None)
        parent = commit
