"""Several processes at once: writers, readers and collections on one store."""

import errno
import os
import random
import signal
import time
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from scenes import ZERO, commit, content, opened, page, pages

from limosa.adapters.commit_store import leases
from limosa.adapters.commit_store.page_rows import FramePages
from limosa.adapters.commit_store.parts import create
from limosa.model.commit_store import Commit, Entry, Manifest, Paged, PageMap
from limosa.model.errors import LimosaError

pytestmark = pytest.mark.usefixtures("pages_in")


def start(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return pid


def ended_well(pids: list[int]) -> None:
    statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    assert statuses == [0] * len(pids)


def test_writers_readers_and_collections(tmp_path: Any) -> None:
    root = f"{tmp_path}/store"
    create(root)
    per_writer = 12

    def write(number: int) -> Callable[[], None]:
        def work() -> None:
            store = opened(root)
            parent = None
            for step in range(per_writer):
                memory = {0: pages(0, 40), 100: pages(1000 * number + step, 30)}  # some that all have, some of its own
                parent = commit(
                    store,
                    memory,
                    {b"f": b"%d %d" % (number, step) * 500},
                    parent=parent,
                    ref=f"containers/c{number}",
                    when_ns=step,
                )
                found, files = content(store, parent)
                assert found[: 40 * 4096] == pages(0, 40)
                assert found[100 * 4096 : 130 * 4096] == pages(1000 * number + step, 30)
                assert files == {b"f": b"%d %d" % (number, step) * 500}
            store.close()

        return work

    def collect() -> None:
        store = opened(root)
        for _ in range(8):
            store.collect(wait_s=120)
            time.sleep(0.02)
        store.close()

    def churn() -> None:
        store = opened(root)
        for step in range(10):
            commit(store, {0: pages(50_000 + 100 * step, 60)}, {}, ref=None)
        store.close()

    def read() -> None:
        store = opened(root)
        rng = random.Random(1)
        until = time.monotonic() + 4
        while time.monotonic() < until:
            refs = store.refs()
            if refs:
                name = rng.choice(sorted(refs))
                found, _ = content(store, refs[name])
                assert found[: 40 * 4096] == pages(0, 40)
        store.close()

    ended_well([start(work) for work in (*(write(number) for number in range(4)), collect, churn, read, read)])
    opened(root).collect()
    store = opened(root)
    refs = store.refs()
    assert sorted(refs) == [f"containers/c{number}" for number in range(4)]
    for number in range(4):
        history = list(store.history([refs[f"containers/c{number}"]]))
        assert len(history) == per_writer
        for step, (made, _) in enumerate(reversed(history)):
            assert content(store, made)[1] == {b"f": b"%d %d" % (number, step) * 500}
    report = store.verify()
    assert (report.damages, report.torn_packs, report.commits) == ((), (), 4 * per_writer)
    assert store.usage().packs <= 8  # writers go on with packs that are there


def test_a_lease_ends_with_its_owner(tmp_path: Any) -> None:
    root = f"{tmp_path}/store"
    create(root)
    store = opened(root)
    made = commit(store, {0: pages(0, 20)}, {}, ref=None)
    ready, go = os.pipe(), os.pipe()

    def read_for_long() -> None:
        mine = opened(root)
        with mine.reading(made) as reader:
            os.write(ready[1], b"x")
            os.read(go[0], 1)
            entry = reader.entry(b"memory/1")
            assert reader.read_pages(entry.content.pages, 0, 20) == pages(0, 20)
            os.write(ready[1], b"y")
            time.sleep(600)

    pid = start(read_for_long)
    assert os.read(ready[0], 1) == b"x"
    waste = commit(store, {0: pages(500, 200)}, {}, ref=None)  # in the same pack: it will be packed anew
    report = store.collect()
    assert report.objects_dropped > 0 and report.packs_rewritten == 1
    assert not store.parts.index.has(waste)
    os.write(go[1], b"x")
    assert os.read(ready[0], 1) == b"y"
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    store.collect()
    assert store.usage().frames == 0
    assert os.listdir(f"{root}/leases") == []


def test_a_collection_does_not_wait_for_ever(tmp_path: Any) -> None:
    root = f"{tmp_path}/store"
    create(root)
    store, other = opened(root), opened(root)
    with store.writing() as writer:
        writer.put_blob(b"x")
        try:
            other.collect(wait_s=0.1)
        except LimosaError as error:
            assert error.code == "LIM-CSTORE-009"
        else:
            raise AssertionError
    other.collect(wait_s=0.1)


def test_a_commit_is_not_collected_between_its_writing_and_its_ref(tmp_path: Any) -> None:
    root = f"{tmp_path}/store"
    create(root)

    go = os.pipe()

    def collect() -> None:
        os.read(go[0], 1)
        opened(root).collect(wait_s=60)

    pid = start(collect)  # before the lock is taken: a fork would share it
    store = opened(root)
    with store.writing() as writer:
        memory = writer.put_pages(PageMap(), [(0, page(1))])
        made = writer.put_commit(Commit((), writer.put_entries(Manifest(), {b"m": Entry(b"", Paged(memory))}), 1))
        os.write(go[1], b"x")
        time.sleep(0.5)
        store.set_ref("containers/x", made, when_ns=1, why="")
    ended_well([pid])
    with store.reading(made) as reader:
        assert reader.read_pages(memory, 0, 1) == page(1)


def test_pages_that_another_command_collected_are_not_relied_on(tmp_path: Any) -> None:
    root = f"{tmp_path}/store"
    create(root)
    mine, other = opened(root), opened(root)
    first = commit(mine, {0: pages(0, 320)}, {})
    second = commit(mine, dict.fromkeys(range(2, 320, 64), ZERO * 60), {}, parent=first, when_ns=2)
    commit(mine, {400: pages(0, 64)}, {}, ref=None)  # now it knows what is in the frames
    other.forget([first])
    assert other.collect().packs_rewritten == 1
    # As after a crash of the collection: the hints of before are there again.
    prefixes = b"".join(mine.parts.hasher.page(page(number))[:16] for number in range(64))
    mine.parts.page_index.add([(1, FramePages(prefixes))])
    third = commit(mine, {400: pages(0, 64)}, {}, parent=second, when_ns=3)
    assert content(mine, third)[0][400 * 4096 : 464 * 4096] == pages(0, 64)
    assert mine.verify().damages == ()


def test_a_full_disk_does_not_keep_a_commit_from_being_read(tmp_path: Any, monkeypatch: Any) -> None:
    root = f"{tmp_path}/store"
    create(root)
    store, other = opened(root), opened(root)
    made = commit(store, {0: pages(0, 20)}, {}, ref=None)

    def full(*_: Any) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(leases, "take", full)
    with store.reading(made) as reader:
        entry = reader.entry(b"memory/1")
        assert reader.read_pages(entry.content.pages, 0, 20) == pages(0, 20)
        with pytest.raises(LimosaError):
            other.collect(wait_s=0.1)
    assert other.collect(wait_s=0.1).objects_dropped > 0


def test_a_process_and_its_copy_use_a_store_that_was_released(tmp_path: Any) -> None:
    root = f"{tmp_path}/store"
    create(root)
    store = opened(root)
    first = commit(store, {0: pages(0, 40)}, {}, ref="containers/c", when_ns=1)
    with store.reading(first):
        store.release()

        def work() -> None:
            second = commit(store, {0: pages(5, 40)}, {}, parent=first, ref="containers/d", when_ns=2)
            assert content(store, second)[0][: 40 * 4096] == pages(5, 40)

        pid = start(work)
        assert content(store, first)[0][: 40 * 4096] == pages(0, 40)
        ended_well([pid])
        assert content(store, store.refs()["containers/d"])[0][: 40 * 4096] == pages(5, 40)
    store.close()
