"""Subvolumes and sizes of btrfs. Source: linux/btrfs.h, btrfs-ioctl(2), btrfs-subvolume(8)."""

import fcntl
import os
import struct

from limosa.model.hints import Final
from limosa.model.value import NamedTuple

_RESIZE: Final = 0x50009403
_SYNC: Final = 0x9408
_SUBVOL_CREATE: Final = 0x5000940E
_SNAP_DESTROY: Final = 0x5000940F
_SNAP_CREATE_V2: Final = 0x50009417
_SUBVOL_GETFLAGS: Final = 0x80089419
_SUBVOL_SETFLAGS: Final = 0x4008941A
_FS_INFO: Final = 0x8400941F
_GET_SUBVOL_INFO: Final = 0x81F8943C
_RDONLY: Final = 1 << 1
_NAME_BYTES: Final = 4039  # of struct btrfs_ioctl_vol_args_v2, the shorter one; a directory entry has 255
_ARGS: Final = struct.Struct("=q4088s")
_ARGS_V2: Final = struct.Struct("=qQQ4Q4040s")
_SUBVOL_INFO: Final = struct.Struct("=Q256sQQQQ16s16s16s")
_SUBVOL_INFO_BYTES: Final = 504


class Subvolume(NamedTuple):
    """What the kernel knows about a subvolume."""

    tree_id: int
    generation: int  # the transaction that changed it last
    uuid: bytes  # unique: a snapshot has its own
    read_only: bool


def _on_directory(path: str, request: int, argument: bytearray) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, request, argument)  # a bytearray: bytes may have 1024 at most
    except OSError as refused:
        raise OSError(refused.errno, os.strerror(refused.errno or 0), path) from None
    finally:
        os.close(descriptor)


def _split(path: str) -> tuple[str, bytes]:
    parent, name = os.path.split(path)
    encoded = os.fsencode(name)
    if not encoded or len(encoded) > _NAME_BYTES:
        raise ValueError(f"no name for a subvolume: {path!r}")
    return parent, encoded


def is_btrfs(path: str) -> bool:
    """Say whether the directory `path` is on btrfs. Raises: FileNotFoundError."""
    try:
        _on_directory(path, _FS_INFO, bytearray(1024))
    except FileNotFoundError:
        raise
    except OSError:
        return False
    return True


def create_subvolume(path: str) -> None:
    """Make an empty subvolume. Raises: FileExistsError; OSError ENOTTY: `path` is not on btrfs."""
    parent, name = _split(path)
    _on_directory(parent, _SUBVOL_CREATE, bytearray(_ARGS.pack(0, name)))


def snapshot_subvolume(source: str, target: str, *, read_only: bool = False) -> None:
    """Make `target` a copy of the subvolume `source` that shares its blocks, and commit the transaction.

    Dirty pages of `source`, stores through mappings included, are written back first and are in the copy.
    Raises: FileExistsError; OSError EINVAL: `source` is not a subvolume.
    """
    parent, name = _split(target)
    descriptor = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flags = _RDONLY if read_only else 0
        _on_directory(parent, _SNAP_CREATE_V2, bytearray(_ARGS_V2.pack(descriptor, 0, flags, 0, 0, 0, 0, name)))
    finally:
        os.close(descriptor)


def delete_subvolume(path: str) -> None:
    """Remove a subvolume with all that is in it; the space is freed in the background. Raises: FileNotFoundError."""
    parent, name = _split(path)
    _on_directory(parent, _SNAP_DESTROY, bytearray(_ARGS.pack(0, name)))


def subvolume(path: str) -> Subvolume:
    """Return what is known about the subvolume whose root is `path`. Raises: FileNotFoundError."""
    info = bytearray(_SUBVOL_INFO_BYTES)
    _on_directory(path, _GET_SUBVOL_INFO, info)
    tree_id, _name, _parent, _directory, generation, _flags, uuid, _, _ = _SUBVOL_INFO.unpack_from(info)
    flags = bytearray(8)
    _on_directory(path, _SUBVOL_GETFLAGS, flags)
    return Subvolume(tree_id, generation, uuid, bool(int.from_bytes(flags, "little") & _RDONLY))


def generation(directory: str) -> int:
    """Return the transaction that changed the subvolume of any `directory` in it last. Raises: OSError ENOTTY."""
    info = bytearray(_SUBVOL_INFO_BYTES)
    _on_directory(directory, _GET_SUBVOL_INFO, info)
    return int(_SUBVOL_INFO.unpack_from(info)[4])


def set_read_only(path: str, read_only: bool) -> None:
    """Make a subvolume read-only or writable, and commit that."""
    _on_directory(path, _SUBVOL_SETFLAGS, bytearray((_RDONLY if read_only else 0).to_bytes(8, "little")))


def sync(path: str) -> None:
    """Write back all that is dirty on the file system of the directory `path`, commit it and wait for that."""
    _on_directory(path, _SYNC, bytearray(8))


def resize(path: str, size_bytes: int) -> None:
    """Make the one device of the mounted file system `path` `size_bytes` long; what lies behind is moved first.

    Raises: OSError ENOSPC: what is in use does not fit; EFBIG: the device is shorter. Source: btrfs-filesystem(8).
    """
    _on_directory(path, _RESIZE, bytearray(_ARGS.pack(0, f"1:{size_bytes}".encode())))
