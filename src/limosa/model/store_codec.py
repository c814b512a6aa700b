"""Nodes, entries and commits as bytes, and back with every bound checked: a stranger may have written them."""

from collections.abc import Iterable, Sequence

from limosa.model.commit_store import (
    ID_BYTES,
    MAX_FRAME_PAGES,
    MAX_PAGE,
    Blob,
    Commit,
    Content,
    Entry,
    Inline,
    Malformed,
    Manifest,
    ObjectId,
    Paged,
    PageMap,
    Signature,
)
from limosa.model.hints import Final

LEAF_PAGES: Final = 256
FANOUT_BITS: Final = 5
FANOUT: Final = 1 << FANOUT_BITS
MAX_HEIGHT: Final = 9  # 256 * 32**9 pages are more than 2**51
MAX_KEY_BYTES: Final = 8192
MAX_VALUE_BYTES: Final = 128 << 10
MAX_NODE_ENTRIES: Final = 1024
MAX_PARENTS: Final = 64
FORMAT_VERSION: Final = 1
_SSH_SIGNATURE: Final = 1
_MOST_SIGNATURE_BYTES: Final = 4096
_LEAF, _BRANCH, _MAP_LEAF, _MAP_BRANCH, _COMMIT = b"L", b"B", b"E", b"K", b"C"

# In a leaf: one (frame, slot) a page, None for a zero page.
Slots = list[tuple[ObjectId, int] | None]


class Reader:
    """Takes bytes apart from the front. Raises: Malformed: they end too early or a number is too large."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, n_bytes: int) -> bytes:
        """Return the next bytes."""
        end = self._at + n_bytes
        if end > len(self._data):
            raise Malformed("it ends too early")
        part = self._data[self._at : end]
        self._at = end
        return part

    def number(self, limit: int) -> int:
        """Return the next number, seven bits a byte, lowest first. It must be at most `limit`."""
        return self.numbers(1, limit)[0]

    def numbers(self, count: int, limit: int) -> list[int]:
        """Return the next `count` numbers, each at most `limit`."""
        data, at = self._data, self._at
        found = []
        try:
            for _ in range(count):
                value = data[at]
                at += 1
                if value > 0x7F:
                    value &= 0x7F
                    shift = 7
                    while True:
                        byte = data[at]
                        at += 1
                        value |= (byte & 0x7F) << shift
                        if byte < 0x80:
                            break
                        shift += 7
                        if shift > 63:
                            raise Malformed("a number has more than 64 bits")
                found.append(value)
        except IndexError:
            raise Malformed("it ends too early") from None
        if found and max(found) > limit:
            raise Malformed(f"{max(found)} is more than {limit}")
        self._at = at
        return found

    def identifier(self) -> ObjectId:
        """Return the next 32 bytes."""
        return ObjectId(self.take(ID_BYTES))

    def text(self, limit: int) -> bytes:
        """Return the next bytes that have their length before them."""
        return self.take(self.number(limit))

    def expect(self, data: bytes, what: str) -> None:
        """Take `data`. Raises: Malformed: other bytes stand there."""
        if self.take(len(data)) != data:
            raise Malformed(f"it is not {what}")

    def end(self) -> None:
        """Raises: Malformed: there are bytes left."""
        if self._at != len(self._data):
            raise Malformed(f"{len(self._data) - self._at} bytes too many")


def number(value: int) -> bytes:
    """Return `value` as `Reader.number` reads it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def text(data: bytes) -> bytes:
    """Return `data` as `Reader.text` reads it."""
    return number(len(data)) + data


LeafRun = tuple[int, int, ObjectId, int]
"""Pages of a leaf that lie beside each other in a frame: first page within the leaf, pages, frame, slot."""


def joined_runs(runs: Iterable[LeafRun]) -> list[LeafRun]:
    """Return sorted runs with those made one that go on in the same frame."""
    found: list[LeafRun] = []
    for run in runs:
        if found:
            first, n_pages, frame, slot = found[-1]
            if run[0] == first + n_pages and run[3] == slot + n_pages and run[2] == frame:
                found[-1] = (first, n_pages + run[1], frame, slot)
                continue
        found.append(run)
    return found


