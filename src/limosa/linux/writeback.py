"""Have the kernel begin to write a file's pages to the disk. Source: sync_file_range(2)."""

from limosa.linux import libc
from limosa.model.hints import Final

_WRITE: Final = 2  # SYNC_FILE_RANGE_WRITE


def begin(descriptor: int, start: int, size_bytes: int) -> None:
    """Begin to write what was written to a part of a file, without waiting: a later fsync(2) waits less.

    It promises nothing, so nothing that fails is told.
    """
    import ctypes

    call = libc.loaded().sync_file_range
    call.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    call(descriptor, start, size_bytes, _WRITE)
