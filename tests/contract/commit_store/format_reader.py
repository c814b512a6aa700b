"""A reader that is written from docs/format.md and uses nothing of limosa: it holds the page to the bytes."""

import json
import os
from collections.abc import Iterator
from typing import Any

import zstandard
from blake3 import blake3

PAGE = 4096
KINDS = {1: "blob", 2: "node", 3: "commit"}


class Bytes:
    """Bytes that are read from the front."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, size: int) -> bytes:
        found = self.data[self.at : self.at + size]
        assert len(found) == size, "it ends too early"
        self.at += size
        return found

    def byte(self) -> int:
        return self.take(1)[0]

    def fixed(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def number(self) -> int:
        value = shift = 0
        while True:
            group = self.byte()
            value |= (group & 127) << shift
            shift += 7
            if group < 128:
                return value

    def text(self) -> bytes:
        return self.take(self.number())

    def ids(self, count: int) -> list[bytes]:
        return [self.take(32) for _ in range(count)]

    def end(self) -> None:
        assert self.at == len(self.data), "more than the page tells of"


class Store:
    """All packs of a store, every record checked."""

    def __init__(self, directory: str) -> None:
        with open(f"{directory}/format", encoding="utf-8") as file:
            said = json.load(file)
        assert said["format"] == 1
        with open(f"{directory}/key", "rb") as key_file:
            self._key = key_file.read()
        assert said["key_id"] == self._derived("key id")[:8].hex()
        self.frames: dict[bytes, dict[int, bytes]] = {}
        self.objects: dict[bytes, tuple[str, bytes]] = {}
        for name in os.listdir(f"{directory}/packs"):
            with open(f"{directory}/packs/{name}", "rb") as pack:
                self._pack(Bytes(pack.read()))
        self.refs = dict(self._refs(f"{directory}/refs"))

    def _refs(self, directory: str) -> Iterator[tuple[str, bytes]]:
        for kind in os.listdir(directory):
            for name in os.listdir(f"{directory}/{kind}"):
                with open(f"{directory}/{kind}/{name}", encoding="ascii") as file:
                    line = file.read()
                assert line.endswith("\n")
                yield f"{kind}/{name}", bytes.fromhex(line.strip())

    def _derived(self, purpose: str) -> bytes:
        return bytes(blake3(self._key, derive_key_context=f"limosa commit store 1 {purpose}").digest())

    def _digest(self, purpose: str, data: bytes) -> bytes:
        return bytes(blake3(data, key=self._derived(purpose)).digest())

    def _pack(self, pack: Bytes) -> None:
        assert pack.take(8) == b"LIMOSAPK"
        assert (pack.fixed(2), pack.byte()) == (1, 0)
        assert pack.take(5) == bytes(5)
        assert pack.take(8) == self._derived("key id")[:8]
        assert pack.take(40) == bytes(40)
        while pack.at + 160 <= len(pack.data):
            self._record(pack)

    def _record(self, pack: Bytes) -> None:
        head = Bytes(pack.take(128))
        checksum = pack.take(32)
        assert head.take(4) == b"LMR1"
        version, kind, compression, cipher = head.take(4)
        assert (version, compression, cipher) == (1, 1, 0)
        count, directory_bytes, stored_bytes, plain_bytes = (head.fixed(4) for _ in range(4))
        assert head.take(8) == self._derived("key id")[:8]
        record_id = head.take(32)
        assert head.take(64) == bytes(64)
        directory, stored = pack.take(directory_bytes), pack.take(stored_bytes)
        assert blake3(head.data + directory + stored).digest() == checksum
        plain = zstandard.ZstdDecompressor().decompress(stored)
        assert len(plain) == plain_bytes
        read = {1: self._frame, 2: self._bundle}[kind]
        read(record_id, count, directory, plain)

    def _frame(self, frame: bytes, count: int, directory: bytes, plain: bytes) -> None:
        told, content = Bytes(directory), Bytes(plain)
        present = told.take((count + 7) // 8)
        halves = [told.take(16) for _ in range(count)]
        pages, digests = {}, []
        for slot, half in enumerate(halves):
            if present[slot // 8] >> slot % 8 & 1:
                pages[slot] = content.take(PAGE)
                digests.append(self._digest("page", pages[slot]))
                assert digests[-1][:16] == half
            else:
                digests.append(half + told.take(16))
        told.end()
        content.end()
        assert self._digest("frame", b"".join(digests)) == frame
        if len(pages) >= len(self.frames.get(frame, ())):
            self.frames[frame] = pages

    def _bundle(self, bundle: bytes, count: int, directory: bytes, plain: bytes) -> None:
        assert self._digest("bundle", directory) == bundle
        told, content = Bytes(directory), Bytes(plain)
        for _ in range(count):
            kind, object_id = KINDS[told.byte()], told.take(32)
            data = content.take(told.number())
            assert self._digest(kind, data) == object_id
            self.objects[object_id] = (kind, data)
        told.end()
        content.end()

    def _object(self, kind: str, object_id: bytes) -> bytes:
        found, data = self.objects[object_id]
        assert found == kind
        return data

    def pages(self, root: bytes, level: int, first: int = 0) -> Iterator[tuple[int, bytes]]:
        """Yield (page number, page) of a page map whose root has a level, from page `first` on."""
        node = Bytes(self._object("node", root))
        if level == 0:
            assert node.take(1) == b"L"
            frames = node.ids(node.number())
            at = first
            for _ in range(node.number()):
                gap, count, frame, slot = (node.number() for _ in range(4))
                at += gap
                for page in range(count):
                    yield at + page, self.frames[frames[frame]][slot + page]
                at += count
        else:
            assert (node.take(1), node.byte()) == (b"B", level)
            there = node.fixed(4)
            for child in range(32):
                if there >> child & 1:
                    yield from self.pages(node.take(32), level - 1, first + child * 256 * 32 ** (level - 1))
        node.end()

    def entries(self, root: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, entry) of a manifest."""
        node = Bytes(self._object("node", root))
        kind, key = node.take(1), b""
        if kind == b"E":
            for _ in range(node.number()):
                shared = node.number()
                following = key[:shared] + node.text()
                assert following > key or not key
                key = following
                yield key, node.text()
        else:
            assert kind == b"K"
            assert node.byte()
            for _ in range(node.number()):
                shared = node.number()
                key = key[:shared] + node.text()
                below = list(self.entries(node.take(32)))
                assert below[0][0] == key
                assert len(below) == node.number()
                yield from below
        node.end()

    def content(self, entry: bytes) -> tuple[bytes, bytes | dict[int, bytes]]:
        """Return the attributes and the content of an entry: bytes, or pages by their numbers."""
        told = Bytes(entry)
        attributes, kind = told.text(), told.byte()
        found: bytes | dict[int, bytes]
        if kind == 0:
            found = told.text()
        elif kind == 1:
            size = told.number()
            found = self._object("blob", told.take(32))
            assert len(found) == size
        else:
            assert kind == 2
            told.number()
            height = told.byte()
            found = dict(self.pages(told.take(32), height - 1)) if height else {}
        told.end()
        return attributes, found

    def commit(self, commit_id: bytes) -> dict[str, Any]:
        """Return what a commit says."""
        told = Bytes(self._object("commit", commit_id))
        assert (told.take(1), told.number()) == (b"C", 1)
        parents = told.ids(told.number())
        root, count = (told.take(32), told.number()) if told.byte() else (b"", 0)
        created_ns, attributes = told.number(), told.text()
        signature = (told.text(), told.text()) if told.number() else None
        told.end()
        entries = dict(self.entries(root)) if root else {}
        assert len(entries) == count
        return {
            "parents": parents,
            "created_ns": created_ns,
            "attributes": json.loads(attributes),
            "signature": signature,
            "entries": {key: self.content(entry) for key, entry in entries.items()},
        }
