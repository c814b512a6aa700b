"""Rot is found and told where it hurts; no pack of a stranger makes a reader crash, hang or swell."""

import os
import random
import resource
import struct
import time
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scenes import commit, content, opened, page, pages

from limosa.adapters.commit_store import pack, record
from limosa.adapters.commit_store.hashing import Hasher, checksum
from limosa.adapters.commit_store.page_rows import FramePages
from limosa.adapters.commit_store.parts import create
from limosa.adapters.commit_store.store import DirectoryStore
from limosa.adapters.commit_store.transfer import DirectoryRemote
from limosa.model import store_codec
from limosa.model.commit_store import Blob, Commit, Entry, Malformed, Manifest, ObjectId, Paged, PageMap
from limosa.model.errors import LimosaError

pytestmark = pytest.mark.usefixtures("pages_in")

KEY = b"k" * 32


def only_pack(store: DirectoryStore) -> str:
    (name,) = pack.names(store.parts.packs)
    return f"{store.parts.packs}/{name}"


def flip(path: str, at: int) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 0x40]))


def test_any_damaged_byte_of_a_record_is_found(real: DirectoryStore) -> None:
    made = commit(real, {0: pages(0, 70)}, {b"f": b"x" * 20_000})
    path = only_pack(real)
    size = os.path.getsize(path)
    for at in random.Random(1).sample(range(pack.HEAD_BYTES, size), 60):
        flip(path, at)
        fresh = opened(real.parts.root)
        damages = fresh.verify().damages
        assert damages, f"byte {at}"
        assert any(part.commit == made for damage in damages for part in damage.affects)
        with pytest.raises(LimosaError) as raised:
            content(fresh, made)
        assert raised.value.code in ("LIM-CSTORE-001", "LIM-CSTORE-002")
        fresh.close()
        flip(path, at)
    assert real.verify().damages == ()


@pytest.mark.parametrize("left", [0.5, 0.0], ids=["half of its pack", "none of it"])
def test_a_commit_that_is_gone_with_its_pack_is_told(real: DirectoryStore, left: float) -> None:
    made = commit(real, {0: pages(0, 70)}, {b"f": b"x" * 20_000})
    real.set_ref("tags/good", made, when_ns=1, why="tag")
    path = only_pack(real)
    real.close()
    os.truncate(path, int(os.path.getsize(path) * left)) if left else os.unlink(path)
    damages = opened(real.parts.root).verify().damages
    assert [(one.object_id, one.what) for one in damages if one.object_id == made] == [(made, "commit")]
    assert any(part.commit == made for damage in damages for part in damage.affects)


def test_damage_is_told_by_commit_path_and_pages(real: DirectoryStore) -> None:
    first = commit(real, {0: pages(0, 64), 0x7F0000000: pages(100, 64)}, {b"etc/a": b"a" * 100, b"etc/b": b"b" * 100})
    second = commit(real, {0: page(900)}, {b"etc/a": b"new" * 50}, parent=first, when_ns=2)
    with real.reading(first) as reader:
        paged = reader.entry(b"memory/1").content
        blob = reader.entry(b"files/etc/a").content
        (run,) = reader.page_runs(paged.pages, 0x7F0000000)
    where = real.parts.index.place(run.frame)
    flip(f"{real.parts.packs}/{where.pack}", where.offset + where.record_bytes - 9)
    (damage,) = opened(real.parts.root).verify().damages
    assert (damage.object_id, damage.what) == (run.frame, "frame")
    assert {(part.commit, part.key, part.page_runs) for part in damage.affects} == {
        (made, b"memory/1", ((0x7F0000000, 64),)) for made in (first, second)
    }
    flip(f"{real.parts.packs}/{where.pack}", where.offset + where.record_bytes - 9)
    where = real.parts.index.place(blob.blob)
    flip(f"{real.parts.packs}/{where.pack}", where.offset + where.record_bytes - 9)
    report = opened(real.parts.root).verify()
    hurt = {damage.object_id: damage for damage in report.damages}[blob.blob]
    assert [(part.commit, part.key) for part in hurt.affects] == [(first, b"files/etc/a")]
    assert not [damage for damage in report.damages if damage.what == "frame"]


def test_what_a_damaged_commit_needs_is_not_collected(real: DirectoryStore) -> None:
    made = commit(real, {0: pages(0, 64)}, {})
    where = real.parts.index.place(real.commit(made).manifest.root)
    flip(only_pack(real), where.offset + where.record_bytes - 3)
    fresh = opened(real.parts.root)
    with pytest.raises(LimosaError) as raised:
        fresh.collect()
    assert raised.value.code == "LIM-CSTORE-001"
    assert fresh.usage().frames == 1


