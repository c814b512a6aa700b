"""Python and C sort pages the same way: the same frames, maps, counts and index, whatever comes."""

import os
import shutil
import tempfile
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scenes import ZERO, page

from limosa.adapters.commit_store import native, reading, writer
from limosa.adapters.commit_store.page_rows import FramePages, PythonRows
from limosa.adapters.commit_store.parts import create
from limosa.adapters.commit_store.store import DirectoryStore
from limosa.model.commit_store import PAGE_BYTES, PageMap

KEY = b"k" * 32
ORDINARY = settings(deadline=None, suppress_health_check=list(HealthCheck))
# Runs of pages, each (pages to leave out, [content…]): 0 is a zero page, other numbers come again and again.
WRITES = st.lists(
    st.tuples(st.integers(0, 300), st.lists(st.integers(0, 250), min_size=1, max_size=150)), min_size=1, max_size=4
)


@pytest.fixture(scope="module")
def pages(library: str) -> native.NativePages:
    return native.NativePages(library)


@ORDINARY
@given(n_pages=st.integers(0, 40), seed=st.binary(min_size=32, max_size=32), as_is=st.booleans())
def test_digests_are_blake3(pages: native.NativePages, n_pages: int, seed: bytes, as_is: bool) -> None:
    content = blake3(seed).digest(length=n_pages * PAGE_BYTES + 3)
    view = memoryview(content)[0 if as_is else 3 :][: n_pages * PAGE_BYTES]  # C must not lean on alignment
    found = pages.digests(seed, view)
    alone = (view[at : at + PAGE_BYTES] for at in range(0, len(view), PAGE_BYTES))
    assert found == b"".join(blake3(one, key=seed).digest() for one in alone)


@ORDINARY
@given(
    frames=st.lists(
        st.tuples(st.integers(0, 1 << 50), st.lists(st.binary(min_size=1, max_size=2), max_size=20), st.booleans()),
        max_size=8,
    ),
    bits=st.integers(1, 12),
)
def test_rows_of_the_index_are_the_same(pages: native.NativePages, frames: Any, bits: int) -> None:
    asked = []
    for record, digests, lacking in frames:
        prefixes = b"".join(digest.rjust(4, b"\xf0").ljust(16, b"\0") for digest in digests)
        asked.append((record, FramePages(prefixes, frozenset([0, 2] if lacking else []))))
    ours, theirs = PythonRows(), native.NativeRows(pages)
    rows = ours.of_frames(asked)
    assert theirs.of_frames(asked) == rows
    assert theirs.fan(rows, bits) == ours.fan(rows, bits)
    assert theirs.merged([rows, rows[16:], rows[:32]]) == rows


class Both:
    """Two stores with one key, one for each implementation."""

    def __init__(self, place: str, library: str) -> None:
        self.stores = []
        for name, path in (("python", ""), ("native", library)):
            create(f"{place}/{name}", KEY)
            self.stores.append(DirectoryStore(f"{place}/{name}", library=lambda path=path: path))  # type: ignore[misc]

    def put(self, rounds: list[list[tuple[int, list[int]]]], kinds: tuple[type, ...]) -> list[PageMap]:
        """Put pages with one writer; both must give the same maps, counts, frames and content."""
        found: list[Any] = []
        for store in self.stores:
            maps = []
            with store.writing() as opened:
                for number, writes in enumerate(rounds):
                    maps.append(opened.put_pages(PageMap(), _placed(writes, kinds[number % len(kinds)])))
                opened.flush()
                said = opened.stats()
            held = {(frame, n_pages) for frame, _, _, n_pages in store.parts.index.frames()}
            found.append((maps, said._replace(stored_bytes=0), held))
        assert found[0] == found[1]
        for pages_map, writes in zip(found[0][0], rounds, strict=True):
            expected = dict(_placed(writes, bytes))
            for store in self.stores:
                self._holds(store, pages_map, expected)
        return list(found[0][0])

    def _holds(self, store: DirectoryStore, pages_map: PageMap, expected: dict[int, bytes]) -> None:
        from limosa.adapters.commit_store.reader import Reader

        reader = Reader(store.parts.objects, b"", None)  # type: ignore[arg-type]
        for first, content in expected.items():
            assert bytes(reader.read_pages(pages_map, first, len(content) // PAGE_BYTES)) == content

    def close(self) -> None:
        for store in self.stores:
            store.close()


def _placed(writes: list[tuple[int, list[int]]], kind: type) -> list[tuple[int, Any]]:
    placed, at = [], 0
    for gap, numbers in writes:
        at += gap
        content = b"".join(page(number) if number else ZERO for number in numbers)
        placed.append((at, kind(content)))
        at += len(numbers)
    return placed


@ORDINARY
@given(
    commands=st.lists(st.lists(WRITES, min_size=1, max_size=3), min_size=1, max_size=3),
    limits=st.sampled_from([(256, 1 << 18), (4, 1 << 18), (16, 20)]),
)
def test_maps_frames_and_counts_are_the_same(library: str, commands: Any, limits: tuple[int, int]) -> None:
    place = tempfile.mkdtemp(prefix="limosat-pages-")
    before = reading._BUFFER_PAGES, writer._FLUSH_PAGES
    reading._BUFFER_PAGES, writer._FLUSH_PAGES = limits  # type: ignore[misc]
    try:
        both = Both(place, library)
        for rounds in commands:
            both.put(rounds, (bytes, bytearray, memoryview))
        both.close()
    finally:
        reading._BUFFER_PAGES, writer._FLUSH_PAGES = before  # type: ignore[misc]
        shutil.rmtree(place)


def test_a_large_memory_is_flushed_on_the_way(library: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_FLUSH_PAGES", 300)
    both = Both(str(tmp_path), library)
    numbers = list(range(1, 1500))
    both.put([[(5, numbers)], [(0, numbers[::-1])]], (bytes,))
    both.close()


def test_pages_of_a_map_that_failed_are_not_in_the_next(library: str, tmp_path: Any) -> None:
    both = Both(str(tmp_path), library)
    maps = []
    for store in both.stores:
        with store.writing() as opened:
            with pytest.raises(ValueError):
                opened.put_pages(PageMap(), [(0, page(1) + page(2)), (1, page(3))])
            maps.append(opened.put_pages(PageMap(), [(7, page(2) + page(4))]))
            opened.flush()
        both._holds(store, maps[-1], {0: ZERO * 7, 7: page(2) + page(4)})
    both.close()


def test_a_library_that_cannot_be_loaded_is_done_without(tmp_path: Any) -> None:
    create(f"{tmp_path}/store", KEY)
    path = f"{tmp_path}/pages.so"
    with open(path, "wb") as file:
        file.write(b"\x7fELF of another machine")
    store = DirectoryStore(f"{tmp_path}/store", library=lambda: path)
    with store.writing() as opened:
        assert opened.put_pages(PageMap(), [(0, page(1))]).root is not None


def test_it_is_compiled_once_and_not_without_a_compiler(tmp_path: Any) -> None:
    assert native.library(str(tmp_path), "") == ""
    assert native.library(str(tmp_path), "/bin/false") == ""
    made = native.library(str(tmp_path), shutil.which("cc") or "")
    assert os.path.exists(made)
    assert native.library(str(tmp_path), "") == made
    assert os.listdir(os.path.dirname(made)) == ["pages.so"]