def encode_leaf(runs: Iterable[LeafRun]) -> bytes:
    """Return the leaf of a page map that has these runs, sorted and joined."""
    frames: dict[ObjectId, int] = {}
    values = bytearray()
    end = n_runs = 0
    for first, n_pages, frame, slot in runs:
        for value in (first - end, n_pages, frames.setdefault(frame, len(frames)), slot):
            if value < 0x80:
                values.append(value)
            else:
                values += number(value)
        end = first + n_pages
        n_runs += 1
    return b"".join((_LEAF, number(len(frames)), *frames, number(n_runs), values))


def decode_leaf_runs(data: bytes) -> list[LeafRun]:
    """Return the runs of a leaf, sorted. Raises: Malformed."""
    reader = Reader(data)
    reader.expect(_LEAF, "a leaf of a page map")
    frames = [reader.identifier() for _ in range(reader.number(LEAF_PAGES))]
    runs = []
    page = 0
    values = iter(reader.numbers(4 * reader.number(LEAF_PAGES), MAX_FRAME_PAGES - 1))
    for gap, n_pages, which, slot in zip(values, values, values, values, strict=True):
        page += gap
        if not n_pages or page + n_pages > LEAF_PAGES or which >= len(frames) or slot + n_pages > MAX_FRAME_PAGES:
            raise Malformed("a run of pages leads out of its leaf or frame")
        runs.append((page, n_pages, frames[which], slot))
        page += n_pages
    reader.end()
    if not runs:
        raise Malformed("a leaf without pages")
    return runs


def decode_leaf(data: bytes) -> Slots:
    """Return the pages of a leaf. Raises: Malformed."""
    slots: Slots = [None] * LEAF_PAGES
    for page, n_pages, frame, slot in decode_leaf_runs(data):
        slots[page : page + n_pages] = [(frame, slot + step) for step in range(n_pages)]
    return slots


def encode_branch(level: int, children: Sequence[ObjectId | None]) -> bytes:
    """Return the node of a page map that has these FANOUT children (None: only zero pages)."""
    present = sum(1 << position for position, child in enumerate(children) if child is not None)
    return b"".join([_BRANCH, bytes([level]), present.to_bytes(4, "little"), *filter(None, children)])


def decode_branch(data: bytes, level: int) -> list[ObjectId | None]:
    """Return the FANOUT children of a node `level` levels above the leaves. Raises: Malformed."""
    reader = Reader(data)
    reader.expect(_BRANCH + bytes([level]), f"a node of a page map at level {level}")
    present = int.from_bytes(reader.take(4), "little")
    children = [reader.identifier() if present >> position & 1 else None for position in range(FANOUT)]
    reader.end()
    if not present:
        raise Malformed("a node without children")
    return children


Pair = tuple[bytes, bytes]
Child = tuple[bytes, ObjectId, int]  # first key, node, entries below it


def encode_map_leaf(pairs: Sequence[Pair]) -> bytes:
    """Return the leaf of a sorted map that has these keys and values."""
    out = [_MAP_LEAF, number(len(pairs))]
    before = b""
    for key, value in pairs:
        out += [_shortened(before, key), text(value)]
        before = key
    return b"".join(out)


def encode_map_branch(level: int, children: Sequence[Child]) -> bytes:
    """Return the node of a sorted map that has these children."""
    out = [_MAP_BRANCH, bytes([level]), number(len(children))]
    before = b""
    for key, node, entries in children:
        out += [_shortened(before, key), node, number(entries)]
        before = key
    return b"".join(out)


def decode_map_leaf(data: bytes) -> list[Pair]:
    """Return the sorted keys and values of a leaf. Raises: Malformed."""
    reader = Reader(data)
    reader.expect(_MAP_LEAF, "a leaf of a manifest")
    pairs = []
    before = None
    for _ in range(reader.number(MAX_NODE_ENTRIES)):
        before = _lengthened(reader, before)
        pairs.append((before, reader.text(MAX_VALUE_BYTES)))
    reader.end()
    if not pairs:
        raise Malformed("a leaf without entries")
    return pairs


def decode_map_branch(data: bytes, level: int) -> list[Child]:
    """Return the children, by first key, of a node `level` levels above the leaves. Raises: Malformed."""
    reader = Reader(data)
    reader.expect(_MAP_BRANCH + bytes([level]), f"a node of a manifest at level {level}")
    children = []
    before = None
    for _ in range(reader.number(MAX_NODE_ENTRIES)):
        before = _lengthened(reader, before)
        children.append((before, reader.identifier(), reader.number(MAX_PAGE)))
    reader.end()
    if not children:
        raise Malformed("a node without children")
    return children


