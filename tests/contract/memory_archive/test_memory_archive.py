"""criu's images through a store and back: byte for byte, pages by address, and nothing that a stranger makes up."""

import os
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.commit_store import FakeCommitStore

from limosa.adapters.commit_store.parts import create
from limosa.adapters.commit_store.store import DirectoryStore
from limosa.adapters.criu import pagemap, wire
from limosa.adapters.criu.archive import CriuImageArchive
from limosa.model.commit_store import Commit, Entry, Inline, Manifest, Paged, PageMap
from limosa.model.errors import LimosaError
from limosa.ports.memory_archive import IMAGE_PREFIX, MEMORY_PREFIX

KEY = b"k" * 32
PAGE = 4096
_HEAD = {1: ("pages_id", "int")}
_ENTRY = {1: ("vaddr", "int"), 2: ("compat_nr_pages", "int"), 4: ("flags", "int"), 5: ("nr_pages", "int")}


def pagemap_image(pages_id: int, runs: list[tuple[int, int, int]]) -> bytes:
    """Return a pagemap image; runs are (first page, pages, flags)."""
    parts = [struct.pack("<II", 0x54564319, 0x56084025)]
    records = [wire.encode(_HEAD, {"pages_id": pages_id})]
    records += [
        wire.encode(_ENTRY, {"vaddr": first * PAGE, "compat_nr_pages": n, "flags": flags, "nr_pages": n})
        for first, n, flags in runs
    ]
    for record in records:
        parts += [struct.pack("<I", len(record)), record]
    return b"".join(parts)


@pytest.fixture(params=["real", "fake"])
def store(request: pytest.FixtureRequest, tmp_path: Any) -> Any:
    if request.param == "fake":
        return FakeCommitStore(KEY)
    create(f"{tmp_path}/store", KEY)
    return DirectoryStore(f"{tmp_path}/store")


def committed(store: Any, entries: dict[bytes, Entry]) -> Any:
    with store.writing() as writer:
        manifest = writer.put_entries(Manifest(), entries)
        commit = writer.put_commit(Commit((), manifest, 1))
        store.set_ref("containers/one", commit, when_ns=1, why="test")
    return commit


def round_trip(store: Any, source: str, target: str) -> None:
    archive = CriuImageArchive()
    with store.writing() as writer:
        manifest = writer.put_entries(Manifest(), archive.save(writer, source))
        commit = writer.put_commit(Commit((), manifest, 1))
        store.set_ref("containers/one", commit, when_ns=1, why="test")
    os.mkdir(target)
    with store.reading(commit) as reader:
        archive.load(reader, target)


def content(directory: str) -> dict[str, bytes]:
    found = {}
    for name in os.listdir(directory):
        with open(f"{directory}/{name}", "rb") as file:
            found[name] = file.read()
    return found


def write(directory: str, files: dict[str, bytes]) -> None:
    os.makedirs(directory, exist_ok=True)
    for name, data in files.items():
        with open(f"{directory}/{name}", "wb") as file:
            file.write(data)


def test_images_come_back_byte_for_byte(store, tmp_path) -> None:
    pages = b"".join(bytes([number]) * PAGE for number in (7, 0, 9, 7))
    images = {
        "core-1.img": os.urandom(3000),
        "inventory.img": b"small",
        "tmpfs-dev-1.tar.gz.img": os.urandom((1 << 20) + 77),
        # Not in the order of addresses, with a hole, and the same page twice.
        "pagemap-1.img": pagemap_image(3, [(500, 2, 4), (100, 1, 4), (900, 8, 2), (101, 1, 4)]),
        "pages-3.img": pages,
        "pagemap-shmem-8.img": pagemap_image(4, [(0, 1, 4)]),
        "pages-4.img": b"s" * PAGE,
        "pagemap-2.img": pagemap_image(5, []),
        "dump.log": b"not kept",
    }
    write(f"{tmp_path}/dump", images)
    round_trip(store, f"{tmp_path}/dump", f"{tmp_path}/back")
    images.pop("dump.log")
    assert content(f"{tmp_path}/back") == images


