"""Sorted maps against a dict, over random histories; their shape; what a change costs."""

import os
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from limosa.model import sorted_map, store_codec
from limosa.model.commit_store import Manifest, ObjectId

KEYS = st.one_of(
    st.binary(max_size=3),
    st.sampled_from([b"files/usr/lib/%d" % number for number in range(300)]),
    st.builds(lambda head, tail: b"files/" + head * 50 + tail, st.binary(max_size=2), st.binary(max_size=4)),
)
EDITS = st.dictionaries(KEYS, st.one_of(st.none(), st.binary(max_size=20)), max_size=200)


def keep() -> tuple[dict[ObjectId, bytes], sorted_map.Load, sorted_map.Save]:
    nodes: dict[ObjectId, bytes] = {}

    def save(data: bytes) -> ObjectId:
        node = ObjectId(hash(data).to_bytes(32, "big", signed=True))
        assert nodes.setdefault(node, data) == data
        return node

    return nodes, nodes.__getitem__, save


def check_shape(load: sorted_map.Load, manifest: Manifest) -> None:
    """Nodes are within bounds, counts and first keys are right."""

    def look(node: ObjectId, level: int, first: bytes | None) -> int:
        data = load(node)
        if level == 0:
            pairs = store_codec.decode_map_leaf(data)
            assert 0 < len(pairs) <= sorted_map.MAX_ENTRIES
            assert first is None or pairs[0][0] == first
            return len(pairs)
        children = store_codec.decode_map_branch(data, level)
        assert len(children) <= sorted_map.MAX_ENTRIES and (first is None or children[0][0] == first)
        for key, child, count in children:
            assert look(child, level - 1, key) == count
        return sum(child[2] for child in children)

    if manifest.root is not None:
        level = store_codec.map_level(load(manifest.root))
        assert look(manifest.root, level, None) == manifest.n_entries


@given(st.lists(EDITS, max_size=6))
@settings(max_examples=120, deadline=None)
def test_every_version_stays_what_it_was(history: list[dict[bytes, bytes | None]]) -> None:
    _, load, save = keep()
    manifest, model = Manifest(), {}
    versions = [(manifest, dict(model))]
    for edits in history:
        manifest = sorted_map.update(load, save, manifest, edits)
        model.update({key: value for key, value in edits.items() if value is not None})
        for key, value in edits.items():
            if value is None:
                model.pop(key, None)
        versions.append((manifest, dict(model)))
    for version, expected in versions:
        assert list(sorted_map.items(load, version)) == sorted(expected.items())
        assert version.n_entries == len(expected)
        check_shape(load, version)
        for key in list(expected)[:5]:
            assert sorted_map.get(load, version, key) == expected[key]
        assert sorted_map.get(load, version, b"no such key") is None
    (one, old), (other, new) = versions[len(versions) // 2], versions[-1]
    keys = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    assert list(sorted_map.differing(load, one, other)) == [(key, old.get(key), new.get(key)) for key in keys]


def test_prefixes_and_starts() -> None:
    _, load, save = keep()
    names = [b"%c/%04d" % (letter, number) for letter in b"abc" for number in range(500)]
    manifest = sorted_map.update(load, save, Manifest(), dict.fromkeys(names, b"x"))
    assert [key for key, _ in sorted_map.items(load, manifest, prefix=b"b/")] == names[500:1000]
    assert [key for key, _ in sorted_map.items(load, manifest, start=b"b/0498", prefix=b"b/")] == names[998:1000]
    assert list(sorted_map.items(load, manifest, prefix=b"d")) == []


def test_one_of_a_hundred_thousand_costs_a_few_kib_and_differs_alone() -> None:
    nodes, load, save = keep()
    rng = random.Random(4)
    names = [b"files/usr/share/%x/%x" % (rng.getrandbits(20), rng.getrandbits(40)) for _ in range(100_000)]
    manifest = sorted_map.update(load, save, Manifest(), {name: os.urandom(40) for name in names})
    before = len(nodes)
    changed = sorted_map.update(load, save, manifest, {names[5000]: b"new"})
    fresh = list(nodes.values())[before:]
    assert sum(map(len, fresh)) < 16_000
    reads = []

    def counting(node: ObjectId) -> bytes:
        reads.append(node)
        return load(node)

    (difference,) = sorted_map.differing(counting, manifest, changed)
    assert difference[0] == names[5000] and difference[2] == b"new"
    assert len(reads) <= 12


def test_removing_nearly_all_leaves_a_small_tree() -> None:
    _, load, save = keep()
    names = [b"%06d" % number for number in range(20_000)]
    manifest = sorted_map.update(load, save, Manifest(), dict.fromkeys(names, b"v" * 30))
    for at in range(0, 20_000, 500):
        manifest = sorted_map.update(load, save, manifest, dict.fromkeys(names[at + 5 : at + 500]))
    check_shape(load, manifest)
    assert manifest.n_entries == 200 and manifest.root is not None
    assert store_codec.map_level(load(manifest.root)) <= 1
