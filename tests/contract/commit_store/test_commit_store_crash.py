"""Killed, out of space, or without power at any file operation: what was committed is whole, the store goes on."""

import os
import random
import shutil
from collections.abc import Callable
from typing import Any

import faults
import pytest
from scenes import commit, content, opened, pages

from limosa.adapters.commit_store.parts import create
from limosa.adapters.commit_store.transfer import DirectoryRemote
from limosa.model.commit_store import ObjectId

pytestmark = pytest.mark.usefixtures("pages_in")

KEY = b"k" * 32
# At each file operation, or (in the tier of each change) at some of them.
STEPS = pytest.mark.parametrize(
    "step", [pytest.param(1, marks=pytest.mark.slow, id="each"), pytest.param(6, id="some")]
)
FILES = {b"small": b"s" * 40, b"large": b"l" * 50_000}


def lived_in(root: str) -> tuple[ObjectId, ObjectId]:
    """Make a store with two commits of a container and something to collect; return the commits."""
    create(root, KEY)
    store = opened(root)
    first = commit(store, {0: pages(0, 150)}, FILES)
    commit(store, {0: pages(5000, 200)}, {b"waste": b"w" * 30_000}, ref=None)
    second = commit(store, {20: pages(300, 70)}, {b"small": b"t" * 41}, parent=first, when_ns=2)
    store.close()
    return first, second


def write_one(root: str, parent: ObjectId) -> Callable[[Callable[[str], None]], None]:
    def work(announce: Callable[[str], None]) -> None:
        store = opened(root)
        third = commit(store, {100: pages(700, 90)}, {b"large": b"m" * 40_000}, parent=parent, when_ns=3)
        announce(f"third {third.hex()}")
        store.set_ref("tags/third", third, when_ns=4, why="tag")
        announce(f"tag {third.hex()}")
        store.close()

    return work


def collect_it(root: str, first: ObjectId) -> Callable[[Callable[[str], None]], None]:
    def work(announce: Callable[[str], None]) -> None:
        store = opened(root)
        store.forget([first])
        announce("forgotten")
        store.collect(log_before_ns=10)
        announce("collected")
        store.close()

    return work


def expected_second() -> tuple[bytes, dict[bytes, bytes]]:
    memory = bytearray(600 * 4096)
    memory[: 150 * 4096] = pages(0, 150)
    memory[20 * 4096 : 90 * 4096] = pages(300, 70)
    return bytes(memory), FILES | {b"small": b"t" * 41}


def expected_third() -> tuple[bytes, dict[bytes, bytes]]:
    memory = bytearray(expected_second()[0])
    memory[100 * 4096 : 190 * 4096] = pages(700, 90)
    return bytes(memory), expected_second()[1] | {b"large": b"m" * 40_000}


def check_survivor(root: str, second: ObjectId, outcome: faults.Outcome) -> None:
    """What was announced is there, nothing is damaged, and the store works and can be collected."""
    store = opened(root)
    assert content(store, second) == expected_second()
    refs = store.refs()
    said = dict(line.split(" ", 1) for line in outcome.said if " " in line)
    for what, name in (("third", "containers/web"), ("tag", "tags/third")):
        if what in said:
            assert refs[name].hex() == said[what]
    if refs["containers/web"] != second:
        assert content(store, refs["containers/web"]) == expected_third()
    assert store.verify().damages == ()
    again = commit(store, {100: pages(700, 90)}, {b"large": b"m" * 40_000}, parent=second, ref="tags/again", when_ns=20)
    assert content(store, again) == expected_third()
    store.collect(log_before_ns=15)
    report = store.verify()
    assert (report.damages, report.torn_packs) == ((), ())
    assert content(store, again) == expected_third()
    assert content(store, store.refs()["containers/web"]) in (expected_second(), expected_third())
    store.close()


def each_failure(
    tmp_path: Any, work: Callable[..., Any], how: str, *, power: bool = False, stays: bool = False, step: int = 1
) -> int:
    """Let `work` fail at each file operation in turn, on a copy of one store; return how many there are."""
    origin = f"{tmp_path}/origin"
    first, second = lived_in(origin)
    fail_at = step
    while True:
        root = f"{tmp_path}/copy"
        shutil.copytree(origin, root)
        before = {
            f"{root}/packs/{name}": os.path.getsize(f"{root}/packs/{name}") for name in os.listdir(f"{root}/packs")
        }
        argument = second if work is write_one else first
        outcome = faults.run(work(root, argument), fail_at=fail_at, how=how, stays=stays)
        if power:
            faults.lose_power(root, before | outcome.synced, random.Random(fail_at))
        try:
            check_survivor(root, second, outcome)
        except BaseException as error:
            error.add_note(f"failed at operation {fail_at}: {outcome.said}")
            raise
        shutil.rmtree(root)
        if outcome.finished and outcome.operations < fail_at:
            return fail_at - 1
        assert not outcome.finished or how != "kill"
        fail_at += step


@STEPS
@pytest.mark.parametrize("power", [False, True], ids=["killed", "power lost"])
def test_killed_while_writing(tmp_path: Any, power: bool, step: int) -> None:
    assert each_failure(tmp_path, write_one, "kill", power=power, step=step) > 15


@STEPS
@pytest.mark.parametrize("how", ["ENOSPC", "EIO"])
def test_the_disk_fails_while_writing(tmp_path: Any, how: str, step: int) -> None:
    assert each_failure(tmp_path, write_one, how, stays=how == "ENOSPC", step=step) > 15