@settings(max_examples=40, deadline=None)
@given(
    runs=st.lists(st.tuples(st.integers(1, 30), st.integers(1, 70)), max_size=20),
    order=st.randoms(use_true_random=False),
    repeated=st.integers(1, 5),
)
def test_any_pagemap_comes_back(tmp_path_factory, runs, order, repeated) -> None:
    place, placed = 0, []
    for gap, n_pages in runs:
        place += gap
        placed.append((place, n_pages, 4))
        place += n_pages
    order.shuffle(placed)
    total = sum(n_pages for _, n_pages, _ in placed)
    pages = b"".join(struct.pack("<Q", number % repeated) * 512 for number in range(total))
    directory = tmp_path_factory.mktemp("archive")
    write(f"{directory}/dump", {"pagemap-1.img": pagemap_image(1, placed)})
    if total:
        write(f"{directory}/dump", {"pages-1.img": pages})
    round_trip(FakeCommitStore(KEY), f"{directory}/dump", f"{directory}/back")
    assert content(f"{directory}/back") == content(f"{directory}/dump")


@pytest.mark.parametrize(
    "broken",
    [
        {"pagemap-1.img": b"nothing"},
        {"pagemap-1.img": pagemap_image(1, [(1, 1, 4)])[:-1], "pages-1.img": b"x" * PAGE},
        {"pagemap-1.img": pagemap_image(1, [(1, 2, 4)]), "pages-1.img": b"x" * PAGE},
        {"pagemap-1.img": pagemap_image(1, [(1, 1, 1)])},
        {"pagemap-1.img": pagemap_image(1, [(1, 1, 4)])},
        {"strange name.img": b""},
    ],
)
def test_what_is_no_dump_is_refused(store, tmp_path, broken) -> None:
    write(f"{tmp_path}/dump", broken)
    with store.writing() as writer, pytest.raises(LimosaError) as refused:
        CriuImageArchive().save(writer, f"{tmp_path}/dump")
    assert refused.value.code == "LIM-CRIU-030"


def _escaping(name: bytes) -> dict[bytes, Entry]:
    return {IMAGE_PREFIX + name: Entry(content=Inline(b"x"))}


@pytest.mark.parametrize(
    "made_up",
    [
        lambda: _escaping(b"../../escaped"),
        lambda: _escaping(b"/etc/escaped"),
        lambda: _escaping(b"."),
        lambda: _escaping(b"\xff"),
        lambda: _escaping(b"pages-1.img"),
        lambda: {MEMORY_PREFIX + b"pagemap-1.img": Entry(content=Paged(PageMap()))},
        lambda: {
            IMAGE_PREFIX + b"pagemap-1.img": Entry(content=Inline(pagemap_image(1, [(1 << 51, 1, 4)]))),
            MEMORY_PREFIX + b"pagemap-1.img": Entry(content=Paged(PageMap())),
        },
        lambda: {
            IMAGE_PREFIX + b"pagemap-1.img": Entry(content=Inline(b"\0" * 8)),
            MEMORY_PREFIX + b"pagemap-1.img": Entry(content=Inline(b"")),
        },
    ],
)
def test_a_strangers_commit_writes_nothing_elsewhere(store, tmp_path, made_up: Callable[[], Any]) -> None:
    commit = committed(store, made_up())
    target = f"{tmp_path}/parent/back"
    os.makedirs(target)
    with store.reading(commit) as reader, pytest.raises(LimosaError) as refused:
        CriuImageArchive().load(reader, target)
    assert refused.value.code == "LIM-CRIU-031"
    assert os.listdir(f"{tmp_path}/parent") == ["back"]
    assert set(os.listdir(target)) <= {"pagemap-1.img", "pages-1.img"}


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_bytes_of_a_stranger_are_a_pagemap_or_an_error(data: bytes) -> None:
    for text in (data, struct.pack("<II", 0x54564319, 0x56084025) + data):
        try:
            found = pagemap.parse(text)
        except ValueError:
            continue
        assert all(first >= 0 and n_pages > 0 for first, n_pages in found.runs)
