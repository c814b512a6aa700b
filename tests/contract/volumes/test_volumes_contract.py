"""The `Volumes` port: one suite over subvolumes in a pool and the fake; and what only the real one can show."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes.volumes import FakeVolumes

from limosa.adapters.btrfs_pool import BtrfsPool
from limosa.adapters.pool_volumes import PoolVolumes
from limosa.linux import btrfs
from limosa.model.errors import LimosaError
from limosa.model.volume import Volume
from limosa.ports.volumes import Volumes


@pytest.fixture
def root() -> Iterator[str]:
    path = tempfile.mkdtemp(prefix="limosat-", dir="/var/tmp")
    pool = BtrfsPool(path)
    pool.prepare()
    try:
        yield path
    finally:
        pool.close()
        assert not os.path.ismount(f"{path}/storage")
        shutil.rmtree(path)


@pytest.fixture(params=[pytest.param("real", marks=pytest.mark.privileged), "fake"])
def volumes(request: pytest.FixtureRequest, tmp_path: Path) -> Volumes:
    if request.param == "fake":
        return FakeVolumes(str(tmp_path))
    root = request.getfixturevalue("root")
    return PoolVolumes(root, f"{root}/storage")


def code_of(caught: pytest.ExceptionInfo[LimosaError]) -> str:
    return caught.value.code


def test_a_volume_is_kept_as_it_was_made(volumes: Volumes) -> None:
    made = Volume("data", 5, "reference", (("a", "b"),))
    volumes.create(made)
    volumes.create(Volume("cache", 6))
    assert volumes.find("data") == made
    assert [one.name for one in volumes.all()] == ["cache", "data"]
    volumes.mark_filled("data")
    assert volumes.find("data") == made._replace(filled=True)


def test_a_new_volume_is_empty_and_keeps_what_is_written(volumes: Volumes) -> None:
    volumes.create(Volume("data", 5))
    place = volumes.directory("data")
    assert os.listdir(place) == []
    Path(f"{place}/file").write_bytes(b"x" * 100_000)
    os.sync()
    assert volumes.used_bytes("data") >= 100_000
    with pytest.raises(LimosaError) as caught:
        volumes.create(Volume("data", 6))
    assert code_of(caught) == "LIM-VOL-001"
    assert os.listdir(place) == ["file"], "a refused create leaves the volume alone"


def test_a_removed_volume_is_gone_and_its_name_is_free(volumes: Volumes) -> None:
    volumes.create(Volume("data", 5))
    place = volumes.directory("data")
    Path(f"{place}/file").write_text("x", encoding="ascii")
    with volumes.locked():
        volumes.remove("data")
    assert not os.path.exists(place)
    assert volumes.all() == []
    volumes.create(Volume("data", 7))
    assert os.listdir(volumes.directory("data")) == []


@pytest.mark.parametrize("name", ["nosuch", "../../etc/passwd", ".."])
def test_what_is_not_there_is_said_so(volumes: Volumes, name: str) -> None:
    for action in (volumes.find, volumes.directory, volumes.used_bytes, volumes.remove, volumes.mark_filled):
        with pytest.raises(LimosaError) as caught:
            action(name)
        assert code_of(caught) == "LIM-VOL-002"


def put(directory: str, name: str, text: str) -> None:
    Path(f"{directory}/{name}").write_text(text, encoding="ascii")


def read(directory: str, name: str) -> str:
    return Path(f"{directory}/{name}").read_text(encoding="ascii")


def test_snapshots_stay_as_they_were_and_a_volume_goes_back_to_one(volumes: Volumes) -> None:
    volumes.create(Volume("data", 5))
    put(volumes.directory("data"), "file", "one")
    volumes.write_back("data")
    volumes.take_snapshot("data", "first")
    put(volumes.directory("data"), "file", "two")
    put(volumes.directory("data"), "more", "x")
    volumes.take_snapshot("data", "second")
    put(volumes.directory("data"), "file", "three")
    assert [read(volumes.snapshot("data", label), "file") for label in ("first", "second")] == ["one", "two"]
    volumes.revert("data", "first")
    assert os.listdir(volumes.directory("data")) == ["file"]
    assert read(volumes.directory("data"), "file") == "one"
    put(volumes.directory("data"), "file", "four")
    assert read(volumes.snapshot("data", "first"), "file") == "one"
    volumes.drop_snapshots("first")
    volumes.drop_snapshots("first")
    for action in (volumes.snapshot, volumes.revert):
        with pytest.raises(KeyError):
            action("data", "first")
    assert read(volumes.directory("data"), "file") == "four"
    volumes.revert("data", "second")
    assert read(volumes.directory("data"), "more") == "x"


def test_a_volume_is_copied_from_a_snapshot_that_outlives_it(volumes: Volumes) -> None:
    volumes.create(Volume("data", 5))
    put(volumes.directory("data"), "file", "one")
    volumes.take_snapshot("data", "label")
    volumes.remove("data")
    volumes.copy("data", "label", Volume("copy", 6, labels=(("a", "b"),)))
    assert volumes.find("copy").labels == (("a", "b"),)
    put(volumes.directory("copy"), "file", "two")
    assert read(volumes.snapshot("data", "label"), "file") == "one"
    with pytest.raises(LimosaError) as caught:
        volumes.copy("data", "label", Volume("copy", 7))
    assert code_of(caught) == "LIM-VOL-001"
    assert read(volumes.directory("copy"), "file") == "two"
    with pytest.raises(KeyError):
        volumes.copy("data", "nosuch", Volume("third", 7))


def test_a_snapshot_comes_from_elsewhere_whole_or_not_at_all(volumes: Volumes) -> None:
    volumes.receive_snapshot("data", "label", lambda place: put(place, "file", "one"))
    assert read(volumes.snapshot("data", "label"), "file") == "one"

    def fails(place: str) -> None:
        put(place, "file", "two")
        raise ValueError("cut off")

    with pytest.raises(ValueError, match="cut off"):
        volumes.receive_snapshot("data", "other", fails)
    with pytest.raises(KeyError):
        volumes.snapshot("data", "other")
    assert volumes.tidy() == []


def test_tidy_removes_files_without_a_volume_and_nothing_else(volumes: Volumes) -> None:
    volumes.create(Volume("data", 5))
    place = os.path.dirname(volumes.directory("data"))
    if isinstance(volumes, FakeVolumes):
        os.mkdir(f"{place}/stray")
    else:
        btrfs.create_subvolume(f"{place}/stray")
    Path(f"{place}/stray/file").write_text("x", encoding="ascii")
    assert volumes.tidy() == ["stray"]
    assert os.listdir(place) == ["data"]
    assert volumes.tidy() == []


@pytest.mark.privileged
def test_a_create_that_was_killed_between_files_and_record_can_be_repeated(root: str) -> None:
    volumes = PoolVolumes(root, f"{root}/storage")
    os.mkdir(f"{root}/storage/volumes")
    btrfs.create_subvolume(f"{root}/storage/volumes/data")
    volumes.create(Volume("data", 5))
    assert volumes.find("data").name == "data"


@pytest.mark.privileged
def test_a_volume_can_be_snapshotted(root: str) -> None:
    volumes = PoolVolumes(root, f"{root}/storage")
    volumes.create(Volume("data", 5))
    Path(f"{volumes.directory('data')}/file").write_text("before", encoding="ascii")
    btrfs.snapshot_subvolume(volumes.directory("data"), f"{root}/storage/volumes/copy", read_only=True)
    Path(f"{volumes.directory('data')}/file").write_text("after", encoding="ascii")
    assert Path(f"{root}/storage/volumes/copy/file").read_text(encoding="ascii") == "before"
