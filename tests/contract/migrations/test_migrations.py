"""The journal of migrations: whole or not there, one process at a time, nothing left."""

import os
from pathlib import Path

import pytest

from limosa.adapters.file_migrations import FileMigrations
from limosa.model.ids import ContainerId
from limosa.model.migration import MigrationEntry
from limosa.model.peer_address import PeerAddress

ID = "0123456789abcdef01234567"
ENTRY = MigrationEntry(ID, "source", "open", ContainerId("a" * 24), "web", PeerAddress("b", ("X=1",)), "b", 5)


def test_an_entry_is_replaced_found_and_removed(tmp_path: Path) -> None:
    journal = FileMigrations(str(tmp_path))
    assert journal.all() == [] and journal.load(ID) is None
    journal.write(ENTRY)
    journal.write(ENTRY._replace(phase="given", commit="c"))
    assert journal.load(ID) == ENTRY._replace(phase="given", commit="c")
    other = ENTRY._replace(migration_id="f" * 24, created_ns=1)
    journal.write(other)
    assert [one.migration_id for one in journal.all()] == ["f" * 24, ID], "oldest first"
    journal.write(ENTRY._replace(phase=""))
    assert journal.load(ID) is None


def test_one_process_works_at_a_migration(tmp_path: Path) -> None:
    journal = FileMigrations(str(tmp_path))
    with journal.locked(ID):
        assert journal.busy(ID)
        with pytest.raises(BlockingIOError), journal.locked(ID, wait_s=0.1):
            pass
        journal.write(ENTRY)
    assert not journal.busy(ID)
    with journal.locked(ID):
        journal.write(ENTRY._replace(phase=""))
    assert os.listdir(f"{tmp_path}/migrations") == []


@pytest.mark.parametrize("name", ["", "../" + "a" * 21, "x" * 24, "a" * 23])
def test_what_is_no_id_becomes_no_path(tmp_path: Path, name: str) -> None:
    journal = FileMigrations(str(tmp_path))
    with pytest.raises(ValueError, match="no migration"), journal.locked(name):
        pass
    with pytest.raises(ValueError, match="no migration"):
        journal.load(name)
    assert os.listdir(tmp_path) == []


def test_what_dead_processes_left_is_swept(tmp_path: Path) -> None:
    journal = FileMigrations(str(tmp_path))
    journal.write(ENTRY)
    for name in (f"{ID}.json.77.new", f"{'b' * 24}.lock"):
        (tmp_path / "migrations" / name).touch()
    with journal.locked("c" * 24):
        journal.sweep()
        assert sorted(os.listdir(f"{tmp_path}/migrations")) == [f"{ID}.json", f"{'c' * 24}.lock"]
