"""SIGKILL before each system call of each operation: what is left is whole, repeating works, destroying leaves nothing.

The victim is a forked process whose audit hook (and wrappers, for what goes through libc) kills it at the n-th call;
n counts up until the operation comes to its end: by one in the full tier, by more in that of each change.
"""

import itertools
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from residue import await_detached, left_in

from limosa.adapters.btrfs_pool import BtrfsPool
from limosa.linux import mount, renameat2
from limosa.model.ids import ContainerId

pytestmark = pytest.mark.privileged
# Before each call, or (in the tier of each change) before some of them.
STEPS = pytest.mark.parametrize(
    "step", [pytest.param(1, marks=pytest.mark.slow, id="each"), pytest.param(6, id="some")]
)

GIB = 1 << 30
MIB = 1 << 20
SUBJECT, OTHER = ContainerId("5" * 24), ContainerId("0" * 24)
_FILE_EVENTS = "open os.mkdir os.rename os.remove os.rmdir os.truncate os.listdir os.scandir"
_EVENTS = frozenset((*_FILE_EVENTS.split(), "fcntl.ioctl", "fcntl.flock", "subprocess.Popen"))


def killed_at(number: int, action: Callable[[], object]) -> bool:
    """Run `action` in a process of its own that is killed before its `number`-th system call; say whether it was."""
    child = os.fork()
    if child == 0:
        try:
            _arm(number)
            action()
            os._exit(0)
        except BaseException as error:
            os.write(2, f"{error!r}\n".encode())
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the operation failed by itself"
    return os.WIFSIGNALED(status)


