"""Open a path inside a directory as if that directory were "/"."""

import ctypes
import os
from typing import Final

_SYS_OPENAT2: Final = 437
_RESOLVE_NO_XDEV: Final = 0x01
_RESOLVE_NO_MAGICLINKS: Final = 0x02
_RESOLVE_IN_ROOT: Final = 0x10
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_SIZE: Final = ctypes.c_size_t(24)


def open_in_root(root_fd: int, path: bytes, flags: int) -> int:
    """Open `path` below the directory `root_fd`; no link, no ".." and no mount point leads out of it.

    Raises: OSError as open(2); EXDEV: the path crosses a mount. Source: openat2(2), RESOLVE_IN_ROOT.
    """
    if b"\0" in path:
        raise ValueError("a path has no NUL")
    how = (ctypes.c_uint64 * 3)(flags | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS | _RESOLVE_NO_XDEV)
    found: int = _libc.syscall(_SYS_OPENAT2, root_fd, path, ctypes.byref(how), _SIZE)
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fsdecode(path))
    return found
