"""Records of containers that go with their programs: a kill leaves them whole, a loss of power nothing in the way."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limosa.adapters.bridge_network.state import Book, Lease
from limosa.adapters.file_records import FileContainerRecords
from limosa.linux import atomic_file, boot
from limosa.model.container import Addresses, ContainerConfig, ContainerRecord
from limosa.model.errors import LimosaError
from limosa.model.ids import ContainerId
from limosa.ports.network import Attachment, Network

ONE, TWO = ContainerId("1" * 24), ContainerId("2" * 24)


def record(container_id: ContainerId, name: str, *, passing: bool, phase: Any = "running") -> ContainerRecord:
    return ContainerRecord(container_id, ContainerConfig(name, "box", remove_when_stopped=passing), phase, 1, 0)


@pytest.fixture
def records(tmp_path: Path) -> FileContainerRecords:
    return FileContainerRecords(str(tmp_path))


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the files that were waited for."""
    found: list[str] = []

    def fsync(descriptor: int) -> None:
        found.append(os.readlink(f"/proc/self/fd/{descriptor}"))

    monkeypatch.setattr(os, "fsync", fsync)
    return found


def made(records: FileContainerRecords, *both: ContainerRecord) -> None:
    for one in both:
        with records.locked(one.container_id, create=True):
            records.add(one)


def test_nobody_waits_for_the_disk_because_of_a_container_that_goes(
    records: FileContainerRecords, waits: list[str]
) -> None:
    passing = record(ONE, "one", passing=True)
    made(records, passing)
    records.save(passing._replace(phase="removing"))
    assert not waits
    assert records.find("one").phase == "removing" and records.all() == [records.load(ONE)]
    made(records, record(TWO, "two", passing=False))
    assert any("record.json" in path for path in waits)


@pytest.mark.parametrize(
    "left", [b"", b"\0" * 500, b'{"container_id": "1', None], ids=["empty", "zeros", "half", "gone"]
)
def test_after_a_power_loss_it_was_never_there(
    records: FileContainerRecords, tmp_path: Path, left: bytes | None
) -> None:
    lasting = record(TWO, "two", passing=False)
    made(records, record(ONE, "one", passing=True), lasting)
    records.take_id_range(ONE)
    path = tmp_path / "containers" / ONE / "passing.json"
    if left is None:
        path.unlink()
    else:
        path.write_bytes(left)
    (tmp_path / "names" / "torn").write_bytes(b"")
    assert records.all() == [lasting]
    with pytest.raises(LimosaError) as refused:
        records.load(ONE)
    assert refused.value.code == "LIM-NAME-003"
    assert records.sweep_strays()
    assert sorted(os.listdir(tmp_path / "containers")) == [TWO]
    assert os.listdir(tmp_path / "names") == ["two"] and os.listdir(tmp_path / "id-ranges") == []
    assert records.sweep_strays() == []


def test_a_record_that_lasts_is_never_taken_for_one_that_does_not(
    records: FileContainerRecords, tmp_path: Path
) -> None:
    made(records, record(TWO, "two", passing=False))
    (tmp_path / "containers" / TWO / "record.json").write_bytes(b"")
    with pytest.raises(LimosaError) as damaged:
        records.all()
    assert damaged.value.code == "LIM-NAME-005"
    assert records.sweep_strays() == []


def reserved(book: Book, container_id: ContainerId, address: str, *, passing: bool) -> None:
    with book.changing() as state:
        attachment = Attachment(container_id, f"c{container_id[0]}", "default", Addresses(address), (), "")
        state.values["cursors"]["default"] = int(container_id[0])
        state.put_lease(Lease(attachment), passing=passing)


def held(book: Book) -> set[str]:
    return {lease.attachment.container_id for lease in book.read().leases()}


def test_a_passing_lease_waits_for_nothing_and_holds_for_one_boot(
    tmp_path: Path, waits: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    book = Book(str(tmp_path))
    with book.changing() as state:
        state.put_network(Network("default"))
    reserved(book, ONE, "10.0.0.2/24", passing=False)
    waits.clear()
    before = (tmp_path / "state.json").read_bytes()
    reserved(book, TWO, "10.0.0.3/24", passing=True)
    assert not waits and (tmp_path / "state.json").read_bytes() == before
    assert held(book) == {ONE, TWO} and book.read().values["cursors"] == {"default": 2}
    reserved(book, TWO, "10.0.0.4/24", passing=False)  # a rename, new ports: it stays what it is
    assert not waits and held(book) == {ONE, TWO}
    monkeypatch.setattr(boot, "boot_id", lambda: "another")
    assert held(book) == {ONE} and book.read().values["cursors"] == {"default": 1}
    with book.changing() as state:
        state.drop_lease(ONE)
    assert held(book) == set()


def test_one_that_is_moved_to_another_host_lasts_from_then_on(
    records: FileContainerRecords, waits: list[str], tmp_path: Path
) -> None:
    passing = record(ONE, "one", passing=True)
    made(records, passing)
    for phase in ("migrating", "running"):
        waits.clear()
        records.save(record(ONE, "one", passing=True, phase=phase))
        assert waits and records.load(ONE).phase == phase
        assert not (tmp_path / "containers" / ONE / "passing.json").exists()


@pytest.mark.parametrize("left", [b"", b"\0" * 100, b"[]", b'{"boot": "x"}'])
def test_a_torn_file_of_leases_is_none(tmp_path: Path, left: bytes) -> None:
    book = Book(str(tmp_path))
    reserved(book, ONE, "10.0.0.2/24", passing=False)
    (tmp_path / "passing.json").write_bytes(left)
    assert held(book) == {ONE}
    reserved(book, TWO, "10.0.0.3/24", passing=True)
    assert held(book) == {ONE, TWO}
    assert json.loads((tmp_path / "passing.json").read_bytes())["leases"].keys() == {TWO}


@pytest.mark.parametrize("write", [atomic_file.replace, atomic_file.replace], ids=["replace", "write"])
def test_what_is_to_last_is_waited_for(tmp_path: Path, waits: list[str], write: Callable[[str, bytes], None]) -> None:
    write(str(tmp_path / "file"), b"content")
    assert len(waits) == 2 and waits[1] == str(tmp_path)
