"""One record of a pack: a header, a directory of what is in it, and a compressed payload.

Nothing here trusts the bytes: sizes are bounded before anything is allocated, and the payload is checked against the
digests that name it. Encryption will cover directory and payload; its fields are in the header from version 1 on.
"""

import struct

from limosa.adapters.commit_store.hashing import CHECKSUM_BYTES, DIGEST_BYTES, Hasher, checksum
from limosa.model.commit_store import MAX_BLOB_BYTES, MAX_FRAME_PAGES, PAGE_BYTES, Malformed, ObjectId
from limosa.model.hints import Any, Final
from limosa.model.store_codec import Reader, number
from limosa.model.value import NamedTuple

MAGIC: Final = b"LMR1"
_HEADER: Final = struct.Struct("<4sBBBBIIII8s32s24s16s24x")  # then the checksum
HEADER_BYTES: Final = _HEADER.size + CHECKSUM_BYTES
FRAME, BUNDLE = 1, 2
COMPRESSION_ZSTD: Final = 1
LEVEL: Final = 1  # of zstd, for what is written
MAX_PLAIN_BYTES: Final = MAX_FRAME_PAGES * PAGE_BYTES  # 4 MiB
MAX_MEMBERS: Final = 4096
MAX_DIRECTORY_BYTES: Final = MAX_MEMBERS * 48
DIGEST_PREFIX_BYTES: Final = 16
KINDS: Final = {1: "blob", 2: "node", 3: "commit"}
KIND_NUMBERS: Final = {name: value for value, name in KINDS.items()}


class Header(NamedTuple):
    """What stands at the front of a record."""

    kind: int
    compression: int
    members: int
    directory_bytes: int
    payload_bytes: int
    plain_bytes: int
    key_id: bytes
    record_id: ObjectId
    checksum: bytes

    @property
    def total_bytes(self) -> int:
        """How many bytes of the pack the record takes."""
        return HEADER_BYTES + self.directory_bytes + self.payload_bytes


class Member(NamedTuple):
    """One object of a bundle: `size` bytes from `start` on of the payload."""

    kind: str
    object_id: ObjectId
    start: int
    size: int


class FrameDirectory(NamedTuple):
    """Which pages a frame has. `prefixes` are the first 16 bytes of the pages' digests.

    A collection may have dropped pages that nothing needed: they have their whole digest in `dropped`, by slot, so
    that the frame's id can still be checked.
    """

    prefixes: tuple[bytes, ...]
    dropped: dict[int, bytes]


def build(
    hasher: Hasher,
    kind: int,
    record_id: ObjectId,
    members: int,
    directory: bytes,
    payload: bytes,
    plain_bytes: int,
) -> bytes:
    """Return a whole record."""
    front = _HEADER.pack(
        MAGIC, 1, kind, COMPRESSION_ZSTD, 0, members, len(directory), len(payload), plain_bytes,
        hasher.key_id, record_id, bytes(24), bytes(16),
    )  # fmt: skip
    return b"".join((front, checksum(front, directory, payload), directory, payload))


def build_from(
    hasher: Hasher, kind: int, record_id: ObjectId, members: int, directory: bytes, content: bytes, level: int = LEVEL
) -> bytes:
    """Return a whole record whose payload is `content` compressed."""
    from zstandard import ZstdCompressor

    payload = ZstdCompressor(level=level, write_content_size=True).compress(content)
    return build(hasher, kind, record_id, members, directory, payload, len(content))