def test_a_damaged_record_does_not_hide_those_after_it(real: DirectoryStore) -> None:
    first = commit(real, {0: pages(0, 64)}, {}, ref="tags/first")
    second = commit(real, {0: pages(100, 64)}, {}, ref="tags/second")
    where = min((real.parts.index.place(run.frame) for run in runs_of(real, first)), key=lambda place: place.offset)
    flip(only_pack(real), where.offset)  # the magic itself
    real.close()
    for name in os.listdir(f"{real.parts.root}/index"):
        if name.startswith("objects"):
            os.unlink(f"{real.parts.root}/index/{name}")
    fresh = opened(real.parts.root)
    assert content(fresh, second)[0][: 64 * 4096] == pages(100, 64)
    (damage,) = fresh.verify().damages
    assert damage.why == "no pack has it" and {part.commit for part in damage.affects} == {first}


def runs_of(store: DirectoryStore, made: ObjectId) -> list[Any]:
    with store.reading(made) as reader:
        return list(reader.page_runs(reader.entry(b"memory/1").content.pages))


# Strangers


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    place = tmp_path_factory.mktemp("exported")
    create(f"{place}/store", KEY)
    store = opened(f"{place}/store")
    made = commit(store, {0: pages(0, 70)}, {b"f": b"x" * 20_000, b"g": b"small"})
    store.export([made], f"{place}/file")
    with open(f"{place}/file", "rb") as file:
        return file.read()


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> DirectoryStore:
    place = tmp_path_factory.mktemp("target")
    create(f"{place}/store", KEY)
    return opened(f"{place}/store")


def refused(store: DirectoryStore, data: bytes) -> bool:
    """Import `data`; say whether it was refused. Anything but success or a refusal raises."""
    path = f"{store.parts.root}/stranger"
    with open(path, "wb") as file:
        file.write(data)
    try:
        store.import_file(path)
    except LimosaError as error:
        assert error.code in ("LIM-CSTORE-004", "LIM-CSTORE-010")
        return True
    return False


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_changed_file_is_refused(exported: bytes, target: DirectoryStore, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(exported) - 1))
    kind = data.draw(st.sampled_from(["flip", "cut", "insert", "repeat"]))
    if kind == "flip":
        changed = bytearray(exported)
        changed[at] ^= data.draw(st.integers(1, 255))
        if at < pack.HEAD_BYTES and (10 <= at < 16 or at >= 24):
            return  # zero, or a key that a file of our own key need not bring
        assert refused(target, bytes(changed))
    elif kind == "cut":
        assert at <= pack.HEAD_BYTES or refused(target, exported[:at]) or at in record_ends(exported)
    elif kind == "insert":
        assert refused(target, exported[:at] + data.draw(st.binary(min_size=1, max_size=30)) + exported[at:])
    else:
        assert refused(target, exported + exported[at:]) or at in record_ends(exported)
    assert target.verify().damages == ()


def record_ends(data: bytes) -> set[int]:
    ends = {pack.HEAD_BYTES, len(data)}
    at = pack.HEAD_BYTES
    while at < len(data):
        at += record.parse_header(data[at:]).total_bytes
        ends.add(at)
    return ends


SIZES = st.sampled_from([0, 1, 64, 4096, 70_000, 1 << 22, (1 << 22) + 1, 1 << 31, (1 << 32) - 1])


@given(
    kind=st.integers(0, 4), n=SIZES, plain=SIZES, said_directory=SIZES, said_payload=SIZES,
    directory=st.binary(max_size=300), body=st.binary(max_size=300), bomb=st.sampled_from([0, 4096, 1 << 22, 1 << 28]),
)  # fmt: skip
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_record_with_a_right_checksum_is_refused_or_right(
    target: DirectoryStore, kind: int, n: int, plain: int, said_directory: int, said_payload: int,
    directory: bytes, body: bytes, bomb: int,
) -> None:  # fmt: skip
    hasher = Hasher(KEY)
    payload = zstandard.ZstdCompressor().compress(bytes(bomb)) if bomb else body
    for sizes in ((said_directory, said_payload), (len(directory), len(payload))):
        front = struct.pack(
            "<4sBBBBIIII8s32s24s16s24x",
            b"LMR1",
            1,
            kind,
            1,
            0,
            n,
            *sizes,
            plain,
            hasher.key_id,
            bytes(32),
            bytes(24),
            bytes(16),
        )
        data = front + checksum(front, directory, payload) + directory + payload
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.process_time()
        assert refused(target, pack.head(hasher.key_id) + data) or n == 0
        assert time.process_time() - began < 2
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # KiB


