"""What kind of file system a path is on."""

import ctypes
import os

from limosa.linux import libc
from limosa.model.hints import Final

TMPFS_MAGIC: Final = 0x01021994
BTRFS_MAGIC: Final = 0x9123683E
OVERLAYFS_MAGIC: Final = 0x794C7630
CGROUP2_MAGIC: Final = 0x63677270


def magic(path: str) -> int:
    """Return the type of the file system that holds `path`, one of the _MAGIC numbers or another.

    Raises: FileNotFoundError and other OSErrors. Source: statfs(2), f_type; linux/magic.h.
    """
    buffer = (ctypes.c_long * 32)()  # struct statfs is 120 bytes; f_type comes first, a word
    if libc.loaded().statfs(os.fsencode(path), ctypes.byref(buffer)) != 0:
        libc.failed("", path)
    return int(buffer[0]) & 0xFFFFFFFF