def frame_directory(digests: list[bytes], dropped: frozenset[int] = frozenset()) -> bytes:
    """Return the directory of a frame whose pages have these digests and lack the slots `dropped`."""
    present = bytearray((len(digests) + 7) // 8)
    for slot in range(len(digests)):
        if slot not in dropped:
            present[slot // 8] |= 1 << slot % 8
    prefixes = b"".join(digest[:DIGEST_PREFIX_BYTES] for digest in digests)
    rests = b"".join(digests[slot][DIGEST_PREFIX_BYTES:] for slot in sorted(dropped))
    return bytes(present) + prefixes + rests


def whole_frame_directory(digests: bytes) -> bytes:
    """Return the directory of a frame that has all its pages, whose digests are in a row in `digests`."""
    n_pages = len(digests) // DIGEST_BYTES
    present = ((1 << n_pages) - 1).to_bytes((n_pages + 7) // 8, "little")
    halves = memoryview(digests).cast("B", (2 * n_pages, DIGEST_PREFIX_BYTES))
    return present + halves[::2].tobytes()


def bundle_directory(members: list[tuple[str, ObjectId, int]]) -> bytes:
    """Return the directory of a bundle of objects, each (kind, id, size)."""
    return b"".join(bytes([KIND_NUMBERS[kind]]) + object_id + number(size) for kind, object_id, size in members)


def parse_header(data: bytes) -> Header:
    """Return the header that `data` begins with. Raises: Malformed: it is none, or asks for more than is allowed."""
    if len(data) < HEADER_BYTES:
        raise Malformed("a record ends in its header")
    magic, version, kind, compression, cipher, *sizes, key_id, record_id, _, _ = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise Malformed("there is no record")
    if version != 1:
        raise Malformed(f"a record of version {version}, which is newer than this limosa")
    if cipher != 0:
        raise Malformed(f"a record encrypted by algorithm {cipher}, which this limosa does not know")
    if compression != COMPRESSION_ZSTD or kind not in (FRAME, BUNDLE):
        raise Malformed(f"a record of kind {kind} compressed by {compression}, which this limosa does not know")
    members, directory_bytes, payload_bytes, plain_bytes = sizes
    limit = MAX_FRAME_PAGES if kind == FRAME else MAX_MEMBERS
    if (
        not 0 < members <= limit
        or directory_bytes > MAX_DIRECTORY_BYTES
        or plain_bytes > MAX_PLAIN_BYTES
        or payload_bytes > MAX_PLAIN_BYTES + MAX_PLAIN_BYTES // 128 + 1024
    ):
        raise Malformed("a record that is larger than the format allows")
    stored_sum = bytes(data[_HEADER.size : HEADER_BYTES])
    return Header(
        kind, compression, members, directory_bytes, payload_bytes, plain_bytes, key_id, ObjectId(record_id), stored_sum
    )


def check(header: Header, data: bytes) -> None:
    """Raises: Malformed: `data`, a whole record, is cut off or not the bytes that were written."""
    view = memoryview(data)
    if len(view) != header.total_bytes:
        raise Malformed("a record ends too early")
    if checksum(view[: _HEADER.size], view[HEADER_BYTES:]) != header.checksum:
        raise Malformed("a record's checksum is wrong")


def parse_frame_directory(header: Header, data: bytes) -> FrameDirectory:
    """Return the directory of a frame's record (`data` may lack the payload). Raises: Malformed."""
    reader = Reader(bytes(data[HEADER_BYTES : HEADER_BYTES + header.directory_bytes]))
    present = reader.take((header.members + 7) // 8)
    row = reader.take(DIGEST_PREFIX_BYTES * header.members)
    prefixes = tuple(row[at : at + DIGEST_PREFIX_BYTES] for at in range(0, len(row), DIGEST_PREFIX_BYTES))
    missing = [slot for slot in range(header.members) if not present[slot // 8] >> slot % 8 & 1]
    dropped = {slot: prefixes[slot] + reader.take(DIGEST_PREFIX_BYTES) for slot in missing}
    reader.end()
    if header.plain_bytes != (header.members - len(dropped)) * PAGE_BYTES:
        raise Malformed("a frame's size does not fit its pages")
    return FrameDirectory(prefixes, dropped)


def parse_bundle_directory(header: Header, data: bytes) -> list[Member]:
    """Return the objects of a bundle's record (`data` may lack the payload). Raises: Malformed."""
    reader = Reader(bytes(data[HEADER_BYTES : HEADER_BYTES + header.directory_bytes]))
    members = []
    start = 0
    for _ in range(header.members):
        kind = KINDS.get(reader.number(255))
        object_id = reader.identifier()
        size = reader.number(MAX_BLOB_BYTES)
        if kind is None or start + size > header.plain_bytes:
            raise Malformed("an object of a bundle is of no kind or leads out of it")
        members.append(Member(kind, object_id, start, size))
        start += size
    reader.end()
    if start != header.plain_bytes:
        raise Malformed("a bundle's size does not fit its objects")
    return members


def plain(header: Header, data: bytes) -> bytes:
    """Return the decompressed payload of a whole record; never more than `header.plain_bytes`. Raises: Malformed."""
    import zstandard

    payload = bytes(memoryview(data)[HEADER_BYTES + header.directory_bytes : header.total_bytes])
    found: Any
    try:
        if zstandard.frame_content_size(payload) != header.plain_bytes:
            raise Malformed("a payload does not have the size that its record says")
        found = zstandard.ZstdDecompressor().decompress(
            payload, max_output_size=header.plain_bytes, allow_extra_data=False
        )
    except zstandard.ZstdError as error:
        raise Malformed(f"a payload cannot be decompressed: {error}") from error
    if len(found) != header.plain_bytes:
        raise Malformed("a payload does not have the size that its record says")
    return bytes(found)


def frame_pages(hasher: Hasher, header: Header, data: bytes) -> list[memoryview | None]:
    """Return the pages of a frame's record by slot (None: dropped), checked against its id. Raises: Malformed."""
    directory = parse_frame_directory(header, data)
    view = memoryview(plain(header, data))
    found = hasher.pages(view, PAGE_BYTES)
    pages: list[memoryview | None] = []
    digests: list[bytes] = []
    at = 0
    for slot in range(header.members):
        if slot in directory.dropped:
            pages.append(None)
            digests.append(directory.dropped[slot])
            continue
        pages.append(view[at * PAGE_BYTES : (at + 1) * PAGE_BYTES])
        digests.append(found[at * DIGEST_BYTES : (at + 1) * DIGEST_BYTES])
        at += 1
        if not digests[-1].startswith(directory.prefixes[slot]):
            raise Malformed("a page is not the one that its frame's directory names")
    if hasher.frame(digests) != header.record_id:
        raise Malformed("the pages of a frame do not add up to its id")
    return pages
