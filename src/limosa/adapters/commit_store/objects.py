"""Read objects: find their record, check it, keep what was read last."""

import os
from collections import OrderedDict
from collections.abc import Callable

from limosa.adapters.commit_store import failures, record
from limosa.adapters.commit_store.hashing import Hasher
from limosa.adapters.commit_store.index import Index, Place
from limosa.model.commit_store import MAX_FRAME_PAGES, PAGE_BYTES, Malformed, ObjectId
from limosa.model.hints import Final, TypeVar
from limosa.model.value import NamedTuple

_CACHE_BYTES: Final = 48 << 20
_MAX_OPEN_PACKS: Final = 64
_MAX_DIRECTORIES: Final = 1 << 14

Pages = list[memoryview | None]
Parsed = TypeVar("Parsed")


class _Stored(NamedTuple):
    """The pages of a frame that are there, in a row, and the slots of those that are not."""

    payload: memoryview
    dropped: tuple[int, ...]
    members: int


class ObjectReader:
    """Reads from the packs of one directory.

    Every object is checked against its id before it is returned. But `pages` checks a frame's record against its
    checksum only: whoever put it there, this store's writer or a transfer, had computed the digests of its pages, and
    to do so again costs more than all the rest of bringing memory back.
    """

    def __init__(self, packs: str, index: Index, hasher: Hasher) -> None:
        self._packs = packs
        self._index = index
        self._hasher = hasher
        self._open: OrderedDict[str, int] = OrderedDict()
        self._bundles: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._frames: OrderedDict[ObjectId, Pages] = OrderedDict()
        self._stored: OrderedDict[ObjectId, _Stored] = OrderedDict()
        self._lacking: set[ObjectId] = set()  # those in _frames that do not have all their pages
        self._cached_bytes = 0
        self.most_cached_bytes = _CACHE_BYTES
        self._directories: dict[int, tuple[ObjectId, bytes]] = {}

    def read(self, kind: str, object_id: ObjectId) -> bytes:
        """Return a blob, node or commit. Raises: LimosaError LIM-CSTORE-001, LIM-CSTORE-002."""
        for attempt in (0, 1):
            place = self._index.place(object_id)
            if place is None or place.kind != kind:
                raise failures.missing(object_id)
            try:
                data = self._bundle(place)[place.start : place.start + place.size]
            except FileNotFoundError:  # a collection moved it meanwhile: look again
                if attempt:
                    raise failures.missing(object_id) from None
                continue
            except (Malformed, OSError) as why:
                raise failures.damaged(object_id, f"{place.pack} at {place.offset}: {why}") from why
            if self._hasher.of(kind, data) != object_id:
                raise failures.damaged(object_id, f"{place.pack} at {place.offset}: its content has another digest")
            return data
        raise AssertionError

    def frame(self, frame: ObjectId) -> Pages:
        """Return the pages of a frame by slot; None for one that a collection dropped. Raises: as `read`."""
        pages = self._frames.get(frame)
        if pages is not None and not (frame in self._lacking and self._has_more(frame, pages)):
            self._frames.move_to_end(frame)
            return pages
        header, pages = self._frame_record(
            frame, lambda header, data: (header, record.frame_pages(self._hasher, header, data))
        )
        self._frames[frame] = pages
        if header.plain_bytes < header.members * PAGE_BYTES:
            self._lacking.add(frame)
        self._cached_bytes += header.plain_bytes
        self._shrink()
        return pages

    def pages(self, frame: ObjectId, slot: int, n_pages: int) -> memoryview:
        """Return `n_pages` of a frame from `slot` on. Raises: as `read`, also for one that a collection dropped."""
        stored = self._stored.get(frame)
        if stored is not None and any(slot <= one < slot + n_pages for one in stored.dropped):
            stored = None  # the store may have it by now
        if stored is None:
            stored = self._read_stored(frame)
        else:
            self._stored.move_to_end(frame)
        if slot + n_pages > stored.members:
            raise failures.damaged(frame, "a manifest names more pages than it has")
        if any(slot <= one < slot + n_pages for one in stored.dropped):
            raise failures.damaged(frame, "a page that a commit needs was dropped from it")
        first = slot - sum(one < slot for one in stored.dropped)
        return stored.payload[first * PAGE_BYTES : (first + n_pages) * PAGE_BYTES]

    def _read_stored(self, frame: ObjectId) -> _Stored:
        def parsed(header: record.Header, data: bytes) -> tuple[record.Header, _Stored]:
            dropped = tuple(record.parse_frame_directory(header, data).dropped)
            return header, _Stored(memoryview(record.plain(header, data)), dropped, header.members)

        header, found = self._frame_record(frame, parsed)
        before = self._stored.pop(frame, None)
        self._cached_bytes += header.plain_bytes - (len(before.payload) if before else 0)
        self._stored[frame] = found
        self._shrink()
        return found

    def _frame_record(self, frame: ObjectId, parse: Callable[[record.Header, bytes], Parsed]) -> Parsed:
        """Return what `parse` makes of a frame's header and data. Raises: as `read`, also if `parse` says Malformed."""
        for attempt in (0, 1):
            place = self._index.place(frame)
            if place is None or place.kind != "frame":
                raise failures.missing(frame)
            try:
                header, data = self._record(place.pack, place.offset, place.record_bytes)
                if header.record_id != frame or header.kind != record.FRAME:
                    raise Malformed("another record stands there")
                return parse(header, data)
            except FileNotFoundError:  # a collection moved it meanwhile: look again
                if attempt:
                    raise failures.missing(frame) from None
            except (Malformed, OSError) as why:
                raise failures.damaged(frame, f"{place.pack} at {place.offset}: {why}") from why
        raise AssertionError

    def _has_more(self, frame: ObjectId, pages: Pages) -> bool:
        """Say whether the store has pages of a frame by now that it lacked when it was read."""
        place = self._index.place(frame)
        stored = sum(page is not None for page in pages)
        if place is None or place.size <= stored * PAGE_BYTES:
            return False
        self._cached_bytes -= stored * PAGE_BYTES
        del self._frames[frame]
        self._lacking.discard(frame)
        return True

    def forget_directories(self) -> None:
        """Forget which pages frames have: a collection may have dropped some since the store's lock was last held."""
        self._directories.clear()

    def directory(self, row: int) -> tuple[ObjectId, bytes]:
        """Return the frame of an index row, and the first 16 bytes of its pages' digests in a row.

        They are zeros for a page that was dropped. If there is no such frame, there are no pages.
        """
        known = self._directories.get(row)
        if known is None:
            known = self._directories[row] = self._read_directory(row)
            if len(self._directories) > _MAX_DIRECTORIES:
                self._directories.pop(next(iter(self._directories)))
        return known

    def _read_directory(self, row: int) -> tuple[ObjectId, bytes]:
        nothing = (ObjectId(b""), b"")
        found = self._index.frame_of(row)
        if found is None:
            return nothing
        frame, pack, offset, record_bytes = found
        try:
            most = record.HEADER_BYTES + MAX_FRAME_PAGES * 20
            data = os.pread(self._descriptor(pack), min(record_bytes, most), offset)
            header = record.parse_header(data)
            directory = record.parse_frame_directory(header, data)
        except (Malformed, OSError):
            return nothing  # not found is never wrong: the page is stored once more
        if header.record_id != frame:
            return nothing
        prefixes = list(directory.prefixes)
        for slot in directory.dropped:
            prefixes[slot] = bytes(record.DIGEST_PREFIX_BYTES)
        return frame, b"".join(prefixes)

    def _bundle(self, place: Place) -> bytes:
        key = (place.pack, place.offset)
        data = self._bundles.get(key)
        if data is None:
            header, raw = self._record(place.pack, place.offset, place.record_bytes)
            if header.kind != record.BUNDLE:
                raise Malformed("another record stands there")
            data = self._bundles[key] = record.plain(header, raw)
            self._cached_bytes += len(data)
            self._shrink()
        else:
            self._bundles.move_to_end(key)
        return data

    def _record(self, pack: str, offset: int, record_bytes: int) -> tuple[record.Header, bytes]:
        data = os.pread(self._descriptor(pack), record_bytes, offset)
        header = record.parse_header(data)
        record.check(header, data)
        return header, data

    def _descriptor(self, pack: str) -> int:
        descriptor = self._open.get(pack)
        if descriptor is None:
            descriptor = self._open[pack] = os.open(f"{self._packs}/{pack}", os.O_RDONLY | os.O_CLOEXEC)
            if len(self._open) > _MAX_OPEN_PACKS:
                os.close(self._open.popitem(last=False)[1])
        else:
            self._open.move_to_end(pack)
        return descriptor

    def _shrink(self) -> None:
        while self._cached_bytes > self.most_cached_bytes and self._n_cached() > 1:
            if len(self._stored) > 1 or (self._stored and not self._frames and not self._bundles):
                self._cached_bytes -= len(self._stored.popitem(last=False)[1].payload)
            elif self._frames and (len(self._frames) > 1 or not self._bundles):
                pages = self._frames.popitem(last=False)[1]
                self._cached_bytes -= sum(len(page) for page in pages if page is not None)
            else:
                self._cached_bytes -= len(self._bundles.popitem(last=False)[1])

    def _n_cached(self) -> int:
        return len(self._frames) + len(self._bundles) + len(self._stored)

    def forget_packs(self) -> None:
        """Close all packs and forget what was read: records may have moved."""
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()
        self._bundles.clear()
        self._frames.clear()
        self._stored.clear()
        self._lacking.clear()
        self._directories.clear()
        self._cached_bytes = 0

    close = forget_packs
