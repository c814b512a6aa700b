"""What the port promises: the same tests for the real adapter and the fake, with and without a disk limit."""

import os
import threading
from collections.abc import Callable

import pytest

from limosa.model.errors import LimosaError
from limosa.model.ids import ContainerId
from limosa.ports.storage import Storage, WritableFiles

GIB = 1 << 30
MIB = 1 << 20
NewId = Callable[[], ContainerId]


def write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def tree(directory: str) -> dict[str, str]:
    """Return the content of every file below a directory."""
    return {
        os.path.relpath(f"{place}/{name}", directory): read(f"{place}/{name}")
        for place, _, names in os.walk(directory)
        for name in names
    }


@pytest.fixture
def container(storage: Storage, disk_bytes: int | None, new_id: NewId) -> tuple[ContainerId, WritableFiles]:
    """A container with one file, and something in its work directory."""
    container_id = new_id()
    files = storage.create(container_id, disk_bytes)
    write(f"{files.upper}/first", "one")
    os.makedirs(f"{files.work}/work/index")
    os.symlink("/etc", f"{files.work}/work/link")
    write(f"{files.work}/work/#1", "copied up by half")
    return container_id, files


Container = tuple[ContainerId, WritableFiles]


def test_new_files_are_empty_and_on_one_file_system(storage: Storage, disk_bytes: int | None, new_id: NewId) -> None:
    files = storage.create(new_id(), disk_bytes)
    assert os.listdir(files.upper) == os.listdir(files.work) == []
    upper, work = os.stat(files.upper), os.stat(files.work)
    assert upper.st_dev == work.st_dev
    assert (upper.st_uid, upper.st_gid, upper.st_mode & 0o7777) == (os.getuid(), os.getgid(), 0o755)
    assert os.path.dirname(files.upper) == os.path.dirname(files.work)


def test_create_may_be_repeated(storage: Storage, container: Container, disk_bytes: int | None) -> None:
    container_id, files = container
    assert storage.create(container_id, disk_bytes) == files
    assert tree(files.upper) == {"first": "one"}


def test_files_stay_when_released(storage: Storage, container: Container) -> None:
    container_id, files = container
    storage.release(container_id)
    storage.release(container_id)
    assert storage.locate(container_id) == files
    assert storage.locate(container_id) == files
    assert tree(files.upper) == {"first": "one"}


def test_no_files_are_located_where_there_are_none(storage: Storage, new_id: NewId) -> None:
    for call in (storage.locate, storage.usage, storage.write_back):
        with pytest.raises(LimosaError) as refused:
            call(new_id())
        assert refused.value.code == "LIM-STOR-006"
    with pytest.raises(LimosaError) as refused:
        storage.take_snapshot(new_id(), "a")
    assert refused.value.code == "LIM-STOR-006"
    assert storage.present() == []


def test_a_snapshot_keeps_the_moment(storage: Storage, container: Container) -> None:
    container_id, files = container
    storage.write_back(container_id)
    storage.take_snapshot(container_id, "a")
    write(f"{files.upper}/first", "two")
    write(f"{files.upper}/second", "new")
    storage.take_snapshot(container_id, "b")
    os.unlink(f"{files.upper}/first")
    assert tree(storage.snapshot(container_id, "a")) == {"first": "one"}
    assert tree(storage.snapshot(container_id, "b")) == {"first": "two", "second": "new"}
    assert tree(files.upper) == {"second": "new"}


def test_a_label_that_is_used_again_has_the_later_files(storage: Storage, container: Container) -> None:
    container_id, files = container
    storage.take_snapshot(container_id, "a")
    assert tree(storage.snapshot(container_id, "a")) == {"first": "one"}
    write(f"{files.upper}/first", "two")
    storage.take_snapshot(container_id, "a")
    assert tree(storage.snapshot(container_id, "a")) == {"first": "two"}


@pytest.mark.parametrize("label", ["", ".", "..", "a/b", "../x"])
def test_a_label_cannot_lead_elsewhere(storage: Storage, container: Container, label: str) -> None:
    with pytest.raises(ValueError, match=r"^no label"):
        storage.take_snapshot(container[0], label)


def test_what_is_not_there_is_a_key_error(storage: Storage, container: Container, new_id: NewId) -> None:
    container_id, files = container
    with pytest.raises(KeyError):
        storage.snapshot(container_id, "none")
    with pytest.raises(KeyError):
        storage.revert(container_id, "none")
    with pytest.raises(KeyError):
        storage.clone(container_id, "none", new_id(), None)
    storage.drop_snapshot(container_id, "none")
    assert tree(files.upper) == {"first": "one"}
    assert storage.present() == [container_id]


def test_a_dropped_snapshot_is_gone_and_others_stay(storage: Storage, container: Container) -> None:
    container_id, files = container
    for label in ("a", "b"):
        storage.take_snapshot(container_id, label)
    storage.snapshot(container_id, "a")
    storage.drop_snapshot(container_id, "a")
    storage.drop_snapshot(container_id, "a")
    with pytest.raises(KeyError):
        storage.snapshot(container_id, "a")
    assert tree(storage.snapshot(container_id, "b")) == {"first": "one"}
    assert tree(files.upper) == {"first": "one"}


