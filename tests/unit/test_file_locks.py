"""Locks in a dump, and those that processes have. The process is this one, and nothing is taken."""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from limosa.adapters.criu import images, locks
from limosa.linux import posix_locks
from limosa.model.errors import LimosaError

pytestmark = pytest.mark.usefixtures("alone")
FLOCK = {1: 2, 2: 1, 3: 1, 4: 9, 5: 0, 6: 0}


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is the only one in its pid namespace that has locks."""
    everybodys = posix_locks.everybodys
    monkeypatch.setattr(posix_locks, "everybodys", lambda: [one for one in everybodys() if one.pid == os.getpid()])


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[int]:
    """A descriptor of a file of which this process has locked bytes 5 to 7 and everything from 100 on."""
    with open(tmp_path / "file", "w+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX, 3, 5)
        fcntl.lockf(file, fcntl.LOCK_SH, 0, 100)
        yield file.fileno()


def mine(descriptor: int) -> list[dict[int, int]]:
    """Return what an image says of `locked`."""
    owner = {1: 1, 3: os.getpid(), 4: descriptor}
    return [owner | {2: 1, 5: 5, 6: 3}, owner | {2: 0, 5: 100, 6: 0}]


def in_image(directory: Path) -> list[dict[int, int]]:
    found = images.read_all(f"{directory}/filelocks.img", "filelocks")
    return sorted(found, key=lambda message: (message[1], message[5]))


def test_locks_that_are_not_in_a_dump_are_added(tmp_path: Path, locked: int) -> None:
    locks.complete(str(tmp_path), os.getpid())
    assert in_image(tmp_path) == mine(locked)
    images.write_all(f"{tmp_path}/filelocks.img", "filelocks", [FLOCK, mine(locked)[0]])
    locks.complete(str(tmp_path), os.getpid())
    assert in_image(tmp_path) == [*mine(locked), FLOCK]
    written = os.stat(tmp_path / "filelocks.img").st_ino
    locks.complete(str(tmp_path), os.getpid())
    assert os.stat(tmp_path / "filelocks.img").st_ino == written, "nothing was missing"


def test_a_dump_without_locks_stays_without(tmp_path: Path) -> None:
    locks.complete(str(tmp_path), os.getpid())
    locks.take(str(tmp_path), [os.getpid()])
    assert os.listdir(tmp_path) == []


def test_locks_that_are_there_are_not_taken(tmp_path: Path, locked: int) -> None:
    images.write_all(f"{tmp_path}/filelocks.img", "filelocks", [FLOCK, *mine(locked)])
    locks.require_takeable(str(tmp_path), [os.getpid()])
    locks.take(str(tmp_path), [os.getpid()])  # nobody traces this process, who could


def test_a_lock_that_nobody_can_take_is_told(tmp_path: Path, locked: int) -> None:
    images.write_all(f"{tmp_path}/filelocks.img", "filelocks", [mine(locked)[0] | {5: 50}])
    with pytest.raises(LimosaError, match=f"lock on {tmp_path}/file") as refused:
        locks.take(str(tmp_path), [os.getpid()])
    assert refused.value.code == "LIM-CRIU-033"


@pytest.mark.parametrize("wrong", [{3: 0x7FFFFFFF}, {4: 0x7FFFFFFF}, {3: (1 << 64) - 1}])
def test_locks_of_no_process_of_the_dump_are_refused(tmp_path: Path, locked: int, wrong: dict[int, int]) -> None:
    images.write_all(f"{tmp_path}/filelocks.img", "filelocks", [mine(locked)[0] | wrong])
    for look in (locks.require_takeable, locks.take):
        with pytest.raises(LimosaError) as refused:
            look(str(tmp_path), [os.getpid()])
        assert refused.value.code == "LIM-CRIU-031"
