"""What only userfaultfd has: a process that holds descriptors, and programs that may not make one themselves."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from page_laboratory import CONTAINER, PAGE, Actor, Committer, in_order, state

from limosa.adapters.written_pages import ahead, by_userfaultfd
from limosa.adapters.written_pages.followed import Record, Records
from limosa.keeper import descriptors
from limosa.linux import pagemap_scan
from limosa.linux.pagemap_scan import FILE, PRESENT, SWAPPED, ZERO

pytestmark = pytest.mark.privileged

HOLDER = (sys.executable, "-I", "-S", os.path.abspath(descriptors.__file__))
# What the default profile does: userfaultfd is refused, to the program and to everything that it makes.
FILTER = f"""
import struct
code = b"".join(struct.pack("<HBBI", *one) for one in [(0x20, 0, 0, 0), (0x15, 0, 1, 323), \
    (6, 0, 0, 0x50000 | {errno.EPERM}), (6, 0, 0, 0x7FFF0000)])
buffer = ctypes.create_string_buffer(code)
libc.prctl(38, 1, 0, 0, 0)
assert libc.syscall(317, 1, 0, struct.pack("<H6xQ", 4, ctypes.addressof(buffer))) == 0
assert libc.syscall(323, 1) == -1 and ctypes.get_errno() == {errno.EPERM}
"""


@pytest.fixture
def records(tmp_path: Any) -> Records:
    return Records(lambda _: str(tmp_path))


@pytest.fixture
def tracker(tmp_path: Any) -> Any:
    return by_userfaultfd.UserfaultfdPages(lambda _: str(tmp_path), HOLDER)


@pytest.fixture
def confined(tracker: Any, tmp_path: Any) -> Iterator[Committer]:
    apart = ("--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
    actor = Actor(("unshare", *apart))
    actor.pid = next(pid for pid in actor.pids() if pid != actor.pid)
    yield Committer(tracker, str(tmp_path), actor)
    actor.end()


def wait_for_the_end(record: Record) -> None:
    deadline = time.monotonic() + 10
    while state(record.holder[0]) not in "ZX":
        assert time.monotonic() < deadline, "the holder lives on"
        time.sleep(0.01)


def test_a_program_that_may_not_make_one_is_followed(confined: Committer) -> None:
    actor = confined.actor
    actor.do(f"exec({FILTER!r})", "a = area(1000); fill(a, 1000)")
    confined.commit()
    actor.do("write(a, 5, 2)", "assert libc.syscall(323, 1) == -1")
    confined.commit()
    (inside,) = confined.copied
    assert inside < 100, "its number in its container"
    assert confined.since_parent[inside]
    assert confined.copied[inside] < 600
    assert not [name for name in os.listdir(f"/proc/{actor.pid}/fd") if "userfault" in link(actor.pid, name)]


def link(pid: int, name: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/fd/{name}")
    except OSError:
        return ""


def test_a_dead_holder_costs_a_full_copy_and_nothing_else(committer: Committer, actor: Actor, records: Records) -> None:
    actor.do("a = area(1000); fill(a, 1000)")
    committer.commit()
    committer.commit()
    assert committer.since_parent[actor.pid]
    os.kill(records.load(CONTAINER).holder[0], signal.SIGKILL)
    wait_for_the_end(records.load(CONTAINER))
    actor.do("write(a, 5, 2)")
    committer.commit()
    assert not committer.since_parent[actor.pid]
    actor.do("write(a, 6, 2)")
    committer.commit()
    assert committer.since_parent[actor.pid]


def test_a_holder_that_dies_during_a_commit(committer: Committer, actor: Actor, records: Records) -> None:
    """The command has descriptors of its own until its end; what it leaves behind is not believed."""

    def kill() -> None:
        os.kill(records.load(CONTAINER).holder[0], signal.SIGKILL)
        wait_for_the_end(records.load(CONTAINER))
        actor.do("write(a, 5, 2)")

    actor.do("a = area(1000); fill(a, 1000)")
    committer.commit()
    committer.commit(meanwhile=kill)
    assert committer.since_parent[actor.pid]
    actor.do("write(a, 6, 2)")
    committer.commit()
    assert not committer.since_parent[actor.pid]


def test_a_holder_that_nobody_knows_is_replaced(
    committer: Committer, actor: Actor, records: Records, tmp_path: Any
) -> None:
    """The command that started it was killed before it could say so."""
    actor.do("a = area(1000); fill(a, 1000)")
    committer.commit()
    lost = records.load(CONTAINER)
    os.unlink(f"{tmp_path}/written-pages")
    committer.commit()
    wait_for_the_end(lost)
    actor.do("write(a, 5, 2)")
    committer.commit()
    assert committer.since_parent[actor.pid]


def test_the_holder_ends_with_the_first_process(committer: Committer, actor: Actor, records: Records) -> None:
    committer.commit()
    record = records.load(CONTAINER)
    assert state(record.holder[0]) not in "ZX"
    actor.end()
    wait_for_the_end(record)


def test_a_record_of_another_boot_or_of_nobody_counts_as_none(records: Records, tmp_path: Any) -> None:
    records.save(CONTAINER, Record("", (1, 2), ()))
    assert records.load(CONTAINER).holder == (1, 2)
    path = f"{tmp_path}/written-pages"
    with open(path, encoding="ascii") as file:
        text = file.read()
    for other in (text.replace(records.load(CONTAINER).boot_id, "another"), text[:-5], "", "[]"):
        with open(path, "w", encoding="ascii") as file:
            file.write(other)
        assert records.load(CONTAINER) == Record()


@pytest.mark.parametrize("keeps", [False, True])
def test_what_is_copied_ahead_is_not_copied_again(actor: Actor, tmp_path: Any, keeps: bool) -> None:
    tracker = by_userfaultfd.UserfaultfdPages(lambda _: str(tmp_path), HOLDER, worth_bytes=2 << 20)
    committer = Committer(tracker, str(tmp_path), actor, keeps=keeps)
    actor.do("a = area(3000); fill(a, 3000)")
    committer.commit()
    assert committer.ahead[actor.pid] == 1
    assert committer.copied[actor.pid] < 500, "the first commit, too, copies little while all stands still"
    assert not committer.since_parent[actor.pid]
    actor.do("fill(a, 1000, 2)")
    committer.commit(meanwhile="write(a, 7, 3); write(a, 2000, 3); libc.madvise(a + 9 * PAGE, PAGE, DONTNEED)")
    assert committer.since_parent[actor.pid]
    assert committer.ahead[actor.pid] == 1
    assert 2 <= committer.copied[actor.pid] < 300
    actor.do("write(a, 8, 4)")
    committer.commit()
    assert committer.ahead[actor.pid] == 0, "little is copied at once"


def test_memory_that_goes_while_it_is_kept_is_copied_when_all_stands_still(actor: Actor, tmp_path: Any) -> None:
    tracker = by_userfaultfd.UserfaultfdPages(lambda _: str(tmp_path), HOLDER, worth_bytes=0)
    committer = Committer(tracker, str(tmp_path), actor, keeps=True)
    actor.do("a = area(3000); fill(a, 3000); b = area(500); fill(b, 500)")
    committer.before_keeping = lambda: actor.do("libc.munmap(b, 500 * PAGE); write(a, 7, 3)")
    committer.commit()
    assert committer.ahead[actor.pid] == 0
    assert committer.copied[actor.pid] >= 3000
    committer.before_keeping = lambda: actor.do("write(a, 8, 4)")
    actor.do("fill(a, 300, 2)")
    committer.commit()
    assert committer.ahead[actor.pid] >= 1
    assert 0 < committer.copied[actor.pid] < 500


def test_a_thread_that_does_not_leave_the_kernel_spoils_what_was_copied_ahead(actor: Actor, tmp_path: Any) -> None:
    """A call that may have pages pinned for longer, here a vfork whose child does not go on."""
    actor.do(
        "a = area(3000); fill(a, 3000)",
        "stack = area(64) + 60 * PAGE",
        "pause = ctypes.cast(libc.pause, ctypes.c_void_p)",
    )
    assert ahead.all_passed(actor.pids())
    actor.do("libc.clone.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]")
    actor.begin("twin = libc.clone(pause, stack, 0x4000 | 0x100 | 17, None)")
    deadline = time.monotonic() + 10
    while state(actor.pid) != "D":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not ahead.all_passed(actor.pids())
    tracker = by_userfaultfd.UserfaultfdPages(lambda _: str(tmp_path), HOLDER, worth_bytes=0)
    (child,) = [pid for pid in actor.pids() if pid != actor.pid]
    with tracker.following(CONTAINER, actor.pid, actor.pids(), "", str(tmp_path)) as following:
        assert state(actor.pid) == "D"
        captured = following.capture([actor.pid])
    assert all(not memory.earlier for memory in captured)
    os.kill(child, signal.SIGKILL)
    actor.finished()


def test_asynchronous_reads_keep_a_process_from_being_copied_ahead(actor: Actor) -> None:
    assert ahead.possible(actor.pid)
    actor.do("context = ctypes.c_ulong(); assert libc.syscall(206, 8, ctypes.byref(context)) == 0")
    assert not ahead.possible(actor.pid)


@pytest.mark.parametrize("at_once", [1, 7, 64, 511, 512, 513, 1000, 5000])
def test_a_scan_tells_each_range_once(actor: Actor, at_once: int) -> None:
    """However many are asked for at a time, and however many the kernel gathers before it copies them out."""
    address = actor.value("area(2100)")
    actor.do(f"for page in range(0, 2100, 2): write({address}, page, 1)")
    descriptor = os.open(f"/proc/{actor.pid}/pagemap", os.O_RDONLY)
    scan = pagemap_scan.Ranges(at_once).scan
    found = scan(descriptor, all_of=0, none_of=FILE | ZERO, any_of=PRESENT | SWAPPED, tell=0)
    os.close(descriptor)
    in_order(found, 3)
    inside = [first for first in found[0::3] if address <= first < address + 2100 * PAGE]
    assert inside == [address + page * PAGE for page in range(0, 2100, 2)]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_command_leaves_the_process_to_itself(actor: Actor, number: signal.Signals) -> None:
    """Again and again, and it does nothing but ask for descriptors."""
    program = f"""
from limosa.linux import userfaultfd
import os
print("ready", flush=True)
while True:
    os.close(userfaultfd.from_outside({actor.pid}))
"""
    for step in range(20):
        command = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
        assert command.stdout
        command.stdout.readline()
        time.sleep(0.003 * step)
        command.send_signal(number)
        assert command.wait(timeout=30) == -number
        command.stdout.close()
        actor.do("pass")
    eventually_none = time.monotonic() + 10
    while [name for name in os.listdir(f"/proc/{actor.pid}/fd") if "userfault" in link(actor.pid, name)]:
        assert time.monotonic() < eventually_none, "a descriptor is left in the process"
