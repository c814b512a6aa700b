"""The `Journal` port: one suite over the file and the fake; and crashes, crowds and rotation of the file."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.fakes.journal import FakeJournal

from limosa.adapters.file_journal import FileJournal
from limosa.model.event import Event
from limosa.ports.journal import Journal


def event(number: int, action: str = "start") -> Event:
    return Event(number, action, f"{number:024x}", f"name-{number}", "pg", "detail")


@pytest.fixture(params=["real", "fake"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Journal:
    return FakeJournal() if request.param == "fake" else FileJournal(str(tmp_path))


def waiting(actions: list[Callable[[], object]]) -> Callable[[], bool]:
    """Return a `wait` that does the next of `actions` each time, and ends when there is none left."""

    def wait() -> bool:
        if not actions:
            return False
        actions.pop(0)()
        return True

    return wait


def test_what_is_appended_is_read_in_order(journal: Journal) -> None:
    assert journal.read() == []
    for number in range(1, 6):
        journal.append(event(number))
    assert journal.read() == [event(number) for number in range(1, 6)]
    assert journal.read(4) == [event(4), event(5)]


def test_followers_get_the_past_and_what_comes(journal: Journal) -> None:
    journal.append(event(1))
    journal.append(event(2))
    later: list[Callable[[], object]] = [
        lambda: journal.append(event(3)),
        lambda: None,
        lambda: (journal.append(event(4)), journal.append(event(5))),
    ]
    assert list(journal.follow(2, waiting(later))) == [event(number) for number in range(2, 6)]


def test_an_empty_journal_can_be_followed(journal: Journal) -> None:
    assert list(journal.follow(0, waiting([lambda: journal.append(event(1))]))) == [event(1)]


def test_the_file_stays_bounded_and_keeps_the_newest(tmp_path: Path) -> None:
    journal = FileJournal(str(tmp_path), most_bytes=2000)
    for number in range(1, 201):
        journal.append(event(number))
    kept = journal.read()
    assert sum(file.stat().st_size for file in (tmp_path / "events").iterdir()) < 4500
    assert kept == [event(number) for number in range(201 - len(kept), 201)]
    assert len(kept) > 10


def test_a_follower_misses_nothing_when_files_are_changed(tmp_path: Path) -> None:
    journal = FileJournal(str(tmp_path), most_bytes=1000)
    later: list[Callable[[], object]] = [lambda number=number: journal.append(event(number)) for number in range(1, 60)]
    assert list(journal.follow(0, waiting(later))) == [event(number) for number in range(1, 60)]


def test_half_a_line_spoils_no_other(tmp_path: Path) -> None:
    journal = FileJournal(str(tmp_path))
    journal.append(event(1))
    with open(tmp_path / "events/journal.jsonl", "ab") as file:
        file.write(b'{"time_ns":2,"action":"sta')
    assert journal.read() == [event(1)]
    journal.append(event(3))
    assert journal.read() == [event(1), event(3)]


def test_many_writers_and_kills_leave_whole_lines(tmp_path: Path) -> None:
    children = []
    for child in range(8):
        pid = os.fork()
        if pid == 0:
            try:
                journal = FileJournal(str(tmp_path), most_bytes=1 << 30)
                for number in range(1000 * child, 1000 * child + 300):
                    journal.append(event(number))
            finally:
                os._exit(0)
        children.append(pid)
    time.sleep(0.05)
    for pid in children[:4]:
        os.kill(pid, signal.SIGKILL)
    for pid in children:
        os.waitpid(pid, 0)
    journal = FileJournal(str(tmp_path), most_bytes=1 << 30)
    journal.append(event(9999))
    found = [one.time_ns for one in journal.read()]
    lines = (tmp_path / "events/journal.jsonl").read_bytes().splitlines()
    assert len(found) == len(lines) == len(set(found)), "no line is damaged, missing or double"
    assert {1000 * child + number for child in range(4, 8) for number in range(300)} < set(found), (
        "those that were not killed wrote everything"
    )
    for child in range(8):
        own = [number for number in found if number // 1000 == child and number != 9999]
        assert own == list(range(1000 * child, 1000 * child + len(own))), "each in its order, none left out"


def test_a_full_disk_stops_nobody(tmp_path: Path) -> None:
    journal = FileJournal(str(tmp_path))
    os.mkdir(tmp_path / "events")
    os.symlink("/dev/full", tmp_path / "events/journal.jsonl")
    journal.append(event(1))