@STEPS
@pytest.mark.parametrize("power", [False, True], ids=["killed", "power lost"])
def test_killed_while_collecting(tmp_path: Any, power: bool, step: int) -> None:
    assert each_failure(tmp_path, collect_it, "kill", power=power, step=step) > 10


@STEPS
def test_the_disk_is_full_while_collecting(tmp_path: Any, step: int) -> None:
    assert each_failure(tmp_path, collect_it, "ENOSPC", stays=True, step=step) > 10


@STEPS
def test_killed_while_receiving(tmp_path: Any, step: int) -> None:
    source = f"{tmp_path}/source"
    lived_in(source)
    here = opened(source)
    (made,) = set(here.refs().values())
    expected = content(here, made)
    fail_at = step
    while True:
        target = f"{tmp_path}/target"
        create(target, KEY)

        def work(announce: Callable[[str], None], target: str = target) -> None:
            there = opened(target)
            mine = opened(source)
            mine.push([made], DirectoryRemote(there.parts), {"containers/web": made}, when_ns=1)
            announce("pushed")

        outcome = faults.run(work, fail_at=fail_at, how="kill")
        there = opened(target)
        if "pushed" in outcome.said:
            assert there.refs() == {"containers/web": made}
        if there.refs():
            assert content(there, made) == expected
        here.push([made], DirectoryRemote(there.parts), {"containers/web": made}, when_ns=1)
        there.collect()
        assert content(there, made) == expected
        assert there.verify().damages == ()
        there.close()
        shutil.rmtree(target)
        if outcome.finished and outcome.operations < fail_at:
            break
        fail_at += step
    assert fail_at > 8


def test_a_lost_index_is_made_again(tmp_path: Any) -> None:
    root = f"{tmp_path}/store"
    first, second = lived_in(root)
    store = opened(root)
    store.forget([first])
    store.collect(log_before_ns=10)
    known = store.usage()
    store.close()
    for damage in ("gone", "garbage", "empty", "pages"):
        index = f"{root}/index/objects.sqlite"
        for name in os.listdir(f"{root}/index"):
            if name.startswith("objects.sqlite-"):
                os.unlink(f"{root}/index/{name}")
        if damage == "gone":
            shutil.rmtree(f"{root}/index")
            os.mkdir(f"{root}/index")
        elif damage == "garbage":
            with open(index, "r+b") as file:
                file.write(b"garbage" * 2000)
        elif damage == "empty":
            os.truncate(index, 0)
        else:
            for name in os.listdir(f"{root}/index/pages"):
                if name.endswith(".pages"):
                    with open(f"{root}/index/pages/{name}", "r+b") as file:
                        file.seek(40)
                        file.write(os.urandom(200))
        store = opened(root)
        assert content(store, second) == expected_second()
        assert store.usage() == known
        with store.writing() as writer:
            pages_again = pages(300, 70)
            from limosa.model.commit_store import PageMap

            writer.put_pages(PageMap(), [(0, pages_again)])
            if damage != "pages":
                assert writer.stats().pages_known == 70
        store.collect(log_before_ns=10)
        store.close()


def test_a_pack_that_vanished_is_told_and_the_rest_goes_on(tmp_path: Any) -> None:
    root = f"{tmp_path}/store"
    _, second = lived_in(root)
    (name,) = os.listdir(f"{root}/packs")
    os.unlink(f"{root}/packs/{name}")
    store = opened(root)
    third = commit(store, {0: pages(0, 10)}, {}, ref="tags/new")
    assert content(store, third)[0][: 10 * 4096] == pages(0, 10)
    assert second not in {found for found, _ in store.history([third])}


@pytest.mark.privileged
def test_a_disk_that_is_really_full(tmp_path: Any) -> None:
    from limosa.linux import mount
    from limosa.model.errors import LimosaError

    root = f"{tmp_path}/disk"
    os.mkdir(root)
    mount.mount("tmpfs", root, "tmpfs", data="size=3m")
    try:
        create(root, KEY)
        store = opened(root)
        first = commit(store, {0: pages(0, 100)}, FILES)
        used = os.statvfs(root).f_bfree
        for _ in range(3):
            with pytest.raises(LimosaError) as raised:
                commit(store, {0: os.urandom(1200 * 4096)}, {}, parent=first)
            assert raised.value.code == "LIM-CSTORE-006"
            assert os.statvfs(root).f_bfree > used - 40  # it got its space back
        assert store.refs() == {"containers/web": first}
        assert content(store, first)[1] == FILES
        second = commit(store, {0: pages(200, 20)}, {}, parent=first, when_ns=2)
        store.set_ref("tags/first", None, when_ns=3, why="untag")
        store.forget([first])
        store.collect(log_before_ns=5)
        assert content(store, second)[0][: 20 * 4096] == pages(200, 20)
        assert store.verify().damages == ()
        store.close()
    finally:
        mount.umount(root)


def test_what_a_dead_writer_left_is_synced_before_others_rely_on_it(tmp_path: Any, monkeypatch: Any) -> None:
    root = f"{tmp_path}/store"
    lived_in(root)
    with open(f"{root}/packs/{os.listdir(f'{root}/packs')[0]}", "rb") as file:
        whole = file.read()
    with open(f"{root}/packs/{'d' * 32}.pack", "wb") as file:
        file.write(whole)
    synced = []
    real_fsync = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    store = opened(root)
    assert f"{root}/packs/{'d' * 32}.pack" in synced
    store.close()