def _arm(number: int) -> None:
    calls = itertools.count(1)

    def step() -> None:
        if next(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def wrapped(function: Callable[..., object]) -> Callable[..., object]:
        def stepping(*arguments: Any, **options: Any) -> object:
            step()
            return function(*arguments, **options)

        return stepping

    sys.addaudithook(lambda event, _: step() if event in _EVENTS else None)
    for module, name in ((mount, "mount"), (mount, "umount"), (renameat2, "exchange")):
        setattr(module, name, wrapped(getattr(module, name)))


def content(pool: BtrfsPool, container_id: ContainerId = SUBJECT) -> str:
    """Return what the one file of a container says."""
    with open(f"{pool.locate(container_id).upper}/file", encoding="utf-8") as file:
        return file.read()


def put(pool: BtrfsPool, text: str, disk_bytes: int | None, container_id: ContainerId = SUBJECT) -> None:
    """Make a container whose one file says `text`, or let it say so."""
    with open(f"{pool.create(container_id, disk_bytes).upper}/file", "w", encoding="utf-8") as file:
        file.write(text)


class Operation(NamedTuple):
    """An operation, what it needs, what must hold after a crash in it, and once it was repeated to its end."""

    before: Callable[[BtrfsPool], None]
    run: Callable[[BtrfsPool], object]
    crashed: Callable[[BtrfsPool], bool]
    done: Callable[[BtrfsPool], bool]


def _nothing(_: BtrfsPool) -> None:
    return None


def _create(disk_bytes: int | None) -> Operation:
    return Operation(
        _nothing,
        lambda pool: pool.create(SUBJECT, disk_bytes),
        lambda pool: pool.present() in ([], [SUBJECT]),
        lambda pool: (
            os.listdir(pool.locate(SUBJECT).upper) == os.listdir(pool.locate(SUBJECT).work) == []
            and pool.usage(SUBJECT).limit_bytes == disk_bytes
        ),
    )


def _with_snapshot(disk_bytes: int | None, container_id: ContainerId) -> Callable[[BtrfsPool], None]:
    def made(pool: BtrfsPool) -> None:
        put(pool, "one", disk_bytes, container_id)
        pool.take_snapshot(container_id, "a")
        put(pool, "two", disk_bytes, container_id)
        pool.release(container_id)

    return made


def _clone(source_bytes: int | None, target_bytes: int | None) -> Operation:
    return Operation(
        _with_snapshot(source_bytes, OTHER),
        lambda pool: pool.clone(OTHER, "a", SUBJECT, target_bytes),
        lambda pool: content(pool, OTHER) == "two",
        lambda pool: content(pool) == "one" and pool.usage(SUBJECT).limit_bytes == target_bytes,
    )


def _revert(disk_bytes: int | None) -> Operation:
    return Operation(
        _with_snapshot(disk_bytes, SUBJECT),
        lambda pool: (pool.release(SUBJECT), pool.revert(SUBJECT, "a")),
        lambda pool: content(pool) in ("one", "two"),
        lambda pool: content(pool) == "one",
    )


def _take_snapshot(disk_bytes: int | None) -> Operation:
    def snapshot_says(pool: BtrfsPool) -> str:
        with open(f"{pool.snapshot(SUBJECT, 'a')}/file", encoding="utf-8") as file:
            return file.read()

    def replaced(pool: BtrfsPool) -> None:
        _with_snapshot(disk_bytes, SUBJECT)(pool)
        pool.snapshot(SUBJECT, "a")
        pool.locate(SUBJECT)

    return Operation(
        replaced,
        lambda pool: (pool.take_snapshot(SUBJECT, "a"), pool.snapshot(SUBJECT, "a")),
        lambda pool: content(pool) == "two",
        lambda pool: snapshot_says(pool) == "two",
    )


def _resize(old_bytes: int | None, new_bytes: int, *, mounted: bool) -> Operation:
    def before(pool: BtrfsPool) -> None:
        put(pool, "two", old_bytes)
        if not mounted:
            pool.release(SUBJECT)

    def crashed(pool: BtrfsPool) -> bool:
        says, limit = content(pool), pool.usage(SUBJECT).limit_bytes
        size = os.statvfs(pool.locate(SUBJECT).upper)
        if limit is not None:
            assert size.f_blocks * size.f_frsize == limit, "what usage says is not what df says"
        if not mounted:
            pool.release(SUBJECT)
        return says == "two" and limit in (old_bytes, new_bytes)

    def done(pool: BtrfsPool) -> bool:
        size = os.statvfs(pool.locate(SUBJECT).upper)
        return content(pool) == "two" and size.f_blocks * size.f_frsize == new_bytes

    return Operation(before, lambda pool: pool.resize(SUBJECT, new_bytes), crashed, done)


def _destroy(disk_bytes: int | None) -> Operation:
    def before(pool: BtrfsPool) -> None:
        _with_snapshot(disk_bytes, SUBJECT)(pool)
        pool.snapshot(SUBJECT, "a")
        pool.locate(SUBJECT)

    return Operation(before, lambda pool: pool.destroy(SUBJECT), lambda _: True, lambda pool: pool.present() == [])


def _located(disk_bytes: int | None) -> Operation:
    return Operation(
        _with_snapshot(disk_bytes, SUBJECT),
        lambda pool: (pool.locate(SUBJECT), pool.snapshot(SUBJECT, "a"), pool.release(SUBJECT)),
        lambda pool: content(pool) == "two",
        lambda pool: content(pool) == "two",
    )


_OPERATIONS = {
    "create": _create(None),
    "create a disk": _create(GIB),
    "create a small disk": _create(64 * MIB),
    "clone": _clone(None, None),
    "clone a disk": _clone(GIB, GIB),
    "clone to a larger disk": _clone(GIB, 2 * GIB),
    "clone to a disk": _clone(None, GIB),
    "clone from a disk": _clone(GIB, None),
    "revert": _revert(None),
    "revert a disk": _revert(GIB),
    "take a snapshot": _take_snapshot(None),
    "take a snapshot of a disk": _take_snapshot(GIB),
    "grow": _resize(GIB, 2 * GIB, mounted=True),
    "shrink": _resize(GIB, GIB // 2, mounted=True),
    "grow what is released": _resize(GIB, 2 * GIB, mounted=False),
    "shrink what is released": _resize(GIB, GIB // 2, mounted=False),
    "move to a disk": _resize(None, GIB, mounted=False),
    "locate and release": _located(None),
    "locate and release a disk": _located(GIB),
    "destroy": _destroy(None),
    "destroy a disk": _destroy(GIB),
}


@STEPS
@pytest.mark.parametrize("name", _OPERATIONS)
def test_killed_anywhere_and_repeated(pool: BtrfsPool, root: str, name: str, step: int) -> None:
    operation = _OPERATIONS[name]
    for number in itertools.count(1 + len(name) % min(step, 3), step):  # not all of them at the same calls
        operation.before(pool)
        killed = killed_at(number, lambda: operation.run(pool))
        assert operation.crashed(pool) or not killed, f"after a crash before call {number}"
        operation.run(pool)
        assert operation.done(pool), f"repeated after a crash before call {number}"
        _all_destroyed(pool, root)
        if not killed:
            assert number > step, "nothing was ever interrupted"
            break


@pytest.mark.slow
@pytest.mark.parametrize("name", _OPERATIONS)
def test_killed_anywhere_and_given_up(pool: BtrfsPool, root: str, name: str) -> None:
    operation = _OPERATIONS[name]
    for number in itertools.count(1):
        operation.before(pool)
        killed = killed_at(number, lambda: operation.run(pool))
        _all_destroyed(pool, root)
        if not killed:
            break


def _all_destroyed(pool: BtrfsPool, root: str) -> None:
    for container_id in (SUBJECT, OTHER):
        pool.destroy(container_id)
    assert pool.present() == []
    assert left_in(root) == []
    assert mount.mount_points(root) == [f"{root}/storage"]


@STEPS
def test_prepare_killed_anywhere(root: str, step: int) -> None:
    for number in itertools.count(1, step):
        pool = BtrfsPool(root)
        killed = killed_at(number, pool.prepare)
        pool.prepare()
        pool.create(SUBJECT, 300 * MIB)
        _all_destroyed(pool, root)
        pool.close()
        await_detached(root)
        for name in ("pool.btrfs", "pool.lock"):
            os.unlink(f"{root}/{name}")
        os.rmdir(f"{root}/storage")
        assert os.listdir(root) == []
        if not killed:
            assert number > 10
            break
