"""Any mixture of memory that was followed and memory that criu dumped comes back as it was."""

import os
import random
import struct
from array import array
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.commit_store import FakeCommitStore

from limosa.adapters.criu import mapped, pagemap, schema
from limosa.adapters.criu.archive import CriuImageArchive
from limosa.model.commit_store import Commit, Manifest, ObjectId, PageMap
from limosa.model.errors import LimosaError
from limosa.ports.written_pages import EarlierCopy, ProcessMemory

PAGE = 4096
PAGES = 60


def content(number: int) -> bytes:
    return struct.pack("<Q", number) * 512


PRIVATE = 1 | 1 << 9
SHARED = 1 | 1 << 8
GUARD = 1 << 16


def mm_image(mappings: list[tuple[int, int, int]]) -> bytes:
    """What criu writes of a process with mappings (first page, end, status)."""
    entries = [
        {1: first * PAGE, 2: end * PAGE, **dict.fromkeys((3, 4, 5, 6), 0), 7: status, 8: 0}
        for first, end, status in mappings
    ]
    body = schema.encode("mm_entry", {**dict.fromkeys(range(1, 13), 0), 13: [], 14: entries})
    return struct.pack("<III", 0x54564319, 0x57492820, len(body)) + body


def runs_of(pages: set[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for page in sorted(pages):
        if runs and sum(runs[-1]) == page:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((page, 1))
    return runs


def commit_of(store: Any, directory: str, memories: list[ProcessMemory], parent: ObjectId | None) -> ObjectId:
    with store.writing() as writer:
        if parent is None:
            entries = CriuImageArchive().save(writer, directory, memories)
        else:
            with store.reading(parent) as reader:
                entries = CriuImageArchive().save(writer, directory, memories, reader)
        commit = writer.put_commit(Commit((), writer.put_entries(Manifest(), entries), 1))
        store.set_ref("containers/one", commit, when_ns=1, why="test")
    found: ObjectId = commit
    return found


def images(directory: str, pages: dict[int, int], order: Any) -> None:
    """Write criu's images of some pages, in any order of runs."""
    runs = runs_of(set(pages))
    order.shuffle(runs)
    os.mkdir(directory)
    with open(f"{directory}/mm-7.img", "wb") as file:
        file.write(mm_image([(1, PAGES + 1, PRIVATE)]))
    with open(f"{directory}/pagemap-7.img", "wb") as file:
        file.write(pagemap.encode(pagemap.Pagemap(3, runs)))
    if runs:
        with open(f"{directory}/pages-3.img", "wb") as file:
            for first, count in runs:
                file.write(b"".join(content(pages[page]) for page in range(first, first + count)))


def back(store: Any, commit: ObjectId, directory: str) -> dict[int, bytes]:
    os.mkdir(directory)
    with store.reading(commit) as reader:
        CriuImageArchive().load(reader, directory)
    with open(f"{directory}/pagemap-7.img", "rb") as file:
        found = pagemap.parse(file.read())
    made, at = {}, 0
    if not found.runs:
        return {}
    with open(f"{directory}/pages-{found.pages_id}.img", "rb") as file:
        data = file.read()
    for first, count in found.runs:
        for page in range(first, first + count):
            assert page not in made
            made[page] = data[at : at + PAGE]
            at += PAGE
    assert at == len(data)
    return made


page_sets = st.sets(st.integers(1, PAGES))
almost_all = page_sets.map(lambda left_out: set(range(1, PAGES + 1)) - left_out)


@settings(max_examples=120, deadline=None)
@given(
    before=page_sets,
    now=page_sets,
    followed=page_sets,
    written=page_sets,
    also_dumped=page_sets,
    order=st.randoms(use_true_random=False),
)
def test_any_mixture_comes_back(tmp_path_factory, before, now, followed, written, also_dumped, order) -> None:
    store, directory = FakeCommitStore(), tmp_path_factory.mktemp("followed")
    old = {page: page for page in before}
    images(f"{directory}/one", old, order)
    parent = commit_of(store, f"{directory}/one", [], None)
    followed, written = followed & now, (written | (now - before)) & followed & now
    # What is followed, was in the parent and was not written is as it was there; everything else may be anything.
    truth = {page: page if page in followed - written else page + 1000 for page in now}
    dumped = {page: truth[page] for page in now - followed | (also_dumped & now)}
    images(f"{directory}/two", dumped, order)
    ranges: array[int] = array("Q")
    for page in sorted(followed):
        ranges.extend((page * PAGE, (page + 1) * PAGE, page in written))
    data = b"".join(content(truth[page]) for page in sorted(written))
    memory = ProcessMemory(7, ranges, memoryview(data), since_parent=True)
    commit = commit_of(store, f"{directory}/two", [memory], parent)
    assert back(store, commit, f"{directory}/back") == {page: content(number) for page, number in truth.items()}
    # The same without a parent to build upon: then everything that is followed has to be there.
    everything = b"".join(content(truth[page]) for page in sorted(followed))
    memory = ProcessMemory(7, ranges, memoryview(everything), since_parent=False)
    commit = commit_of(store, f"{directory}/two", [memory], parent)
    assert back(store, commit, f"{directory}/again") == {page: content(number) for page, number in truth.items()}


@pytest.mark.parametrize(
    ("mappings", "followed", "why"),
    [
        ([(1, 20, PRIVATE)], [(15, 25)], "page 0x14000 is in no private mapping of it"),
        ([(1, 10, PRIVATE), (10, 20, SHARED)], [(2, 4), (8, 12)], "page 0xa000 is in no private mapping of it"),
        ([(1, 10, PRIVATE), (12, 20, PRIVATE)], [(8, 14)], "page 0xa000 is in no private mapping of it"),
        ([(4, 9, PRIVATE), (1, 3, GUARD)], [(1, 2)], "page 0x1000 is in no private mapping of it"),
        ([(1, 20, PRIVATE)], [(1, 3), (8, 9), (2, 4)], "page 0x2000 is there twice"),
    ],
)
def test_what_could_not_be_restored_is_not_kept(
    tmp_path: Any, mappings: list[tuple[int, int, int]], followed: list[tuple[int, int]], why: str
) -> None:
    directory = f"{tmp_path}/dump"
    images(directory, {}, random.Random(1))
    with open(f"{directory}/mm-7.img", "wb") as file:
        file.write(mm_image(mappings))
    ranges: array[int] = array("Q")
    for first, end in followed:
        ranges.extend((first * PAGE, end * PAGE, 1))
    data = memoryview(bytes(sum(end - first for first, end in followed) * PAGE))
    store = FakeCommitStore()
    with pytest.raises(LimosaError) as refused:
        commit_of(store, directory, [ProcessMemory(7, ranges, data, since_parent=False)], None)
    assert refused.value.code == "LIM-TRACK-003"
    assert refused.value.cause == why
    assert not store.refs()


@given(st.lists(st.tuples(st.integers(1, 1 << 34), st.integers(1, 1 << 20)), max_size=40))
def test_mappings_are_read_as_they_are_written(spans: list[tuple[int, int]]) -> None:
    mappings = [(first, first + count, PRIVATE) for first, count in sorted(spans)]
    apart = [one for at, one in enumerate(mappings) if all(end <= one[0] for _, end, _ in mappings[:at])]
    found = mapped.private(mm_image([*apart, (1, 2, GUARD)]))
    assert {page for first, count in found for page in (first, first + count)} <= {
        page for first, end, _ in apart for page in (first, end)
    }
    assert sum(count for _, count in found) == sum(end - first for first, end, _ in apart)


def test_no_mm_image_is_an_error() -> None:
    for data in (b"", b"x" * 40, mm_image([])[:-1], mm_image([]) + b"x"):
        with pytest.raises(ValueError):
            mapped.private(data)


@settings(max_examples=120, deadline=None)
@given(kept=almost_all, written=page_sets, grown=almost_all, gone=page_sets, order=st.randoms(use_true_random=False))
def test_what_was_kept_while_it_ran_and_written_again_comes_back(
    tmp_path_factory, kept, written, grown, gone, order
) -> None:
    """A first commit: pages are stored while the container runs, which writes to some, gets others, gives some up."""
    store, directory = FakeCommitStore(), tmp_path_factory.mktemp("kept")
    now = (kept | grown) - gone
    again = (written & now) | (now - kept)
    images(f"{directory}/one", {}, order)
    runs = runs_of(now)
    numbers = array("Q")
    for page in sorted(now):
        numbers.extend((page * PAGE, (page + 1) * PAGE, int(page in again)))
    copied = memoryview(b"".join(content(page + 1000) for page in sorted(again)))
    with store.writing() as writer:
        pages = [(first, memoryview(b"".join(map(content, range(first, first + n))))) for first, n in runs_of(kept)]
        ahead = EarlierCopy(
            array("Q", [edge * PAGE for first, n in runs_of(kept) for edge in (first, first + n)]),
            memoryview(b""),
            writer.put_pages(PageMap(), pages),
        )
        memory = ProcessMemory(7, numbers, copied, False, (ahead,))
        entries = CriuImageArchive().save(writer, f"{directory}/one", [memory])
        commit = writer.put_commit(Commit((), writer.put_entries(Manifest(), entries), 1))
        store.set_ref("containers/one", commit, when_ns=1, why="test")
    assert sum(n for _, n in runs) == len(now)
    assert back(store, commit, f"{directory}/back") == {
        page: content(page + 1000 if page in again else page) for page in now
    }
