"""Open a path inside a directory as if that directory were "/". Source: openat2(2), RESOLVE_IN_ROOT."""

import os

from limosa.linux import libc
from limosa.model.hints import Final

_SYS_OPENAT2: Final = 437
_RESOLVE_NO_XDEV: Final = 0x01
_RESOLVE_NO_MAGICLINKS: Final = 0x02
_RESOLVE_IN_ROOT: Final = 0x10


def open_below(root: str, path: str, flags: int = os.O_RDONLY, mode: int = 0) -> int:
    """Open `path` as if `root` were "/": no link and no ".." leads out of it, and a pipe keeps nobody waiting.

    Raises: OSError as open(2).
    """
    directory = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _open(directory, os.fsencode(path), flags | (0 if flags & os.O_PATH else os.O_NONBLOCK), mode, 0)
    finally:
        os.close(directory)


def open_on_mount(root_fd: int, path: bytes, flags: int) -> int:
    """Open `path` below the directory `root_fd`; no link, no ".." and no mount point leads out of it.

    Raises: OSError as open(2); EXDEV: the path crosses a mount.
    """
    return _open(root_fd, path, flags, 0, _RESOLVE_NO_XDEV)


def _open(root_fd: int, path: bytes, flags: int, mode: int, resolve: int) -> int:
    import ctypes

    if b"\0" in path:
        raise ValueError("a path has no NUL")
    resolve |= _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS
    how = (ctypes.c_uint64 * 3)(flags | os.O_CLOEXEC, mode, resolve)
    size = ctypes.c_size_t(ctypes.sizeof(how))
    found = libc.loaded().syscall(_SYS_OPENAT2, root_fd, path, ctypes.byref(how), size)
    if found < 0:
        libc.failed("", os.fsdecode(path))
    return int(found)
