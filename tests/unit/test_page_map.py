"""Page maps against a dict, over random histories; what a change costs; what a stranger's node may not do."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limosa.model import page_map, store_codec
from limosa.model.commit_store import Malformed, ObjectId, PageMap
from limosa.model.page_map import Change


class Nodes:
    """Nodes by id, counting what is read and written."""

    def __init__(self) -> None:
        self.kept: dict[ObjectId, bytes] = {}
        self.reads = 0

    def load(self, node: ObjectId) -> bytes:
        self.reads += 1
        return self.kept[node]

    def save(self, data: bytes) -> ObjectId:
        node = ObjectId(len(self.kept).to_bytes(32, "big"))
        for known, content in self.kept.items():
            if content == data:
                return known
        self.kept[node] = data
        return node


FRAMES = [ObjectId(bytes([number]) * 32) for number in range(1, 5)]
PAGES = st.one_of(st.integers(0, 1200), st.integers(0x7FFFFFF00, 0x7FFFFFFFF), st.integers(0, 1 << 40))
CHANGES = st.lists(
    st.tuples(PAGES, st.integers(1, 700), st.one_of(st.none(), st.sampled_from(FRAMES)), st.integers(0, 300)),
    max_size=12,
)


def apart(changes: list[tuple[int, int, ObjectId | None, int]]) -> list[Change]:
    """Return changes sorted, without those that overlap."""
    kept: list[Change] = []
    for first, n_pages, frame, slot in sorted(changes, key=lambda change: change[0]):
        if not kept or kept[-1].first_page + kept[-1].n_pages <= first:
            kept.append(Change(first, n_pages, frame, slot))
    return kept


def as_dict(nodes: Nodes, pages: PageMap) -> dict[int, tuple[ObjectId, int]]:
    found = {}
    last = -1
    for first, n_pages, frame, slot in page_map.runs(nodes.load, pages):
        assert first > last and n_pages > 0
        last = first + n_pages - 1
        found.update({first + step: (frame, slot + step) for step in range(n_pages)})
    return found


@given(st.lists(CHANGES, max_size=5))
@settings(max_examples=150, deadline=None)
def test_every_version_stays_what_it_was(history: list[list[tuple[int, int, ObjectId | None, int]]]) -> None:
    nodes = Nodes()
    pages, model = PageMap(), {}
    versions = [(pages, dict(model))]
    for batch in history:
        changes = apart(batch)
        pages = page_map.update(nodes.load, nodes.save, pages, changes)
        for first, n_pages, frame, slot in changes:
            for step in range(n_pages):
                if frame is None:
                    model.pop(first + step, None)
                else:
                    model[first + step] = (frame, slot + step)
        versions.append((pages, dict(model)))
    for version, expected in versions:
        assert as_dict(nodes, version) == expected
        assert (version.root is None) == (not expected)
    (one, old), (other, new) = versions[len(versions) // 2], versions[-1]
    expected_differing = {page for page in old.keys() | new.keys() if old.get(page) != new.get(page)}
    found = [first + step for first, n in page_map.differing(nodes.load, one, other) for step in range(n)]
    assert found == sorted(expected_differing)


@given(CHANGES, PAGES, st.integers(1, 2000))
@settings(max_examples=80, deadline=None)
def test_a_part_is_the_whole_cut(batch: list[tuple[int, int, ObjectId | None, int]], first: int, n_pages: int) -> None:
    nodes = Nodes()
    pages = page_map.update(nodes.load, nodes.save, PageMap(), apart(batch))
    whole = as_dict(nodes, pages)
    part = {}
    for run in page_map.runs(nodes.load, pages, first, first + n_pages):
        part.update({run.first_page + step: (run.frame, run.slot + step) for step in range(run.n_pages)})
    assert part == {page: place for page, place in whole.items() if first <= page < first + n_pages}


def test_the_same_pages_make_the_same_map_whatever_the_order() -> None:
    nodes = Nodes()
    changes = [Change(page * 1000, 300, FRAMES[page % 4], page) for page in range(20)]
    at_once = page_map.update(nodes.load, nodes.save, PageMap(), changes)
    one_by_one = PageMap()
    for change in reversed(changes):
        one_by_one = page_map.update(nodes.load, nodes.save, one_by_one, [change])
    assert one_by_one == at_once
    grown = page_map.update(nodes.load, nodes.save, at_once, [Change(1 << 40, 1, FRAMES[0], 0)])
    assert page_map.update(nodes.load, nodes.save, grown, [Change(1 << 40, 1, None)]) == at_once


def test_two_pages_of_ten_gigabytes_cost_a_few_kib_of_nodes() -> None:
    nodes: dict[ObjectId, bytes] = {}

    def save(data: bytes) -> ObjectId:
        node = ObjectId(os.urandom(32))
        nodes[node] = data
        return node

    ten_gb = [Change(at, 64, ObjectId(os.urandom(32)), 0) for at in range(0, 10_000_000_000 // 4096, 64)]
    pages = page_map.update(nodes.__getitem__, save, PageMap(), ten_gb)
    before = set(nodes)
    page_map.update(nodes.__getitem__, save, pages, [Change(1_234_567, 2, FRAMES[0], 0)])
    assert sum(len(nodes[node]) for node in nodes.keys() - before) < 5000


def test_opening_reads_only_the_path() -> None:
    nodes = Nodes()
    pages = PageMap()
    for commit in range(100):
        pages = page_map.update(nodes.load, nodes.save, pages, [Change(commit * 5000, 7, FRAMES[commit % 4], 0)])
    nodes.reads = 0
    assert [run.n_pages for run in page_map.runs(nodes.load, pages, 250_000, 250_001)] == [1]
    assert nodes.reads <= 4


@given(st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_node_or_malformed(data: bytes) -> None:
    for prefix in (b"", b"L", b"B\1", b"E", b"K\1", b"C"):
        for decode in (
            store_codec.decode_leaf,
            lambda some: store_codec.decode_branch(some, 1),
            store_codec.decode_map_leaf,
            lambda some: store_codec.decode_map_branch(some, 1),
            store_codec.decode_entry,
            store_codec.decode_commit,
        ):
            try:
                decode(prefix + data)
            except Malformed:
                continue


def test_a_node_of_another_level_is_refused() -> None:
    branch = store_codec.encode_branch(2, [FRAMES[0]] + [None] * 31)
    with pytest.raises(Malformed):
        store_codec.decode_branch(branch, 1)
