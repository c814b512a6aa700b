"""Rows of the page index: where a page is, by the first bytes of its digest.

A row is 16 bytes: 8 of the digest, and record * 1024 + slot. Rows are sorted by their bytes of the digest.
"""

import itertools
import struct
from array import array
from collections.abc import Iterable, Sequence

from limosa.adapters.commit_store.record import DIGEST_PREFIX_BYTES
from limosa.model.hints import Final, Protocol
from limosa.model.value import NamedTuple

FINGERPRINT_BYTES: Final = 8
ROW_BYTES: Final = 16
SLOT_BITS: Final = 10
PLACE: Final = struct.Struct("<Q")


class FramePages(NamedTuple):
    """The pages of a frame: the first 16 bytes of each's digest in a row, and the slots of those that are not there."""

    prefixes: bytes
    dropped: frozenset[int] = frozenset()


class Rows(Protocol):
    """Makes rows; one implementation in Python, and one in C, native.py."""

    def of_frames(self, frames: Iterable[tuple[int, FramePages]]) -> bytes:
        """Return the rows, sorted, of frames, each (record, its pages)."""

    def merged(self, parts: Sequence[bytes]) -> bytes:
        """Return rows, sorted; of those with equal bytes of the digest only the one with the highest place."""

    def fan(self, rows: bytes, bits: int) -> "array[int]":
        """Return the first row of each of 2**bits buckets, and the number of rows; the bucket is the first bits."""


class PythonRows:
    """See `Rows`."""

    def of_frames(self, frames: Iterable[tuple[int, FramePages]]) -> bytes:
        """See `Rows`."""
        return self.merged(
            [
                pages.prefixes[slot * DIGEST_PREFIX_BYTES :][:FINGERPRINT_BYTES]
                + PLACE.pack(record << SLOT_BITS | slot)
                for record, pages in frames
                for slot in range(len(pages.prefixes) // DIGEST_PREFIX_BYTES)
                if slot not in pages.dropped
            ]
        )

    def merged(self, parts: Sequence[bytes]) -> bytes:
        """See `Rows`."""
        highest: dict[bytes, int] = {}
        for part in parts:
            for at in range(0, len(part), ROW_BYTES):
                fingerprint = part[at : at + FINGERPRINT_BYTES]
                (place,) = PLACE.unpack_from(part, at + FINGERPRINT_BYTES)
                highest[fingerprint] = max(place, highest.get(fingerprint, 0))
        return b"".join(fingerprint + PLACE.pack(place) for fingerprint, place in sorted(highest.items()))

    def fan(self, rows: bytes, bits: int) -> "array[int]":
        """See `Rows`."""
        shift = 32 - bits
        counts = array("I", bytes(4 * ((1 << bits) + 1)))
        for first in struct.unpack(">" + len(rows) // ROW_BYTES * "I12x", rows):
            counts[(first >> shift) + 1] += 1
        return array("I", itertools.accumulate(counts))