def test_two_that_receive_at_once_both_have_it(storage: Storage, disk_bytes: int | None, new_id: NewId) -> None:
    container_id = new_id()
    begun, another = threading.Event(), threading.Event()
    failures: list[Exception] = []

    def fill(upper: str) -> None:
        another.set() if begun.is_set() else begun.set()
        write(f"{upper}/first", "one")
        another.wait(0.5)  # if it does not wait, it is at work now, too
        write(f"{upper}/second", "two")

    def receive() -> None:
        try:
            storage.receive_snapshot(container_id, "label", disk_bytes, fill)
        except Exception as failed:
            failures.append(failed)

    first = threading.Thread(target=receive)
    first.start()
    begun.wait()
    receive()
    first.join()
    assert failures == []
    assert tree(storage.snapshot(container_id, "label")) == {"first": "one", "second": "two"}
    assert storage.present() == [container_id]


def test_copies_and_the_original_go_their_own_ways(
    storage: Storage, container: Container, disk_bytes: int | None, new_id: NewId
) -> None:
    container_id, files = container
    storage.take_snapshot(container_id, "a")
    write(f"{files.upper}/first", "original")
    copies = [new_id() for _ in range(3)]
    for number, copy in enumerate(copies):
        made = storage.clone(container_id, "a", copy, disk_bytes)
        assert tree(made.upper) == {"first": "one"}
        assert os.listdir(made.work) == []
        write(f"{made.upper}/first", f"copy {number}")
    for number, copy in enumerate(copies):
        assert tree(storage.locate(copy).upper) == {"first": f"copy {number}"}
        with pytest.raises(KeyError):
            storage.snapshot(copy, "a")
    assert tree(files.upper) == {"first": "original"}
    assert storage.present() == sorted([container_id, *copies])


def test_a_copy_outlives_what_it_was_copied_from(
    storage: Storage, container: Container, disk_bytes: int | None, new_id: NewId
) -> None:
    container_id, _ = container
    storage.take_snapshot(container_id, "a")
    copy = new_id()
    storage.clone(container_id, "a", copy, disk_bytes)
    storage.destroy(container_id)
    storage.release(copy)
    assert tree(storage.locate(copy).upper) == {"first": "one"}
    storage.take_snapshot(copy, "a")
    again = new_id()
    assert tree(storage.clone(copy, "a", again, disk_bytes).upper) == {"first": "one"}
    assert storage.present() == sorted([copy, again])


def test_clone_may_be_repeated(storage: Storage, container: Container, disk_bytes: int | None, new_id: NewId) -> None:
    container_id, _ = container
    storage.take_snapshot(container_id, "a")
    copy = new_id()
    made = storage.clone(container_id, "a", copy, disk_bytes)
    write(f"{made.upper}/first", "changed")
    assert tree(storage.clone(container_id, "a", copy, disk_bytes).upper) == {"first": "one"}


def test_revert_brings_files_back_and_keeps_snapshots(
    storage: Storage, container: Container, disk_bytes: int | None
) -> None:
    container_id, files = container
    storage.take_snapshot(container_id, "a")
    write(f"{files.upper}/first", "two")
    os.mkdir(f"{files.upper}/directory")
    storage.take_snapshot(container_id, "b")
    storage.release(container_id)
    for label, content in (("a", "one"), ("b", "two"), ("a", "one"), ("a", "one")):
        reverted = storage.revert(container_id, label)
        assert reverted == files
        assert tree(files.upper) == {"first": content}
        assert os.path.isdir(f"{files.upper}/directory") == (label == "b")
        assert os.listdir(reverted.work) == []
        write(f"{files.upper}/first", "scribbled over")
    assert tree(storage.snapshot(container_id, "a")) == {"first": "one"}
    assert storage.usage(container_id).limit_bytes == disk_bytes


def test_nothing_is_left_of_what_is_destroyed(
    storage: Storage, container: Container, disk_bytes: int | None, new_id: NewId
) -> None:
    container_id, files = container
    other = new_id()
    storage.create(other, disk_bytes)
    storage.take_snapshot(container_id, "a")
    storage.snapshot(container_id, "a")
    storage.locate(container_id)
    storage.destroy(container_id)
    storage.destroy(container_id)
    assert not os.path.exists(files.upper)
    assert storage.present() == [other]
    storage.destroy(other)
    assert storage.present() == []