def test_a_small_record_cannot_make_much_of_memory(target: DirectoryStore) -> None:
    hasher = Hasher(KEY)
    zeros = bytes(1 << 30)
    for bomb in (
        zstandard.ZstdCompressor().compress(zeros),  # says 1 GiB
        zstandard.ZstdCompressor(write_content_size=False).compress(zeros),  # says nothing
        zstandard.ZstdCompressor().compress(bytes(4096)) + zstandard.ZstdCompressor().compress(zeros),  # says it later
    ):
        directory = record.frame_directory([hasher.page(bytes(4096))])
        frame = hasher.frame([hasher.page(bytes(4096))])
        data = record.build(hasher, record.FRAME, frame, 1, directory, bomb, 4096)
        header = record.parse_header(data)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(Malformed):
            record.frame_pages(hasher, header, data)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10
    del zeros


def put(store: DirectoryStore, *members: tuple[str, bytes]) -> list[ObjectId]:
    """Send objects as a stranger who has the key would: with right digests, whatever is in them."""
    hasher = store.parts.hasher
    named = [(kind, hasher.of(kind, data), data) for kind, data in members]
    directory = record.bundle_directory([(kind, object_id, len(data)) for kind, object_id, data in named])
    plain = b"".join(data for _, _, data in named)
    data = record.build_from(hasher, record.BUNDLE, hasher.of("bundle", directory), len(named), directory, plain)
    ids = [object_id for _, object_id, _ in named]
    with DirectoryRemote(store.parts).receiving() as receiver:
        receiver.put_record(data)
        commits = [object_id for kind, object_id, _ in named if kind == "commit"]
        receiver.finish(dict.fromkeys(["tags/evil"] * bool(commits), *commits), when_ns=1, why="push")
    return ids


NOWHERE = ObjectId(b"n" * 32)
LEAF = store_codec.encode_leaf([(0, 1, NOWHERE, 0)])
EMPTY = store_codec.encode_commit(Commit((), Manifest(), 1))


@pytest.mark.parametrize(
    "members",
    [
        [("node", b"")],
        [("node", b"L\x00\x01")],
        [("node", LEAF)],
        [("node", store_codec.encode_leaf([]))],
        [("node", store_codec.encode_branch(1, [None] * 32))],
        [("node", store_codec.encode_map_leaf([]))],
        [("node", store_codec.encode_branch(3, [NOWHERE] * 32))],
        [("node", store_codec.encode_map_leaf([(b"k", b"not an entry")]))],
        [("node", store_codec.encode_map_leaf([(b"k", store_codec.encode_entry(Entry(b"", Blob(NOWHERE, 5))))]))],
        [("node", store_codec.encode_map_branch(1, [(b"k", NOWHERE, 1)]))],
        [("commit", b"C\x02")],
        [("commit", store_codec.encode_commit(Commit((), Manifest(NOWHERE, 1), 1)))],
        [("commit", EMPTY[:-1] + b"\x01")],
        [("commit", EMPTY + b"more")],
    ],
)
def test_objects_that_name_what_is_not_there_are_refused(target: DirectoryStore, members: Any) -> None:
    before = target.refs()
    with pytest.raises(LimosaError) as raised:
        put(target, *members)
    assert raised.value.code == "LIM-CSTORE-010"
    assert target.refs() == before


def test_nodes_at_the_wrong_place_are_an_error_when_read(target: DirectoryStore) -> None:
    hasher = target.parts.hasher
    leaf = store_codec.encode_map_leaf([(b"k", store_codec.encode_entry(Entry()))])
    leaf_id = hasher.of("node", leaf)
    wrong_level = store_codec.encode_map_branch(2, [(b"k", leaf_id, 1)])
    as_pages = store_codec.encode_map_leaf(
        [(b"memory/1", store_codec.encode_entry(Entry(b"", Paged(PageMap(0, leaf_id)))))]
    )
    for root in (wrong_level, as_pages):
        made = put(
            target, ("node", leaf), ("node", root),
            ("commit", store_codec.encode_commit(Commit((), Manifest(hasher.of("node", root), 1), 1))),
        )[2]  # fmt: skip
        with pytest.raises(LimosaError) as raised:
            content(target, made)
        assert raised.value.code == "LIM-CSTORE-001"
        assert target.verify([made]).damages != ()
    target.set_ref("tags/evil", None, when_ns=2, why="")
    target.collect(log_before_ns=3)
    assert target.verify().damages == ()


