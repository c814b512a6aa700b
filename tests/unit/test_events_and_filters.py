"""What a change of a record is told as, which containers a filter means, and the numbers of stats."""

from typing import Any

import pytest
from tests.fakes.journal import FakeJournal

from limosa.cli import filters, stats, table
from limosa.engine.inspection import Sample
from limosa.engine.journal import NotedRecords
from limosa.model.container import ContainerConfig, ContainerRecord, ExitState, Mount, NetworkRequest
from limosa.model.errors import LimosaError
from limosa.model.event import happened
from limosa.model.ids import ContainerId

ID = ContainerId("a" * 24)
CONFIG = ContainerConfig(
    "web",
    "pg",
    labels=(("team", "a"), ("tier", "")),
    mounts=(Mount("volume", "data", "/srv"),),
    network=NetworkRequest("lan"),
)


def record(phase: Any, **changes: Any) -> ContainerRecord:
    return ContainerRecord(ID, CONFIG, phase, 1, 0)._replace(**changes)


ENDED = ExitState(3, 9)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (None, record("creating"), []),
        (record("creating"), record("created"), [("create", "")]),
        (record("creating"), record("running"), [("create", ""), ("start", "")]),
        (record("created"), record("starting"), []),
        (record("starting"), record("running"), [("start", "")]),
        (record("running"), record("running", stopped_by_user=True), [("stop", "")]),
        (
            record("running", stopped_by_user=True),
            record("stopped", stopped_by_user=True, exit=ENDED),
            [("die", "exit status 3")],
        ),
        (
            record("running"),
            record("stopped", exit=ENDED._replace(oom_killed=True)),
            [("oom", ""), ("die", "exit status 3")],
        ),
        (record("running"), record("running", restarts=1), []),
        (record("paused"), record("running"), []),
        (record("paused"), record("removing", exit=ENDED), [("die", "exit status 3")]),
        (record("stopped", exit=ENDED), record("removing"), []),
        (record("starting"), record("created"), []),
    ],
)
def test_what_a_change_is_told_as(
    before: ContainerRecord | None, after: ContainerRecord, told: list[tuple[str, str]]
) -> None:
    assert happened(before, after) == told


class _Memory:
    def __init__(self) -> None:
        self.records: dict[str, ContainerRecord] = {}

    def add(self, record: ContainerRecord) -> None:
        self.records[record.container_id] = record

    save = add

    def load(self, container_id: ContainerId) -> ContainerRecord:
        if container_id not in self.records:
            raise LimosaError("LIM-NAME-003", "none")
        return self.records[container_id]

    def remove(self, container_id: ContainerId) -> None:
        self.records.pop(container_id, None)

    def other(self) -> str:
        return "as it is"


def test_records_are_noted_in_the_journal_whichever_command_changes_them() -> None:
    journal, memory = FakeJournal(), _Memory()

    def command() -> Any:
        return NotedRecords(memory, lambda: journal, lambda: 7)  # type: ignore[arg-type]

    first = command()
    first.add(record("creating"))
    first.save(record("created"))
    first.save(record("starting"))
    first.save(record("running"))
    second = command()
    assert second.other() == "as it is"
    second.save(record("stopped", exit=ENDED))
    second.remove(ID)
    second.remove(ID)
    third = command()
    third.add(record("creating"))
    third.remove(ID)
    assert [event.action for event in journal.read()] == ["create", "start", "die", "remove"]
    assert {event.name for event in journal.read()} == {"web"}


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        ([], True),
        ([("name", "we")], True),
        ([("name", "x")], False),
        ([("name", "x"), ("name", "web")], True),
        ([("label", "team")], True),
        ([("label", "team=a"), ("label", "tier")], True),
        ([("label", "team=a"), ("label", "team=b")], False),
        ([("label", "nosuch")], False),
        ([("status", "up")], True),
        ([("status", "exited")], False),
        ([("status", "exited"), ("status", "running")], True),
        ([("id", "aaaa"), ("image", "pg"), ("network", "lan"), ("volume", "data")], True),
        ([("volume", "/srv")], True),
        ([("network", "default")], False),
    ],
)
def test_which_containers_a_filter_means(wanted: list[tuple[str, str]], meant: bool) -> None:
    assert filters.fits(record("running"), wanted) is meant


def test_the_share_of_a_processor() -> None:
    before = Sample("a", "web", "running", 1_000, cpu_ns=100)
    assert stats.cpu_percent(before, before._replace(taken_ns=2_000, cpu_ns=600)) == 50.0
    assert stats.cpu_percent(None, before) == 0.0
    assert stats.cpu_percent(before, before._replace(taken_ns=2_000, cpu_ns=5)) == 0.0, "it was started in between"
    assert stats.cpu_percent(before, before) == 0.0


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (300 << 20, "300 MiB"),
        (3 << 29, "1.5 GiB"),
        (1 << 41, "2.0 TiB"),
    ],
)
def test_sizes(n_bytes: int, text: str) -> None:
    assert table.size(n_bytes) == text
