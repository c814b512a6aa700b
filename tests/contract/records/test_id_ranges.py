"""Ranges of host ids: one container each, chosen without a look at any record, and kept through a loss of power."""

import json
import os
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar

import pytest

from limosa.adapters import file_records
from limosa.adapters.file_records import FileContainerRecords
from limosa.engine import creation
from limosa.engine.host import Host
from limosa.linux import files
from limosa.model.container import FIRST_HOST_ID, SUBORDINATE_IDS, ContainerConfig, ContainerRecord, NetworkRequest
from limosa.model.errors import LimosaError
from limosa.model.ids import ContainerId, Digest
from limosa.ports.oci_images import OciImage

MANY = 50
ONE, TWO = ContainerId("1" * 24), ContainerId("2" * 24)


def made(records: FileContainerRecords, container_id: ContainerId, name: str, **config: Any) -> ContainerRecord:
    record = ContainerRecord(container_id, ContainerConfig(name, "box", **config), "creating", 1, 0)
    with records.locked(container_id, create=True):
        records.add(record)
        record = record._replace(first_host_id=records.take_id_range(container_id), phase="created")
        records.save(record)
    return record


@pytest.fixture
def records(tmp_path: Path) -> FileContainerRecords:
    return FileContainerRecords(str(tmp_path))


class _Images:
    def resolve(self, reference: str) -> OciImage:
        return OciImage(reference, Digest(""), (), "", 0, (), ("true",), (), "", "", "", (), (), ())


class _Storage:
    made: ClassVar[list[str]] = []

    def prepare(self) -> None:
        pass

    def create(self, container_id: str, disk_bytes: int | None) -> None:
        self.made.append(container_id)

    def destroy(self, container_id: str) -> None:
        raise AssertionError("nothing has failed")


def test_a_create_reads_no_record_however_many_there_are(
    records: FileContainerRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(MANY):
        made(records, ContainerId(f"{index:024x}"), f"c{index}")
    read: list[str] = []
    original = file_records._read
    monkeypatch.setattr(file_records, "_read", lambda path: read.append(path) or original(path))
    adapters = {"containers": records, "oci_images": _Images(), "storage": _Storage()}
    host = Host({name: lambda one=one: one for name, one in adapters.items()}, lambda: 1, os.urandom, lambda: "boot")
    config = ContainerConfig("new", "box", network=NetworkRequest("none"))
    found = creation.create(host, config)
    assert read == []
    assert found.first_host_id == FIRST_HOST_ID + MANY * SUBORDINATE_IDS
    assert len({one.first_host_id for one in records.all()}) == MANY + 1
    assert _Storage.made == [found.container_id]


def test_a_range_is_given_out_again_when_its_container_is_gone(records: FileContainerRecords) -> None:
    first = made(records, ONE, "one").first_host_id
    assert made(records, TWO, "two").first_host_id == first + SUBORDINATE_IDS
    records.remove(ONE)
    assert made(records, ONE, "one").first_host_id == first


def _take(root: str, index: int) -> int:
    return made(FileContainerRecords(root), ContainerId(f"{index:024x}"), f"c{index}").first_host_id


def test_no_two_of_many_at_once_have_the_same(tmp_path: Path) -> None:
    with get_context("fork").Pool(4) as pool:
        found = pool.starmap(_take, [(str(tmp_path), index) for index in range(40)])
    assert len(set(found)) == 40


def test_none_is_left(records: FileContainerRecords, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_records, "_SLOTS", 1)
    made(records, ONE, "one")
    with pytest.raises(LimosaError) as refused:
        made(records, TWO, "two")
    assert refused.value.code == "LIM-NAME-006"


@pytest.mark.parametrize("left", [b"", b"\0" * 24, None], ids=["empty", "zeros", "gone"])
def test_what_a_power_loss_took_is_its_containers_again(
    records: FileContainerRecords, tmp_path: Path, left: bytes | None
) -> None:
    record = made(records, ONE, "one")
    for path in (tmp_path / "id-ranges" / "0", tmp_path / "names" / "one"):
        path.unlink()
        if left is not None:
            path.write_bytes(left)
    with records.locked(ONE):
        records.sweep(ONE)
    assert records.sweep_strays() == []
    assert records.find("one") == record
    assert made(records, TWO, "two").first_host_id != record.first_host_id
    assert (tmp_path / "id-ranges" / "0").read_text() == ONE and os.listdir(tmp_path / "names") == ["one", "two"]


def test_a_sweep_takes_nothing_that_is_anothers(records: FileContainerRecords, tmp_path: Path) -> None:
    record = made(records, ONE, "one")
    (tmp_path / "id-ranges" / "0").write_text(TWO)
    with records.locked(ONE):
        records.sweep(ONE)
    assert (tmp_path / "id-ranges" / "0").read_text() == TWO
    assert json.loads((tmp_path / "containers" / ONE / "record.json").read_text())["first_host_id"] == (
        record.first_host_id
    )


@pytest.mark.parametrize("passing", [True, False])
def test_only_a_container_that_lasts_waits_for_the_name_of_its_range(
    records: FileContainerRecords, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passing: bool
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(files, "sync_directory", synced.append)
    made(records, ONE, "one", remove_when_stopped=passing)
    assert (str(tmp_path / "id-ranges") in synced) is not passing
