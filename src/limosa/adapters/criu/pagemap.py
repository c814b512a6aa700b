"""criu's pagemap images: which pages of a memory are in its pages image, in which order.

An image is two magic numbers and then records of a 4-byte size and a protocol buffer: a head with the id of the pages
image, and an entry per run of pages. Source: CRIU images/pagemap.proto, include/image.h, include/magic.h.
"""

import heapq
import struct
from collections.abc import Iterator, Sequence

from limosa.adapters.criu import wire
from limosa.model.hints import Any, Final
from limosa.model.value import NamedTuple

_COMMON_MAGIC: Final = 0x54564319
_PAGEMAP_MAGIC: Final = 0x56084025
_MAGICS: Final = struct.Struct("<II")
_SIZE: Final = struct.Struct("<I")
_HEAD: Final = {1: ("pages_id", "int")}
_ENTRY: Final = {
    1: ("vaddr", "int"),
    2: ("compat_nr_pages", "int"),  # before criu 4.1, and a copy of the other where it fits since
    3: ("in_parent", "bool"),
    4: ("flags", "int"),
    5: ("nr_pages", "int"),
}
_PARENT: Final = 1
_LAZY: Final = 2
_PRESENT: Final = 4
_PAGE_SHIFT: Final = 12
_MOST_PAGES: Final = 1 << 40


class Pagemap(NamedTuple):
    """One memory: the id of its pages image, and its runs (first page, pages) in the order of that image."""

    pages_id: int
    runs: list[tuple[int, int]]


def parse(data: bytes) -> Pagemap:
    """Return what an image says. Raises: ValueError: it is none, or it needs the images of an earlier dump."""
    if len(data) < _MAGICS.size or _MAGICS.unpack_from(data) != (_COMMON_MAGIC, _PAGEMAP_MAGIC):
        raise ValueError("not a pagemap image")
    records = records_after(data, _MAGICS.size)
    pages_id = wire.decode(_HEAD, next(records, b"")).get("pages_id")
    if not isinstance(pages_id, int) or not 0 <= pages_id < 1 << 32:
        raise ValueError("a pagemap image without the id of its pages")
    runs = []
    for record in records:
        run = _present(wire.decode(_ENTRY, record))
        if run is not None:
            runs.append(run)
    return Pagemap(pages_id, runs)


def encode(found: Pagemap, lazy: Sequence[tuple[int, int]] = ()) -> bytes:
    """Return an image in which every run is in the pages image, but those that are `lazy` come from somebody else.

    If there are any, both are in the order of their addresses.
    """
    records = [wire.encode(_HEAD, {"pages_id": found.pages_id})]
    present = ((first_page, n_pages, _PRESENT) for first_page, n_pages in found.runs)
    for first_page, n_pages, flags in heapq.merge(present, ((*run, _LAZY) for run in lazy)) if lazy else present:
        values = {
            "vaddr": first_page << _PAGE_SHIFT,
            "compat_nr_pages": n_pages,
            "flags": flags,
            "nr_pages": n_pages,
        }
        records.append(wire.encode(_ENTRY, values))
    parts = [_MAGICS.pack(_COMMON_MAGIC, _PAGEMAP_MAGIC)]
    for record in records:
        parts += (_SIZE.pack(len(record)), record)
    return b"".join(parts)


def records_after(data: bytes, place: int) -> Iterator[bytes]:
    """Yield the records of an image, the first of which is at `place`. Raises: ValueError: one is cut off."""
    while place < len(data):
        if place + _SIZE.size > len(data):
            raise ValueError("an image that ends inside a record")
        (size,) = _SIZE.unpack_from(data, place)
        place += _SIZE.size
        if place + size > len(data):
            raise ValueError("an image that ends inside a record")
        yield data[place : place + size]
        place += size


def _present(entry: dict[str, Any]) -> tuple[int, int] | None:
    flags, n_pages = entry.get("flags"), entry.get("nr_pages", entry.get("compat_nr_pages", 0))
    address = entry.get("vaddr", -1) & 0xFFFFFFFFFFFFFFFF
    if entry.get("in_parent") or (flags is not None and flags & _PARENT):
        raise ValueError("a pagemap image of an incremental dump")
    if flags is not None and not flags & _PRESENT:
        return None  # a hole, or to be filled by somebody else
    if not 0 < n_pages < _MOST_PAGES or address & ((1 << _PAGE_SHIFT) - 1):
        raise ValueError("a pagemap image with a run that cannot be")
    return address >> _PAGE_SHIFT, n_pages
