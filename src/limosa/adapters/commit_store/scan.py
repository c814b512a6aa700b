"""Bring the index up to what is in the packs: after a crash, a lost index, a power failure."""

import os

from limosa.adapters.commit_store import pack, record
from limosa.adapters.commit_store.hashing import Hasher
from limosa.adapters.commit_store.index import Index, NewObject, NewRecord
from limosa.adapters.commit_store.page_index import PageIndex
from limosa.adapters.commit_store.page_rows import FramePages
from limosa.model.commit_store import Malformed
from limosa.model.value import NamedTuple


class Described(NamedTuple):
    """A record as the index wants it, and its pages if it is a frame's."""

    new: NewRecord
    pages: FramePages | None = None


def describe(offset: int, header: record.Header, data: bytes) -> Described:
    """Return what a record (it may lack the payload) has to be indexed by. Raises: Malformed."""
    if header.kind == record.FRAME:
        directory = record.parse_frame_directory(header, data)
        objects: tuple[NewObject, ...] = (
            NewObject("frame", header.record_id, len(directory.dropped), header.plain_bytes),
        )
        pages = FramePages(b"".join(directory.prefixes), frozenset(directory.dropped))
        return Described(NewRecord(offset, header.total_bytes, objects), pages)
    members = record.parse_bundle_directory(header, data)
    objects = tuple(NewObject(member.kind, member.object_id, member.start, member.size) for member in members)
    return Described(NewRecord(offset, header.total_bytes, objects))


def catch_up(packs: str, index: Index, pages: PageIndex, hasher: Hasher) -> bool:
    """Index what packs have beyond what is indexed. Returns False if packs that the index knows are gone or shorter.

    The store's lock is held, so that no collection is on its way. A pack that a writer appends to is left to it.
    """
    there = pack.names(packs)
    known = index.packs()
    for name, size in there.items():
        if size > known.get(name, 0):
            _catch_up_pack(packs, name, index, pages, hasher)
    return all(there.get(name, 0) >= size for name, size in known.items())


def _catch_up_pack(packs: str, name: str, index: Index, pages: PageIndex, hasher: Hasher) -> None:
    try:
        descriptor = os.open(f"{packs}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not pack.try_lock(descriptor, exclusive=False):
            return
        start = index.packs().get(name, 0)
        end = os.fstat(descriptor).st_size
        found: list[Described] = []
        for offset, header, data in pack.salvage(descriptor, max(start, pack.HEAD_BYTES), end):
            if header.key_id == hasher.key_id:
                try:
                    found.append(describe(offset, header, data))
                except Malformed:
                    continue
        if not found:
            return
        os.fsync(descriptor)  # its writer may have died before it did, and others will rely on it from now on
        last = found[-1].new
        enter(index, pages, name, last.offset + last.record_bytes, found)
    finally:
        os.close(descriptor)


def enter(index: Index, pages: PageIndex, name: str, end: int, found: list[Described]) -> None:
    """Index records of a pack that are on disk."""
    with index.changing():
        rows = index.add(name, end, [item.new for item in found])
    enter_pages(pages, rows, found)


def enter_pages(pages: PageIndex, rows: list[int], found: list[Described]) -> None:
    """Let the pages of records be found, which the index has by the numbers `rows` now."""
    try:
        pages.add((row, item.pages) for row, item in zip(rows, found, strict=True) if item.pages is not None)
    except OSError:
        pass  # they are stored once more if they come again


def record_at(packs: str, name: str, offset: int, record_bytes: int) -> tuple[record.Header, bytes]:
    """Return one record, checked. Raises: Malformed, OSError."""
    descriptor = os.open(f"{packs}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.pread(descriptor, record_bytes, offset)
    finally:
        os.close(descriptor)
    header = record.parse_header(data)
    record.check(header, data)
    return header, data
