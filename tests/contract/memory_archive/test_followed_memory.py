"""Any mixture of memory that was followed and memory that criu dumped comes back as it was."""

import os
import struct
from array import array
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.commit_store import FakeCommitStore

from limosa.adapters.criu import pagemap
from limosa.adapters.criu.archive import CriuImageArchive
from limosa.model.commit_store import Commit, Manifest, ObjectId
from limosa.ports.written_pages import ProcessMemory

PAGE = 4096
PAGES = 60


def content(number: int) -> bytes:
    return struct.pack("<Q", number) * 512


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
