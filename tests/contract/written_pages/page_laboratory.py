"""Processes that write, commits of their memory as limosa makes them, and the memory itself to compare with."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from limosa.linux import pagemap, pagemap_scan, process_memory
from limosa.linux.pagemap_scan import FILE, PRESENT, SWAPPED, WP_ALLOWED, ZERO
from limosa.model.commit_store import BATCH_PAGES, ObjectId, PageMap
from limosa.model.ids import ContainerId
from limosa.ports.commit_store import Unread
from limosa.ports.written_pages import ProcessMemory, WrittenPages

PAGE = 4096
ACTOR = os.path.join(os.path.dirname(__file__), "actor.py")
CONTAINER = ContainerId("0123456789abcdef0123456789abcdef")


class Actor:
    """One process that does as it is told, and its children."""

    def __init__(self, prefix: tuple[str, ...] = ()) -> None:
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-I", ACTOR], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self.process.pid
        self.do("pass")

    def do(self, *lines: str) -> None:
        """Let it execute lines of Python, one after the other."""
        assert self.process.stdin and self.process.stdout
        for line in lines:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
            assert answer == "done\n", f"{line!r}: {answer!r}"

    def begin(self, line: str) -> None:
        """Let it begin with a line that does not end by itself."""
        assert self.process.stdin
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def finished(self) -> None:
        """Wait until what `begin` began has ended."""
        assert self.process.stdout
        assert self.process.stdout.readline() == "done\n"

    def value(self, expression: str) -> Any:
        """Return what an expression is there."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"print({expression}, flush=True)\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        assert self.process.stdout.readline() == "done\n"
        return int(answer)

    def pids(self) -> list[int]:
        """Return it and its descendants, without those that have ended."""
        found, waiting = [], [self.pid]
        while waiting:
            pid = waiting.pop()
            if state(pid) in "ZX":
                continue
            found.append(pid)
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                    waiting += map(int, file.read().split())
        return sorted(found)

    def end(self) -> None:
        """Kill all of it."""
        for pid in reversed(self.pids()):
            os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()