def test_a_malicious_tree_cannot_be_walked_for_ever(target: DirectoryStore) -> None:
    """32 children that are all the same, ten levels deep: 10**15 leaves by count."""
    hasher = target.parts.hasher
    digests = [hasher.page(page(1))]
    frame = hasher.frame(digests)
    commit(target, {0: page(1)}, {}, ref="tags/page")
    members = [("node", store_codec.encode_leaf([(at, 1, frame, 0) for at in range(256)]))]
    for level in range(1, 10):
        members.append(("node", store_codec.encode_branch(level, [hasher.of("node", members[-1][1])] * 32)))
    pages_root = PageMap(9, hasher.of("node", members[-1][1]))
    entry = store_codec.encode_entry(Entry(b"", Paged(pages_root)))
    manifest = store_codec.encode_map_leaf([(b"memory/1", entry)])
    members += [("node", manifest)]
    members += [("commit", store_codec.encode_commit(Commit((), Manifest(hasher.of("node", manifest), 1), 1)))]
    made = put(target, *members)[-1]
    began = time.process_time()
    assert target.verify([made]).damages == ()
    target.collect()
    there = f"{target.parts.root}/there"
    create(there, KEY)
    target.push([made], DirectoryRemote(opened(there).parts), {"tags/evil": made}, when_ns=1)
    assert time.process_time() - began < 5
    with target.reading(made) as reader:
        assert reader.read_pages(pages_root, 1 << 40, 5) == page(1) * 5
    where = target.parts.index.place(frame)
    flip(f"{target.parts.packs}/{where.pack}", where.offset + where.record_bytes - 3)
    (damage,) = target.verify([made]).damages
    assert 0 < len(damage.affects) <= 10_000
    flip(f"{target.parts.packs}/{where.pack}", where.offset + where.record_bytes - 3)


def test_a_frame_under_another_id_is_refused(target: DirectoryStore) -> None:
    hasher = target.parts.hasher
    directory = record.frame_directory([hasher.page(page(1))])
    data = record.build_from(hasher, record.FRAME, NOWHERE, 1, directory, page(1))
    with pytest.raises(LimosaError) as raised, DirectoryRemote(target.parts).receiving() as receiver:
        receiver.put_record(data)
    assert raised.value.code == "LIM-CSTORE-010"
    assert not target.parts.index.has(NOWHERE)


def test_an_index_that_lies_about_pages_costs_no_data(real: DirectoryStore) -> None:
    commit(real, {0: pages(0, 64)}, {}, ref="tags/first")
    with real.reading(real.refs()["tags/first"]) as reader:
        (run,) = reader.page_runs(reader.entry(b"memory/1").content.pages)
    row = real.parts.index.place(run.frame).record
    hasher = real.parts.hasher
    seven_before = bytes(range(7 * 16))
    lies = (seven_before + hasher.page(page(500))[:16], hasher.page(page(501))[:16])
    real.parts.page_index.add([(row, FramePages(lies[0])), (row + 1000, FramePages(lies[1]))])
    made = commit(real, {0: page(500) + page(501)}, {}, ref="tags/second")
    assert content(real, made)[0][: 2 * 4096] == page(500) + page(501)


def test_a_damaged_file_for_strangers_leaves_nothing(real: DirectoryStore, tmp_path: Any) -> None:
    create(f"{tmp_path}/there", b"t" * 32)
    there = opened(f"{tmp_path}/there")
    made = commit(real, {0: pages(0, 70)}, {b"f": b"x" * 20_000})
    real.export([made], f"{tmp_path}/file", for_strangers=True)
    for at in (30, pack.HEAD_BYTES + 200, os.path.getsize(f"{tmp_path}/file") - 5):
        flip(f"{tmp_path}/file", at)
        with pytest.raises(LimosaError) as raised:
            there.import_file(f"{tmp_path}/file")
        assert raised.value.code in ("LIM-CSTORE-004", "LIM-CSTORE-010")
        flip(f"{tmp_path}/file", at)
    assert there.refs() == {} and there.usage().packs == 0
    assert not [name for name in os.listdir(f"{tmp_path}/there") if name.startswith("incoming-")]
    assert len(there.import_file(f"{tmp_path}/file")) == 1