def map_level(data: bytes) -> int:
    """Return how many levels a node of a sorted map is above the leaves. Raises: Malformed."""
    if data[:1] == _MAP_LEAF:
        return 0
    if data[:1] == _MAP_BRANCH and len(data) > 1 and 0 < data[1] <= MAX_HEIGHT:
        return data[1]
    raise Malformed("it is not a node of a manifest")


def _shortened(before: bytes, key: bytes) -> bytes:
    shared = 0
    for one, other in zip(before, key, strict=False):
        if one != other:
            break
        shared += 1
    return number(shared) + text(key[shared:])


def _lengthened(reader: Reader, before: bytes | None) -> bytes:
    shared = reader.number(len(before or b""))
    key = (before or b"")[:shared] + reader.text(MAX_KEY_BYTES)
    if len(key) > MAX_KEY_BYTES or (before is not None and key <= before):
        raise Malformed("keys are too long or not in order")
    return key


def encode_entry(entry: Entry) -> bytes:
    """Return an entry as the value of a manifest's map."""
    content = entry.content
    if isinstance(content, Inline):
        rest = b"\0" + text(content.data)
    elif isinstance(content, Blob):
        rest = b"\1" + number(content.size_bytes) + content.blob
    else:
        height, root = content.pages
        rest = b"\2" + number(content.size_bytes) + (b"\0" if root is None else bytes([height + 1]) + root)
    return text(entry.attributes) + rest


def decode_entry(data: bytes) -> Entry:
    """Return the entry that `encode_entry` wrote. Raises: Malformed."""
    reader = Reader(data)
    attributes = reader.text(MAX_VALUE_BYTES)
    kind = reader.number(2)
    content: Content
    if kind == 0:
        content = Inline(reader.text(MAX_VALUE_BYTES))
    elif kind == 1:
        size = reader.number(1 << 63)
        content = Blob(reader.identifier(), size)
    else:
        size = reader.number(1 << 63)
        height = reader.number(MAX_HEIGHT + 1)
        content = Paged(PageMap(height - 1, reader.identifier()) if height else PageMap(), size)
    reader.end()
    return Entry(attributes, content)


def encode_commit(commit: Commit) -> bytes:
    """Return a commit as bytes."""
    if commit.signature is None:
        return signed_part(commit) + number(0)
    key, value = commit.signature
    return signed_part(commit) + number(_SSH_SIGNATURE) + text(key.encode()) + text(value.encode())


def signed_part(commit: Commit) -> bytes:
    """Return the bytes of a commit that a signature is for."""
    root, n_entries = commit.manifest
    return b"".join(
        [
            _COMMIT,
            number(FORMAT_VERSION),
            number(len(commit.parents)),
            *commit.parents,
            b"\0" if root is None else b"\1" + root + number(n_entries),
            number(commit.created_ns),
            text(commit.attributes),
        ]
    )


def decode_commit(data: bytes) -> Commit:
    """Return the commit that `encode_commit` wrote. Raises: Malformed: also for a signature that this cannot check."""
    reader = Reader(data)
    reader.expect(_COMMIT, "a commit")
    if (version := reader.number(1 << 16)) != FORMAT_VERSION:
        raise Malformed(f"a commit of format version {version}, which is newer than this limosa")
    parents = tuple(reader.identifier() for _ in range(reader.number(MAX_PARENTS)))
    manifest = Manifest()
    if reader.number(1):
        root = reader.identifier()
        manifest = Manifest(root, reader.number(MAX_PAGE))
    created_ns = reader.number(1 << 63)
    attributes = reader.text(MAX_VALUE_BYTES * 4)
    signature = None
    if algorithm := reader.number(255):
        if algorithm != _SSH_SIGNATURE:
            raise Malformed(f"a commit signed by algorithm {algorithm}, which this limosa does not know")
        try:
            signature = Signature(*(reader.text(_MOST_SIGNATURE_BYTES).decode("ascii") for _ in range(2)))
        except UnicodeDecodeError as why:
            raise Malformed("a commit with a signature that is none") from why
    reader.end()
    return Commit(parents, manifest, created_ns, attributes, signature)