def state(pid: int) -> str:
    """Return a process's state, X if there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


@contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    """Have every thread of some processes stand still."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    for pid in pids:
        deadline = time.monotonic() + 20
        while any(state_of_task(pid, tid) not in "TXZ" for tid in tasks(pid)):
            assert time.monotonic() < deadline, "a thread does not stop"
            time.sleep(0.001)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def number_inside(pid: int) -> int:
    """Return the number that a process has in the pid namespace below ours, or in ours."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        return int(next(line.split()[1:3] for line in file if line.startswith("NSpid"))[-1])


def tasks(pid: int) -> list[int]:
    """Return the threads of a process."""
    try:
        return [int(tid) for tid in os.listdir(f"/proc/{pid}/task")]
    except FileNotFoundError:
        return []


def state_of_task(pid: int, tid: int) -> str:
    """Return the state of a thread."""
    try:
        with open(f"/proc/{pid}/task/{tid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def memory(pid: int) -> dict[int, bytes]:
    """Return every page of a process that is its own, by the oldest and slowest way there is."""
    found: dict[int, bytes] = {}
    if state(pid) in "ZX":
        return found
    descriptor = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY)
    memory_file = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    try:
        for mapping in process_memory.mappings(pid):
            if not mapping.of_program:
                continue
            for number, flags in enumerate(pagemap.entries(descriptor, mapping.first, mapping.end)):
                if flags & (pagemap.PRESENT | pagemap.SWAPPED) and not flags & pagemap.FILE and not gone(flags):
                    address = mapping.first + number * PAGE
                    try:
                        found[address // PAGE] = os.pread(memory_file, PAGE, address)
                    except OSError as failed:
                        assert failed.errno == errno.EIO, failed  # a guard page
    finally:
        os.close(descriptor)
        os.close(memory_file)
    return found


def gone(flags: int) -> bool:
    """Say whether of a page only the marker is left that it was protected: a swap type that no swap space has."""
    return flags & pagemap.SWAPPED != 0 and flags & 31 == 31


def of_the_dump(pid: int) -> set[int]:
    """Return the pages that criu dumps when it leaves out what is followed."""
    if state(pid) in "ZX":
        return set()
    descriptor = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY)
    try:
        ranges = pagemap_scan.Ranges().scan(
            descriptor, all_of=0, none_of=WP_ALLOWED | FILE | ZERO, any_of=PRESENT | SWAPPED, tell=0
        )
    finally:
        os.close(descriptor)
    return {
        page
        for first, end in zip(ranges[0::3], ranges[1::3], strict=True)
        for page in range(first // PAGE, end // PAGE)
    }


def in_order(ranges: Sequence[int], step: int) -> None:
    """Ranges are not empty, sorted, and apart from each other."""
    ends = [0, *ranges[1::step]]
    assert all(first < end for first, end in zip(ranges[0::step], ranges[1::step], strict=True))
    assert all(end <= first for end, first in zip(ends, ranges[0::step], strict=False))


class Committer:
    """Makes commits of an actor's memory, and holds each against the memory itself."""

    def __init__(self, tracker: WrittenPages, scratch: str, actor: Actor, *, keeps: bool = False) -> None:
        """`keeps`: what is copied ahead first goes to where the commit will be."""
        self.tracker, self.scratch, self.actor, self.keeps = tracker, scratch, actor, keeps
        self.maps: dict[PageMap, dict[int, bytes]] = {}  # what was kept ahead
        self.before_keeping: Callable[[], None] = lambda: None
        self.parent = ""
        self.number = 0
        self.kept: dict[int, dict[int, bytes]] = {}  # by pid: what the last commit has
        self.copied: dict[int, int] = {}  # by pid: pages that the last commit copied
        self.since_parent: dict[int, bool] = {}
        self.ahead: dict[int, int] = {}  # by pid: copies that were made while it ran

    def commit(self, *, settle: bool = True, meanwhile: str | Callable[[], None] = "") -> None:
        """Commit; every page of every process must be in it, as it was."""
        actor = self.actor
        self.number += 1
        keep = self._keep if self.keeps else None
        with self.tracker.following(CONTAINER, actor.pid, actor.pids(), self.parent, self.scratch, keep) as following:
            if callable(meanwhile):
                meanwhile()
            elif meanwhile:
                actor.do(meanwhile)
            pids = actor.pids()[::-1]
            with stopped(pids):
                left_out = {pid: of_the_dump(pid) if self.tracker.skips else None for pid in pids}
                captured = following.capture(pids)
                for one in captured:
                    in_order(one.ranges, 3)
                    for earlier in one.earlier:
                        in_order(earlier.ranges, 2)
                truth = {pid: memory(pid) for pid in pids}
            by_pid = {one.pid: one for one in captured}
            inside = {pid: number_inside(pid) for pid in pids}
            self.copied, self.since_parent = {}, {}
            made = {inside[pid]: self._made(pid, by_pid.get(inside[pid]), left_out[pid], truth[pid]) for pid in pids}
            if settle:
                self.parent, self.kept = f"commit {self.number}", made
                following.settle(self.parent)

    def _keep(self, pid: int, since_parent: bool, pages: Iterable[Unread]) -> PageMap:
        self.before_keeping()
        made = dict(self.kept[pid]) if since_parent else {}
        end = 0
        for batch in pages:
            room = bytearray(sum(count for _, count in batch.runs) * PAGE)
            assert 0 < len(room) <= BATCH_PAGES * PAGE
            batch.read(memoryview(room))
            at = 0
            for first, count in batch.runs:
                assert first >= end
                end = first + count
                for page in range(first, end):
                    made[page] = bytes(room[at : at + PAGE])
                    at += PAGE
        found = PageMap(0, ObjectId(len(self.maps).to_bytes(32, "little")))
        self.maps[found] = made
        return found

    def _made(
        self, pid: int, captured: ProcessMemory | None, dumped: set[int] | None, truth: dict[int, bytes]
    ) -> dict[int, bytes]:
        made: dict[int, bytes] = {}
        if captured is not None:
            made = self._followed(captured)
            assert dumped is None or not made.keys() & dumped, "the dump and we have the same page"
        for page in truth.keys() if dumped is None else dumped & truth.keys():
            if dumped is not None or page not in made:
                made[page] = truth[page]
        missed = [page for page, content in truth.items() if made.get(page, bytes(PAGE)) != content]
        assert not missed, f"pages of {pid} were missed: {[hex(page * PAGE) for page in missed[:8]]} of {len(missed)}"
        zero = bytes(PAGE)
        extra = [
            page for page in made.keys() - truth.keys() if made[page] != zero and not self._is_of_a_file(pid, page)
        ]
        assert not extra, f"pages of {pid} that it does not have: {[hex(page * PAGE) for page in extra[:8]]}"
        return made

    def _followed(self, captured: ProcessMemory) -> dict[int, bytes]:
        before = self.kept.get(captured.pid, {}) if captured.since_parent else {}
        kept = captured.kept()
        if kept is not None:
            before = self.maps[kept[0]]
        written = captured.written()
        self.since_parent[captured.pid] = captured.since_parent
        self.copied[captured.pid] = sum(count for _, count in written)
        self.ahead[captured.pid] = len(captured.earlier)
        assert self.copied[captured.pid] * PAGE == len(captured.content)
        made = {
            page: before.get(page, bytes(PAGE))
            for first, count in captured.present()
            for page in range(first, first + count)
        }
        copied = set()
        for first, count, content in captured.pieces():
            assert len(content) == count * PAGE
            for page in range(first, first + count):
                assert page in made
                assert page not in copied, "a page is there twice"
                copied.add(page)
                made[page] = bytes(content[(page - first) * PAGE : (page - first + 1) * PAGE])
        if kept is not None:
            copied.update(page for first, count in kept[1] for page in range(first, first + count))
        assert captured.since_parent or copied >= made.keys(), "nobody has these pages"
        return made

    @staticmethod
    def _is_of_a_file(pid: int, page: int) -> bool:
        return any(
            one.name.startswith("/") and one.first <= page * PAGE < one.end for one in process_memory.mappings(pid)
        )
