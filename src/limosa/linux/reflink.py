"""Files that share their blocks."""

import fcntl
import os

from limosa.model.hints import Final

_FICLONE: Final = 0x40049409
_GETFLAGS: Final = 0x80086601
_SETFLAGS: Final = 0x40086602
_NOCOW_FL: Final = 0x00800000


def set_nocow(descriptor: int) -> None:
    """Let the file `descriptor`, still empty, be overwritten in place, without checksums; no effect outside btrfs.

    Blocks that are shared are copied all the same. Source: ioctl_iflags(2), FS_NOCOW_FL.
    """
    flags = bytearray(8)
    fcntl.ioctl(descriptor, _GETFLAGS, flags)
    changed = int.from_bytes(flags[:4], "little") | _NOCOW_FL
    fcntl.ioctl(descriptor, _SETFLAGS, changed.to_bytes(4, "little"))


def clone(source: str, descriptor: int) -> None:
    """Make the file `descriptor` share all blocks of the file `source`.

    Raises: OSError EOPNOTSUPP: the file system cannot; EXDEV: they are on two; EINVAL: only one has checksums.
    Source: ioctl_ficlone(2).
    """
    here = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _FICLONE, here)
    finally:
        os.close(here)