def test_files_are_discarded_and_snapshots_stay(
    storage: Storage, container: Container, disk_bytes: int | None, new_id: NewId
) -> None:
    container_id, files = container
    copy = new_id()
    write(f"{files.upper}/first", "one")
    storage.take_snapshot(container_id, "a")
    storage.locate(container_id)
    assert storage.discard_files(container_id)
    assert not storage.discard_files(container_id)
    assert not storage.discard_files(new_id())
    assert not os.path.exists(files.upper)
    assert storage.snapshots(container_id) == ["a"]
    assert storage.present() == [container_id]
    assert tree(storage.clone(container_id, "a", copy, disk_bytes).upper) == {"first": "one"}
    storage.drop_snapshot(container_id, "a")
    assert storage.present() == [copy]


def test_the_limit_and_what_is_used_are_told(storage: Storage, container: Container, disk_bytes: int | None) -> None:
    container_id, files = container
    before = storage.usage(container_id)
    with open(f"{files.upper}/large", "wb") as file:
        file.write(os.urandom(8 * MIB))
        os.fsync(file.fileno())
    os.link(f"{files.upper}/large", f"{files.upper}/same")
    after = storage.usage(container_id)
    assert before.limit_bytes == after.limit_bytes == disk_bytes
    if disk_bytes is None:
        assert after.used_bytes >= before.used_bytes + 8 * MIB
    storage.release(container_id)
    assert storage.usage(container_id).used_bytes >= 8 * MIB


def test_a_disk_grows_and_shrinks_while_it_is_used(storage: Storage, new_id: NewId) -> None:
    container_id = new_id()
    files = storage.create(container_id, GIB)
    storage.locate(container_id)
    with open(f"{files.upper}/open", "w+b") as file:
        file.write(b"x" * MIB)
        for size in (3 * GIB, 512 * MIB, 512 * MIB, 2 * GIB, 256 * MIB):
            storage.resize(container_id, size)
            assert storage.usage(container_id).limit_bytes == size
            file.seek(0)
            assert file.read() == b"x" * MIB


def test_a_released_disk_changes_its_size_and_stays_released(storage: Storage, new_id: NewId) -> None:
    container_id = new_id()
    files = storage.create(container_id, GIB)
    write(f"{files.upper}/first", "one")
    storage.release(container_id)
    storage.resize(container_id, 2 * GIB)
    assert storage.usage(container_id).limit_bytes == 2 * GIB
    assert tree(storage.locate(container_id).upper) == {"first": "one"}


def test_a_disk_is_not_made_smaller_than_what_is_in_it(storage: Storage, new_id: NewId) -> None:
    container_id = new_id()
    files = storage.create(container_id, GIB)
    with open(f"{files.upper}/large", "wb") as file:
        file.write(os.urandom(400 * MIB))
        os.fsync(file.fileno())
    with pytest.raises(LimosaError) as refused:
        storage.resize(container_id, 300 * MIB)
    assert refused.value.code == "LIM-STOR-003"
    assert storage.usage(container_id).limit_bytes == GIB
    assert os.path.getsize(f"{files.upper}/large") == 400 * MIB
    storage.take_snapshot(container_id, "a")
    with pytest.raises(LimosaError) as refused:
        storage.clone(container_id, "a", new_id(), 300 * MIB)
    assert refused.value.code == "LIM-STOR-003"
    assert storage.present() == [container_id]


def test_a_disk_has_a_least_size(storage: Storage, new_id: NewId) -> None:
    small = new_id()
    with pytest.raises(LimosaError) as refused:
        storage.create(small, 63 * MIB)
    assert refused.value.code == "LIM-STOR-005"
    assert storage.present() == []
    storage.create(small, 64 * MIB)
    assert storage.usage(small).limit_bytes == 64 * MIB
    with pytest.raises(LimosaError) as refused:
        storage.resize(small, 128 * MIB)
    assert refused.value.code == "LIM-STOR-003"
    assert storage.usage(small).limit_bytes == 64 * MIB
    storage.resize(small, GIB)
    assert storage.usage(small).limit_bytes == GIB


def test_files_move_to_a_disk_only_while_they_are_not_in_use(storage: Storage, new_id: NewId) -> None:
    container_id = new_id()
    files = storage.create(container_id, None)
    write(f"{files.upper}/first", "one")
    storage.locate(container_id)
    with pytest.raises(LimosaError) as refused:
        storage.resize(container_id, GIB)
    assert refused.value.code == "LIM-STOR-003"
    assert tree(files.upper) == {"first": "one"}
    storage.release(container_id)
    storage.resize(container_id, GIB)
    assert storage.usage(container_id).limit_bytes == GIB
    assert tree(storage.locate(container_id).upper) == {"first": "one"}


def test_a_copy_may_have_a_limit_of_its_own(
    storage: Storage, container: Container, disk_bytes: int | None, new_id: NewId
) -> None:
    container_id, _ = container
    storage.take_snapshot(container_id, "a")
    for limit in (None, 2 * GIB, 512 * MIB):
        copy = new_id()
        made = storage.clone(container_id, "a", copy, limit)
        assert tree(made.upper) == {"first": "one"}
        assert storage.usage(copy).limit_bytes == limit
    assert storage.usage(container_id).limit_bytes == disk_bytes
