"""What only userfaultfd has: a process that holds descriptors, and programs that may not make one themselves."""

import errno
import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from page_laboratory import CONTAINER, Actor, Committer, state

from limosa.adapters.written_pages import by_userfaultfd
from limosa.adapters.written_pages.followed import Record, Records
from limosa.keeper import descriptors

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
