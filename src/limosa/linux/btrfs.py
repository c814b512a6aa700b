"""Subvolumes of btrfs. Source: ioctl(2) numbers of linux/btrfs.h, btrfs-subvolume(8)."""

import fcntl
import os
import struct
from typing import Final

_SUBVOL_CREATE: Final = 0x5000940E
_SNAP_DESTROY: Final = 0x5000940F
_SNAP_CREATE_V2: Final = 0x50009417
_SYNC: Final = 0x9408
_FS_INFO: Final = 0x8400941F
_RDONLY: Final = 1 << 1
_NAME_BYTES: Final = 4087
_ARGS: Final = struct.Struct("=q4088s")
_ARGS_V2: Final = struct.Struct("=qQQ4Q4040s")


def _on_parent(path: str, request: int, argument: bytes) -> None:
    parent = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(parent, request, bytearray(argument))  # bytes may have 1024 at most
    finally:
        os.close(parent)


def _name(path: str) -> bytes:
    name = os.fsencode(os.path.basename(path))
    if not name or len(name) > _NAME_BYTES:
        raise ValueError(f"no name for a subvolume: {path!r}")
    return name


def is_btrfs(path: str) -> bool:
    """Say whether `path` is on btrfs. Raises: FileNotFoundError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(descriptor, _FS_INFO, bytes(1024))
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def create_subvolume(path: str) -> None:
    """Make an empty subvolume. Raises: FileExistsError; OSError ENOTTY: `path` is not on btrfs."""
    _on_parent(path, _SUBVOL_CREATE, _ARGS.pack(0, _name(path)))


def snapshot_subvolume(source: str, target: str, *, read_only: bool = False) -> None:
    """Make `target` a copy of the subvolume `source` that shares its blocks.

    Dirty pages of `source`, stores through mappings included, are written back first and are in the copy.
    Raises: FileExistsError; OSError EINVAL: `source` is not a subvolume.
    """
    descriptor = os.open(source, os.O_RDONLY | os.O_DIRECTORY)
    try:
        flags = _RDONLY if read_only else 0
        _on_parent(target, _SNAP_CREATE_V2, _ARGS_V2.pack(descriptor, 0, flags, 0, 0, 0, 0, _name(target)))
    finally:
        os.close(descriptor)


def delete_subvolume(path: str) -> None:
    """Remove a subvolume with all that is in it; the space is freed in the background. Raises: FileNotFoundError."""
    _on_parent(path, _SNAP_DESTROY, _ARGS.pack(0, _name(path)))


def sync(path: str) -> None:
    """Commit the file system that `path` is on, and wait for it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, _SYNC)
    finally:
        os.close(descriptor)
