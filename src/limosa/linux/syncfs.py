"""Write back one file system."""

import os

from limosa.linux import libc


def syncfs(path: str) -> None:
    """Return when everything written so far to the file system that holds `path` is on disk.

    Raises: OSError: EIO, ENOSPC: some of it could not be written. Source: syncfs(2); errors are told since Linux 5.8.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.loaded().syncfs(descriptor) != 0:
            libc.failed("", path)
    finally:
        os.close(descriptor)
