"""Which files of a subvolume, and which parts of them, were written after a transaction.

Stores through a mapping count like any other write, and so does one whose time was set back: what is asked for is the
transaction that wrote the inode or the extent. Source: btrfs-ioctl(2) TREE_SEARCH_V2, linux/btrfs_tree.h.
"""

import errno
import fcntl
import os
import struct

from limosa.model.hints import Final
from limosa.model.value import NamedTuple

_TREE_SEARCH_V2: Final = 0xC0709411
_INODE_ITEM: Final = 1
_EXTENT_DATA: Final = 108
_LARGEST: Final = (1 << 64) - 1
_BUFFER_BYTES: Final = 1 << 18
_LARGEST_BUFFER_BYTES: Final = 1 << 22
# btrfs_ioctl_search_key, then the size of the buffer that follows.
_KEY: Final = struct.Struct("=7Q4I4QQ")
_HEADER: Final = struct.Struct("=QQQII")  # transid, objectid, offset, type, length
_INODE: Final = struct.Struct("=QQ")  # generation (of its making), transid (of its last change)
_EXTENT: Final = struct.Struct("=QQBBHB")  # generation, bytes in memory, compression, encryption, other, type
_PLACE: Final = struct.Struct("=QQQQ")  # place on disk and size, offset there, bytes of the file
_INLINE: Final = 0
_MOST_ITEMS: Final = (1 << 32) - 1


class Changes(NamedTuple):
    """Inodes whose metadata or data changed, and (first byte, bytes) of the extents that were written, in order."""

    inodes: frozenset[int]
    extents: dict[int, list[tuple[int, int]]]


def since(directory: str, generation: int) -> Changes:
    """Return what was changed in the subvolume that holds `directory` after the transaction `generation`.

    A hole that was punched changes the inode and has no extent. Costs what was changed.
    Raises: OSError ENOTTY: not btrfs; EPERM: not root.
    """
    inodes: set[int] = set()
    extents: dict[int, list[tuple[int, int]]] = {}
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        place: tuple[int, int, int] | None = (0, 0, 0)
        while place is not None:
            place = _search(descriptor, generation, place, inodes, extents)
    finally:
        os.close(descriptor)
    return Changes(frozenset(inodes | extents.keys()), extents)


def _search(
    descriptor: int,
    generation: int,
    start: tuple[int, int, int],
    inodes: set[int],
    extents: dict[int, list[tuple[int, int]]],
) -> tuple[int, int, int] | None:
    """Look from (inode, type, offset) `start` on, as far as one buffer reaches; return where to go on, or None."""
    inode, kind, offset = start
    size = _BUFFER_BYTES
    while True:
        buffer = bytearray(_KEY.size + size)
        key = (0, inode, _LARGEST, offset, _LARGEST, generation + 1, _LARGEST, kind, _EXTENT_DATA, _MOST_ITEMS, 0)
        _KEY.pack_into(buffer, 0, *key, 0, 0, 0, 0, size)
        try:
            fcntl.ioctl(descriptor, _TREE_SEARCH_V2, buffer)
            break
        except OSError as refused:
            if refused.errno != errno.EOVERFLOW or size >= _LARGEST_BUFFER_BYTES:
                raise
            size *= 4  # one item is larger than the buffer
    found = struct.unpack_from("=I", buffer, 64)[0]
    if not found:
        return None
    at = _KEY.size
    for _ in range(found):
        _transid, inode, offset, kind, length = _HEADER.unpack_from(buffer, at)
        at += _HEADER.size
        if kind == _INODE_ITEM:
            if _INODE.unpack_from(buffer, at)[1] > generation:
                inodes.add(inode)
        elif kind == _EXTENT_DATA:
            _note_extent(buffer, at, generation, offset, extents.setdefault(inode, []))
            if not extents[inode]:
                del extents[inode]
        at += length
    return _after(inode, kind, offset)


def _note_extent(buffer: bytearray, at: int, generation: int, offset: int, found: list[tuple[int, int]]) -> None:
    made, memory_bytes, *_, kind = _EXTENT.unpack_from(buffer, at)
    if made <= generation:
        return
    size = memory_bytes if kind == _INLINE else _PLACE.unpack_from(buffer, at + _EXTENT.size)[3]
    found.append((offset, size))


def _after(inode: int, kind: int, offset: int) -> tuple[int, int, int] | None:
    """Return the key after one, in the order of (inode, type, offset); None after the last."""
    if offset < _LARGEST:
        return inode, kind, offset + 1
    if kind < _EXTENT_DATA:
        return inode, kind + 1, 0
    return (inode + 1, 0, 0) if inode < _LARGEST else None
