"""The superblock of a btrfs in a file that is not mounted. Source: btrfs on-disk format, struct btrfs_super_block.

Two mounted file systems cannot have the same id, so a copied one needs another before it is mounted.  Writing a new
`fsid` and keeping the old one as `metadata_uuid` (which every tree block bears) changes one block instead of all of
them; kernels understand it from 5.0 on.
"""

import os
import struct

from limosa.model.hints import Final
from limosa.model.value import NamedTuple

_PLACES: Final = (64 << 10, 64 << 20, 256 << 30)  # the kernel reads the first; the others are for repair
_BYTES: Final = 4096
_CSUM_BYTES: Final = 32
_MAGIC: Final = b"_BHRfS_M"
_FSID_AT: Final = 0x20
_MAGIC_AT: Final = 0x40
_TOTAL_AT: Final = 0x70  # total_bytes, then bytes_used
_INCOMPAT_AT: Final = 0xBC
_CSUM_TYPE_AT: Final = 0xC4
_METADATA_UUID_AT: Final = 0x23B
_METADATA_UUID: Final = 1 << 10
_CRC32C: Final = 0
_CRC32C_POLYNOMIAL: Final = 0x82F63B78


class Superblock(NamedTuple):
    """What one says."""

    fsid: bytes
    total_bytes: int
    used_bytes: int


def read(path: str) -> Superblock:
    """Return the superblock of the file `path`. Raises: ValueError: there is no btrfs in it."""
    with open(path, "rb") as file:
        block = os.pread(file.fileno(), _BYTES, _PLACES[0])
    _check(block, path)
    total, used = struct.unpack_from("<QQ", block, _TOTAL_AT)
    return Superblock(block[_FSID_AT : _FSID_AT + 16], total, used)


def set_fsid(path: str, fsid: bytes) -> None:
    """Give the file system in the file `path`, which must not be mounted, another id; the first copy is changed last.

    Raises: ValueError: there is no btrfs in it that this can be done to. Repeat it after a crash.
    """
    with open(path, "r+b") as file:
        descriptor = file.fileno()
        size = os.fstat(descriptor).st_size
        for place in reversed([place for place in _PLACES if place + _BYTES <= size]):
            block = bytearray(os.pread(descriptor, _BYTES, place))
            if place != _PLACES[0] and block[_MAGIC_AT : _MAGIC_AT + 8] != _MAGIC:
                continue  # grown over this place, and not committed since
            _check(block, path)
            _change(block, fsid)
            os.pwrite(descriptor, block, place)


def _check(block: bytes | bytearray, path: str) -> None:
    if len(block) < _BYTES or block[_MAGIC_AT : _MAGIC_AT + 8] != _MAGIC:
        raise ValueError(f"no btrfs in {path}")
    if struct.unpack_from("<H", block, _CSUM_TYPE_AT)[0] != _CRC32C:
        raise ValueError(f"the btrfs in {path} has checksums other than crc32c")


def _change(block: bytearray, fsid: bytes) -> None:
    (incompat,) = struct.unpack_from("<Q", block, _INCOMPAT_AT)
    if not incompat & _METADATA_UUID:
        block[_METADATA_UUID_AT : _METADATA_UUID_AT + 16] = block[_FSID_AT : _FSID_AT + 16]
        struct.pack_into("<Q", block, _INCOMPAT_AT, incompat | _METADATA_UUID)
    block[_FSID_AT : _FSID_AT + 16] = fsid
    struct.pack_into("<I", block, 0, crc32c(block[_CSUM_BYTES:]))


def crc32c(data: bytes | bytearray) -> int:
    """Return the Castagnoli checksum of `data`. Source: RFC 3720, appendix B.4."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_CRC32C_POLYNOMIAL if value & 1 else 0)  # noqa: PLW2901 - the register
        table.append(value)
    remainder = 0xFFFFFFFF
    for byte in data:
        remainder = table[(remainder ^ byte) & 0xFF] ^ remainder >> 8
    return remainder ^ 0xFFFFFFFF
