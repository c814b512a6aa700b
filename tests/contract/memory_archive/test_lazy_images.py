"""Of a commit's memory each page is in the images or owed, and what may not come late is in them."""

import os
import random
import struct
import tempfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.commit_store import FakeCommitStore

from limosa.adapters.criu import lazy, pagemap, schema
from limosa.adapters.criu.archive import CriuImageArchive
from limosa.model import page_runs
from limosa.model.commit_store import Commit, Manifest, ObjectId

PAGE = 4096
PAGES = 90
ANONYMOUS, LOCKED, STACK, WIPE_ON_FORK = 0x22, 0x2000, 0x100, 1 << 18
PRIVATE = 1 | 1 << 9
# First page, end, flags, status, advice.
HEAP = (1, 30, ANONYMOUS, PRIVATE | 1 << 5, 0)
NEXT = (30, 50, ANONYMOUS, PRIVATE, 0)  # right behind it
KEPT = (50, 60, ANONYMOUS | LOCKED, PRIVATE, 0)
WIPED = (60, 70, ANONYMOUS, PRIVATE, WIPE_ON_FORK)
GROWS = (72, 80, ANONYMOUS | STACK, PRIVATE | 1 << 1, 0)
OF_FILE = (80, 90, 2, 1 | 1 << 6, 0)
MAPPINGS = (HEAP, NEXT, KEPT, WIPED, GROWS, OF_FILE)


def image(magic: int, kind: str, message: Any) -> bytes:
    body = schema.encode(kind, message)
    return struct.pack("<III", 0x54564319, magic, len(body)) + body


def write(directory: str, pages: set[int], stack_pages: list[int]) -> None:
    """Write criu's images of process 7 with threads whose stack pointers are in these pages."""
    mappings = [
        {1: first * PAGE, 2: end * PAGE, 3: 0, 4: 0, 5: 3, 6: flags, 7: status, 8: 0, 9: advice}
        for first, end, flags, status, advice in MAPPINGS
    ]
    mm = {**dict.fromkeys(range(1, 13), 0), 13: [], 14: mappings}
    threads = [7 + number for number in range(len(stack_pages))]
    written = {
        "mm-7.img": image(0x57492820, "mm_entry", mm),
        "pstree.img": image(0x50273030, "pstree_entry", {1: 7, 2: 0, 3: 7, 4: 7, 5: threads}),
    }
    for thread, page in zip(threads, stack_pages, strict=True):
        registers = {**dict.fromkeys(range(1, 28), 0), 20: page * PAGE + 100}
        info = {1: 0, 2: registers, 3: dict.fromkeys(range(1, 9), 0)}
        core = {1: 1, 2: info, 5: {1: 0, 2: 0}}
        written[f"core-{thread}.img"] = image(0x55053847, "core_entry", core)
    runs = page_runs.joined((page * PAGE for page in sorted(pages)), ((page + 1) * PAGE for page in sorted(pages)))
    written["pagemap-7.img"] = pagemap.encode(pagemap.Pagemap(3, runs))
    written["pages-3.img"] = b"".join(content(page) for page in sorted(pages))
    for name, data in written.items():
        with open(f"{directory}/{name}", "wb") as file:
            file.write(data)


def content(page: int) -> bytes:
    return struct.pack("<Q", page) * 512


def taken(store: Any, directory: str) -> ObjectId:
    with store.writing() as writer:
        entries = CriuImageArchive().save(writer, directory)
        commit = writer.put_commit(Commit((), writer.put_entries(Manifest(), entries), 1))
        store.set_ref("containers/one", commit, when_ns=1, why="test")
    found: ObjectId = commit
    return found


@pytest.fixture(autouse=True, scope="module")
def little_is_worth_it() -> Any:
    before, lazy._WORTH_PAGES = lazy._WORTH_PAGES, 1  # type: ignore[misc]
    yield
    lazy._WORTH_PAGES = before  # type: ignore[misc]


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(0, 100))
def test_each_page_is_there_or_owed(rng: random.Random, share: int) -> None:
    pages = {page for first, end, *_ in MAPPINGS for page in range(first, end) if rng.random() * 100 < share}
    stacks = [rng.randrange(1, 50) for _ in range(rng.randint(1, 3))]
    store = FakeCommitStore()
    with tempfile.TemporaryDirectory() as directory:
        os.mkdir(f"{directory}/dumped")
        os.mkdir(f"{directory}/loaded")
        write(f"{directory}/dumped", pages, stacks)
        with store.reading(taken(store, f"{directory}/dumped")) as reader:
            memories = CriuImageArchive().load_lazily(reader, f"{directory}/loaded")
            owed = {page for one in memories for first, n in one.runs for page in range(first, first + n)}
            at_once = {page + step for page in stacks for step in (0, 1)}
            assert owed == {page for page in pages if page < 50} - at_once
            for one in memories:
                assert one.pid == 7
                assert reader.read_pages(one.pages, 0, PAGES) == b"".join(
                    content(page) if page in pages else bytes(PAGE) for page in range(PAGES)
                )
                areas = {tuple(at // PAGE for at in area) for area in one.areas}
                assert areas == {two[:2] for two in (HEAP, NEXT) if owed & set(range(*two[:2]))}
                assert all(any(a <= first and first + n <= e for a, e in areas) for first, n in one.runs)
                others = {at // PAGE for at, _ in one.others}
                assert others == {two[0] for two in (HEAP, NEXT, WIPED, GROWS) if two[:2] not in areas}
        with open(f"{directory}/loaded/pagemap-7.img", "rb") as file:
            local = pagemap.parse(file.read()).runs
        found = b""
        if pages:
            with open(f"{directory}/loaded/pages-3.img", "rb") as file:
                found = file.read()
        assert [page for first, n in local for page in range(first, first + n)] == sorted(pages - owed)
        assert found == b"".join(content(page) for page in sorted(pages - owed))
