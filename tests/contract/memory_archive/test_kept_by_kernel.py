"""What the kernel writes into a process's memory by itself is found in criu's images, and nothing else is."""

import struct
from typing import Any

import pytest
from tests.fakes.commit_store import FakeCommitStore

from limosa.adapters.criu import schema
from limosa.adapters.criu.archive import CriuImageArchive
from limosa.model.commit_store import Commit, Entry, Manifest, ObjectId
from limosa.model.errors import LimosaError
from limosa.ports.memory_archive import IMAGE_PREFIX


def image(magic: int, kind: str, message: Any) -> bytes:
    body = schema.encode(kind, message)
    return struct.pack("<III", 0x54564319, magic, len(body)) + body


def core(rseq: dict[int, int] | None) -> bytes:
    info = {1: 0, 2: dict.fromkeys(range(1, 28), 0), 3: dict.fromkeys(range(1, 9), 0)}
    thread = {1: 0, 2: 0} if rseq is None else {1: 0, 2: 0, 15: rseq}
    return image(0x55053847, "core_entry", {1: 1, 2: info, 5: thread})


def committed(store: FakeCommitStore, images: dict[str, bytes]) -> ObjectId:
    with store.writing() as writer:
        entries = {IMAGE_PREFIX + name.encode(): Entry(content=writer.put_blob(data)) for name, data in images.items()}
        commit = writer.put_commit(Commit((), writer.put_entries(Manifest(), entries), 1))
        store.set_ref("containers/one", commit, when_ns=1, why="test")
    return commit


def test_each_thread_has_its_own_and_the_programs_flags_are_not_in_it() -> None:
    store = FakeCommitStore()
    high = 0xFFFFFFFFFFFF0000
    images = {
        "pstree.img": image(0x50273030, "pstree_entry", {1: 7, 2: 0, 3: 7, 4: 7, 5: [7, 8, 9, 10]}),
        "core-7.img": core({1: 0x1000, 2: 32, 3: 1}),
        "core-8.img": core(None),
        "core-9.img": core({1: 0, 2: 0, 3: 0}),
        "core-10.img": core({1: high, 2: 64, 3: 1}),
    }
    with store.reading(committed(store, images)) as reader:
        assert CriuImageArchive().kept_by_kernel(reader, 7) == [
            *((0x1000, 0x1010), (0x1014, 0x1020)),
            *((high, high + 16), (high + 20, high + 64)),
        ]


@pytest.mark.parametrize("missing", ["pstree.img", "core-7.img"])
def test_a_dump_that_is_not_whole_is_refused(missing: str) -> None:
    store = FakeCommitStore()
    images = {
        "pstree.img": image(0x50273030, "pstree_entry", {1: 7, 2: 0, 3: 7, 4: 7, 5: [7]}),
        "core-7.img": core(None),
    }
    del images[missing]
    with store.reading(committed(store, images)) as reader, pytest.raises(LimosaError) as refused:
        CriuImageArchive().kept_by_kernel(reader, 7)
    assert refused.value.code == "LIM-CRIU-031"
