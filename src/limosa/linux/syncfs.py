"""Write back one file system."""

import ctypes
import os
from typing import Final

_libc: Final = ctypes.CDLL(None, use_errno=True)


def syncfs(path: str) -> None:
    """Return when everything written so far to the file system that holds `path` is on disk.

    Raises: OSError: EIO, ENOSPC: some of it could not be written. Source: syncfs(2); errors are told since Linux 5.8.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(descriptor)
