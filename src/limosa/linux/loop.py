"""Block devices over files. Source: loop(4), linux/loop.h.

A device made here is cleared by the kernel when its last user closes it (autoclear), so that a mount is all that
keeps it.  `/dev` must be a devtmpfs (or have enough nodes): the kernel makes a node with each new device; where it
does not, a node made here would be one more thing to leave behind.
"""

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from limosa.model.hints import Final

_CTL_GET_FREE: Final = 0x4C82
_GET_STATUS64: Final = 0x4C05
_SET_CAPACITY: Final = 0x4C07
_CONFIGURE: Final = 0x4C0A
_READ_ONLY: Final = 1
_AUTOCLEAR: Final = 4
_DIRECT_IO: Final = 16
_BLOCK_BYTES: Final = 4096
_INFO: Final = struct.Struct("=5Q4I64s64s32s2Q")  # struct loop_info64
_CONFIG: Final = struct.Struct(f"=II{_INFO.size}s8Q")  # struct loop_config
_MOST_ATTEMPTS: Final = 1000


@contextmanager
def attached(path: str, *, read_only: bool = False) -> Iterator[str]:
    """Yield the block device of the file `path`: the one it has, or a new one. Mount it inside the `with` block.

    A file is never given a second device: the file system in it would be mounted twice, and be destroyed. The caller
    keeps others from attaching the same file meanwhile. Direct I/O is used where the file allows it.
    Raises: OSError ENOENT: /dev has no node for a new device; EMFILE: 1000 attempts met other users.
    """
    backing = os.open(path, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC)
    try:
        status = os.fstat(backing)
        device = _held(path, status)
        if device is None:
            device = _configured(backing, read_only)
    finally:
        os.close(backing)
    number, node = device
    try:
        yield node
    finally:
        os.close(number)


def set_capacity(device: str) -> None:
    """Let `device` have its file's present size."""
    descriptor = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _SET_CAPACITY)
    finally:
        os.close(descriptor)


def device_of(path: str) -> str | None:
    """Return the block device over the file `path`, or None."""
    held = _held(path, os.stat(path))
    if held is None:
        return None
    os.close(held[0])
    return held[1]


def _held(path: str, status: os.stat_result) -> tuple[int, str] | None:
    """Return a descriptor, which keeps it from being cleared, and the node of the device over a file."""
    name = os.path.basename(path)
    for device in os.listdir("/sys/block"):
        # Directories depend on the mount namespace that the file was attached in, its own name does not.
        if not device.startswith("loop") or os.path.basename(_backing_path(device)) != name:
            continue
        try:
            descriptor = os.open(f"/dev/{device}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        if _backing(descriptor) == (status.st_dev, status.st_ino):
            return descriptor, f"/dev/{device}"
        os.close(descriptor)
    return None


def _backing_path(device: str) -> str:
    try:
        with open(f"/sys/block/{device}/loop/backing_file", encoding="utf-8", errors="surrogateescape") as file:
            return file.read().rstrip("\n")
    except OSError:  # it has none, or not any more
        return ""


def _backing(descriptor: int) -> tuple[int, int] | None:
    info = bytearray(_INFO.size)
    try:
        fcntl.ioctl(descriptor, _GET_STATUS64, info)
    except OSError:  # cleared since
        return None
    device, inode, *_ = _INFO.unpack(info)
    return device, inode


def _configured(backing: int, read_only: bool) -> tuple[int, str]:
    flags = _AUTOCLEAR | _DIRECT_IO | (_READ_ONLY if read_only else 0)
    info = _INFO.pack(0, 0, 0, 0, 0, 0, 0, 0, flags, b"", b"", b"", 0, 0)
    config = bytearray(_CONFIG.pack(backing, _BLOCK_BYTES, info, *(0,) * 8))
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        # Whoever uses this module takes turns; other programs do not know of the lock, hence the attempts.
        fcntl.flock(control, fcntl.LOCK_EX)
        for _ in range(_MOST_ATTEMPTS):
            node = f"/dev/loop{fcntl.ioctl(control, _CTL_GET_FREE)}"
            descriptor = _open_node(node, read_only)
            try:
                fcntl.ioctl(descriptor, _CONFIGURE, config)
            except OSError as refused:
                os.close(descriptor)
                if refused.errno != errno.EBUSY:
                    raise
            else:
                return descriptor, node
    finally:
        os.close(control)
    raise OSError(errno.EMFILE, "no loop device can be had: other programs take each one that is free")


def _open_node(node: str, read_only: bool) -> int:
    try:
        return os.open(node, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC)
    except FileNotFoundError:
        message = "the kernel made this loop device, but /dev, which is no devtmpfs, has no node for it"
        raise FileNotFoundError(errno.ENOENT, message, node) from None
