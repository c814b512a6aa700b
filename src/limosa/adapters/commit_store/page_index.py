"""Which frame has a page of this digest: sorted files that are searched by interpolation, beside the SQLite index.

A row per page in SQLite would dirty a database page for each page stored. These files are written in one go, found by
a table over the first bits of the digest, and merged when there are many. Each is only a hint: the caller compares the
digest in the frame's directory before it relies on one, so nothing here has to be synced or locked against a crash.

    "LMPX" 1 bits reserved(2)    n_pages u64    first row of each bucket (2**bits + 1) * u32
    8 bytes of digest for each page, sorted       record * 1024 + slot, u64 for each page
"""

import heapq
import mmap
import os
import struct
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from limosa.linux import flock

_HEADER: Final = struct.Struct("<4sBBHQ")
_MAGIC: Final = b"LMPX"
_ROW: Final = struct.Struct("<Q")
_SLOT_BITS: Final = 10
_FINGERPRINT_BYTES: Final = 8
_MAX_BITS: Final = 24
_MAX_SEGMENT_PAGES: Final = 1 << 24
_MERGE_FROM: Final = 6


class Segment:
    """One sorted file."""

    def __init__(self, path: str) -> None:
        self.path = path
        with open(path, "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        magic, version, bits, _, self.n_pages = _HEADER.unpack_from(self._map)
        fan_bytes = 4 * ((1 << bits) + 1)
        self._keys_at = _HEADER.size + fan_bytes
        self._rows_at = self._keys_at + _FINGERPRINT_BYTES * self.n_pages
        if (magic, version) != (_MAGIC, 1) or bits > _MAX_BITS or len(self._map) != self._rows_at + 8 * self.n_pages:
            raise ValueError(f"{path} is no page index")
        self._shift = 32 - bits
        self._fan = memoryview(self._map)[_HEADER.size : self._keys_at].cast("I")

    def find(self, digest: bytes) -> tuple[int, int] | None:
        """Return (record, slot) of a page that probably has this digest."""
        bucket = int.from_bytes(digest[:4], "big") >> self._shift
        keys_at = self._keys_at
        at = keys_at + 8 * self._fan[bucket]
        end = min(keys_at + 8 * self._fan[bucket + 1], self._rows_at)
        fingerprint = digest[:_FINGERPRINT_BYTES]
        while (at := self._map.find(fingerprint, at, end)) >= 0:
            if (at - keys_at) % 8 == 0:
                (value,) = _ROW.unpack_from(self._map, self._rows_at + at - keys_at)
                return value >> _SLOT_BITS, value & (1 << _SLOT_BITS) - 1
            at += 1
        return None

    def rows(self) -> Iterator[bytes]:
        """Yield each row, sorted: fingerprint and value, 16 bytes."""
        for at in range(0, 8 * self.n_pages, 8):
            yield (
                self._map[self._keys_at + at : self._keys_at + at + 8]
                + self._map[self._rows_at + at : self._rows_at + at + 8]
            )

    def close(self) -> None:
        """Give the mapping back."""
        self._fan.release()
        self._map.close()


class PageIndex:
    """All segments of a store. A missing or damaged one costs deduplication, never data."""

    def __init__(self, directory: str) -> None:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        self._directory = directory
        self._segments: list[Segment] = []
        self.refresh()

    def refresh(self) -> None:
        """Look at the segments that are there now."""
        have = {segment.path: segment for segment in self._segments}
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
        self._segments = sorted(now, key=lambda segment: segment.n_pages, reverse=True)

    def find(self, digest: bytes) -> tuple[int, int] | None:
        """Return (record, slot) of a page that probably has this digest."""
        for segment in self._segments:
            place = segment.find(digest)
            if place is not None:
                return place
        return None

    def add(self, pages: Mapping[bytes, tuple[int, int]]) -> None:
        """Add digests with the (record, slot) where they are; small segments are merged on the way."""
        if not pages:
            return
        rows = sorted(
            digest[:_FINGERPRINT_BYTES] + _ROW.pack(record << _SLOT_BITS | slot)
            for digest, (record, slot) in pages.items()
        )
        with flock.locked(f"{self._directory}/lock"):
            self.refresh()
            self._write(rows)
            self.refresh()
            small = [segment for segment in self._segments if segment.n_pages < _MAX_SEGMENT_PAGES // 2]
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
        self._write(list(heapq.merge(*(segment.rows() for segment in merged))))
        for segment in merged:
            os.unlink(segment.path)

    def _write(self, rows: list[bytes]) -> None:
        bits = min(max(len(rows).bit_length() - 2, 0), _MAX_BITS)
        fan = [0] * ((1 << bits) + 1)
        for row in rows:
            fan[(int.from_bytes(row[:4], "big") >> 32 - bits) + 1] += 1
        for bucket in range(1, len(fan)):
            fan[bucket] += fan[bucket - 1]
        path = f"{self._directory}/{os.urandom(8).hex()}"
        with open(f"{path}.new", "wb") as file:
            file.write(_HEADER.pack(_MAGIC, 1, bits, 0, len(rows)))
            file.write(struct.pack(f"<{len(fan)}I", *fan))
            file.write(b"".join(row[:_FINGERPRINT_BYTES] for row in rows))
            file.write(b"".join(row[_FINGERPRINT_BYTES:] for row in rows))
        os.rename(f"{path}.new", f"{path}.pages")

    def keep_only(self, records: AbstractSet[int]) -> None:
        """Drop the rows of records that are gone, which would hide later rows of the same pages."""
        with flock.locked(f"{self._directory}/lock"):
            self.refresh()
            for segment in self._segments:
                rows = [row for row in segment.rows() if _ROW.unpack_from(row, 8)[0] >> _SLOT_BITS in records]
                if len(rows) < segment.n_pages:
                    if rows:
                        self._write(rows)
                    os.unlink(segment.path)
            self.refresh()

    def clear(self) -> None:
        """Forget everything; the caller makes it again from the packs."""
        with flock.locked(f"{self._directory}/lock"):
            for segment in self._segments:
                segment.close()
            self._segments = []
            for name in os.listdir(self._directory):
                if name != "lock":
                    os.unlink(f"{self._directory}/{name}")

    def close(self) -> None:
        """Give the mappings back."""
        for segment in self._segments:
            segment.close()
        self._segments = []
