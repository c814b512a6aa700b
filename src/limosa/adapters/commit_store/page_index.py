"""Which frame has a page of this digest: sorted files that are searched by interpolation, beside the SQLite index.

A row per page in SQLite would dirty a database page for each page stored. These files are written in one go, found by
a table over the first bits of the digest, and merged when there are many. Each is only a hint: the caller compares the
digest in the frame's directory before it relies on one, so nothing here has to be synced or locked against a crash.

    "LMPX" 1 bits reserved(2)    n_pages u64    first row of each bucket (2**bits + 1) * u32
    8 bytes of digest for each page, sorted       record * 1024 + slot, u64 for each page
"""

import mmap
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet

from limosa.adapters.commit_store.page_rows import (
    FINGERPRINT_BYTES,
    PLACE,
    ROW_BYTES,
    SLOT_BITS,
    FramePages,
    PythonRows,
    Rows,
)
from limosa.linux import flock
from limosa.model.hints import Final

_HEADER: Final = struct.Struct("<4sBBHQ")
_MAGIC: Final = b"LMPX"
_MAX_BITS: Final = 24
_MAX_SEGMENT_PAGES: Final = 1 << 24
_MERGE_FROM: Final = 6

_Found = tuple[int, tuple[int, int]]


class Segment:
    """One sorted file."""

    def __init__(self, path: str) -> None:
        self.path = path
        with open(path, "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        magic, version, bits, _, self.n_pages = _HEADER.unpack_from(self._map)
        fan_bytes = 4 * ((1 << bits) + 1)
        self.fan_at = _HEADER.size
        self.keys_at = self.fan_at + fan_bytes
        self.rows_at = self.keys_at + FINGERPRINT_BYTES * self.n_pages
        if (magic, version) != (_MAGIC, 1) or bits > _MAX_BITS or len(self._map) != self.rows_at + 8 * self.n_pages:
            raise ValueError(f"{path} is no page index")
        self.shift = 32 - bits
        self.content = memoryview(self._map)
        self._fan = self.content[self.fan_at : self.keys_at].cast("I")

    def find(self, fingerprints: Sequence[bytes], firsts: Sequence[int], among: Sequence[int]) -> Iterator[_Found]:
        """Yield (number, (record, slot)) of the `fingerprints` numbered `among` that are here.

        `firsts` are their first 32 bits. Most of those that are not here are in a bucket with nothing in it.
        """
        fan, shift, keys_at, rows_at, find = self._fan, self.shift, self.keys_at, self.rows_at, self._map.find
        for number in among:
            bucket = firsts[number] >> shift
            first, end = fan[bucket], fan[bucket + 1]
            if first == end:
                continue
            at, last = keys_at + 8 * first, min(keys_at + 8 * end, rows_at)
            while (at := find(fingerprints[number], at, last)) >= 0:
                if (at - keys_at) % 8 == 0:
                    (value,) = PLACE.unpack_from(self._map, rows_at + at - keys_at)
                    yield number, (value >> SLOT_BITS, value & (1 << SLOT_BITS) - 1)
                    break
                at += 1

    def rows(self) -> bytes:
        """Return all rows, sorted."""
        both = bytearray(ROW_BYTES * self.n_pages)
        with memoryview(both).cast("Q") as rows:
            for first, at in ((0, self.keys_at), (1, self.rows_at)):
                rows[first::2] = memoryview(self.content[at : at + 8 * self.n_pages].tobytes()).cast("Q")
        return bytes(both)

    def close(self) -> None:
        """Give the mapping back."""
        self._fan.release()
        self.content.release()
        self._map.close()


class PageIndex:
    """All segments of a store. A missing or damaged one costs deduplication, never data."""

    def __init__(self, directory: str) -> None:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        self._directory = directory
        self.row_maker: Rows = PythonRows()
        self.segments: tuple[Segment, ...] = ()
        """The largest first. Those of an earlier tuple may have been closed."""
        self.refresh()

    def refresh(self) -> None:
        """Look at the segments that are there now."""
        have = {segment.path: segment for segment in self.segments}
        now = []
        for name in sorted(os.listdir(self._directory)):
            path = f"{self._directory}/{name}"
            if not name.endswith(".pages"):
                continue
            try:
                now.append(have.pop(path) if path in have else Segment(path))
            except (OSError, ValueError, struct.error):
                continue
        for segment in have.values():
            segment.close()
        self.segments = tuple(sorted(now, key=lambda segment: segment.n_pages, reverse=True))

    def find_all(self, digests: Sequence[bytes]) -> list[tuple[int, int] | None]:
        """Return, for each digest, (record, slot) of a page that probably has it, or None."""
        places: list[tuple[int, int] | None] = [None] * len(digests)
        if not self.segments:
            return places
        fingerprints = [digest[:FINGERPRINT_BYTES] for digest in digests]
        firsts = struct.unpack(">" + len(digests) * "I4x", b"".join(fingerprints))
        among: Sequence[int] = range(len(digests))
        for segment in self.segments:
            found = dict(segment.find(fingerprints, firsts, among))
            if found:
                for number, place in found.items():
                    places[number] = place
                among = [number for number in among if number not in found]
        return places

    def add(self, frames: Iterable[tuple[int, FramePages]]) -> None:
        """Add frames, each (record, its pages); small segments are merged on the way."""
        rows = self.row_maker.of_frames(frames)
        if not rows:
            return
        with flock.locked(f"{self._directory}/lock"):
            self.refresh()
            self._write(rows)
            self.refresh()
            small = [segment for segment in self.segments if segment.n_pages < _MAX_SEGMENT_PAGES // 2]
            if len(small) > _MERGE_FROM:
                self._merge(small)
                self.refresh()

    def _merge(self, segments: list[Segment]) -> None:
        """Merge the smaller segments, so that each page is written again a few times at most."""
        merged: list[Segment] = []
        total = 0
        for segment in reversed(segments):  # from the smallest on
            if len(merged) >= _MERGE_FROM // 2 and segment.n_pages > 2 * total:
                break
            if total + segment.n_pages > _MAX_SEGMENT_PAGES:
                break
            merged.append(segment)
            total += segment.n_pages
        if len(merged) < 2:
            return
        self._write(self.row_maker.merged([segment.rows() for segment in merged]))
        for segment in merged:
            os.unlink(segment.path)

    def _write(self, rows: bytes) -> None:
        n_rows = len(rows) // ROW_BYTES
        bits = min(n_rows.bit_length() + 1, _MAX_BITS)  # two to four buckets a page: most of what is not here
        fan = self.row_maker.fan(rows, bits)
        columns = memoryview(rows).cast("Q")
        path = f"{self._directory}/{os.urandom(8).hex()}"
        with open(f"{path}.new", "wb") as file:
            file.write(_HEADER.pack(_MAGIC, 1, bits, 0, n_rows))
            for part in (fan, columns[0::2], columns[1::2]):
                file.write(part.tobytes())
        os.rename(f"{path}.new", f"{path}.pages")

    def keep_only(self, records: AbstractSet[int]) -> None:
        """Drop the rows of records that are gone, which would hide later rows of the same pages."""
        with flock.locked(f"{self._directory}/lock"):
            self.refresh()
            for segment in self.segments:
                rows = segment.rows()
                kept = b"".join(
                    rows[at : at + ROW_BYTES]
                    for at in range(0, len(rows), ROW_BYTES)
                    if PLACE.unpack_from(rows, at + FINGERPRINT_BYTES)[0] >> SLOT_BITS in records
                )
                if len(kept) < len(rows):
                    if kept:
                        self._write(kept)
                    os.unlink(segment.path)
            self.refresh()

    def clear(self) -> None:
        """Forget everything; the caller makes it again from the packs."""
        with flock.locked(f"{self._directory}/lock"):
            for segment in self.segments:
                segment.close()
            self.segments = ()
            for name in os.listdir(self._directory):
                if name != "lock":
                    os.unlink(f"{self._directory}/{name}")

    def close(self) -> None:
        """Give the mappings back."""
        for segment in self.segments:
            segment.close()
        self.segments = ()
