"""userfaultfd as a source of pages: who touches one that is not there waits until somebody has put it there.

What a process does to its mappings meanwhile (fork, mremap, munmap, MADV_DONTNEED) is told, too, and waits until it was
read; until then nothing can be put anywhere (EAGAIN).
Source: userfaultfd(2), ioctl_userfaultfd(2), Linux Documentation/admin-guide/mm/userfaultfd.rst,
include/uapi/linux/userfaultfd.h.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Iterator

from limosa.linux import libc
from limosa.model.hints import Final
from limosa.model.value import NamedTuple

DEVICE: Final = "/dev/userfaultfd"

_API_REQUEST: Final = 0xC018AA3F
_REGISTER: Final = 0xC020AA00
_UNREGISTER: Final = 0x8010AA01
_WAKE: Final = 0x8010AA02
_COPY: Final = 0xC028AA03
_ZEROPAGE: Final = 0xC020AA04
_API: Final = 0xAA
_MODE_MISSING: Final = 1
_FEATURES: Final = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 6  # fork, remap, remove, unmap

_MESSAGE: Final = struct.Struct("<B7xQQQ")
_MESSAGES: Final = 32
_PAGE_BYTES: Final = 4096
_TOP: Final = (1 << 47) - _PAGE_BYTES  # of what a program may map; above is a page that nobody has

FAULT: Final = 0x12
FORK: Final = 0x13
REMAP: Final = 0x14
REMOVE: Final = 0x15
UNMAP: Final = 0x16


class Told(NamedTuple):
    """A message. FAULT: `second` is the address; FORK: `first` is a new descriptor, for the child's memory;
    REMAP: `first` is from, `second` to, `third` bytes; REMOVE and UNMAP: `first` byte and end (`second`)."""

    what: int
    first: int
    second: int
    third: int


def works() -> bool:
    """Say whether this kernel has the device (Linux 6.1) and tells everything that a source of pages has to know."""
    try:
        device = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        descriptor = int(libc.loaded().ioctl(device, ctypes.c_ulong(0xAA00), os.O_CLOEXEC | os.O_NONBLOCK))
    finally:
        os.close(device)
    if descriptor < 0:
        return False
    try:
        enable(descriptor)
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)


def enable(descriptor: int) -> None:
    """Ask for everything that is told of a process; a descriptor can do nothing before. Raises: OSError."""
    libc.ioctl(descriptor, _API_REQUEST, struct.pack("<QQQ", _API, _FEATURES, 0))


def register(descriptor: int, first: int, size_bytes: int) -> None:
    """Let faults on missing pages of a mapping wait for us; doing it again changes nothing.

    Raises: OSError: EBUSY: another userfaultfd has it; EINVAL: of a kind that cannot be; ENOMEM, ESRCH: it is gone.
    """
    libc.ioctl(descriptor, _REGISTER, struct.pack("<QQQQ", first, size_bytes, _MODE_MISSING, 0))


def unregister(descriptor: int, first: int, size_bytes: int) -> None:
    """Let the kernel fill missing pages with zeros again. Raises: OSError: as `register`."""
    libc.ioctl(descriptor, _UNREGISTER, struct.pack("<QQ", first, size_bytes))


def wake(descriptor: int, first: int, size_bytes: int) -> None:
    """Let those go on who wait for a page that is there by now. Raises: OSError."""
    libc.ioctl(descriptor, _WAKE, struct.pack("<QQ", first, size_bytes))


def has_memory(descriptor: int) -> bool:
    """Say whether the memory that a descriptor is for is still there: its process may have ended, or execute another.

    Nothing tells that by itself. What is asked changes nothing: to wait for nobody at an address that nobody has.
    """
    try:
        unregister(descriptor, _TOP - _PAGE_BYTES, _PAGE_BYTES)
    except OSError as refused:
        return refused.errno != errno.ESRCH
    return True


def copy(descriptor: int, first: int, source: int, size_bytes: int) -> tuple[int, int]:
    """Put pages there from the address `source` of this process; return how many bytes, and why no more (0: all are).

    Why: EEXIST: the next page is there already, EAGAIN: something is told and was not read, ENOENT: that is not
    registered (any more), ENOMEM, ESRCH: the process is gone.
    """
    buffer = _buffer(struct.pack("<QQQQq", first, source, size_bytes, 0, 0))
    return _put(descriptor, _COPY, buffer, 32)


def fill_with_zeros(descriptor: int, first: int, size_bytes: int) -> tuple[int, int]:
    """Put pages of zeros there; return as `copy` does."""
    return _put(descriptor, _ZEROPAGE, _buffer(struct.pack("<QQQq", first, size_bytes, 0, 0)), 24)


def _put(descriptor: int, request: int, buffer: "ctypes.Array[ctypes.c_char]", place: int) -> tuple[int, int]:
    failed = libc.loaded().ioctl(descriptor, ctypes.c_ulong(request), buffer) < 0
    number = libc.errno() if failed else 0
    (done,) = struct.unpack_from("<q", buffer, place)
    return (done, number) if done > 0 else (0, number or -done)


def read(descriptor: int) -> Iterator[Told]:
    """Yield what is told and was not read yet. Raises: OSError other than EAGAIN."""
    try:
        data = os.read(descriptor, _MESSAGES * _MESSAGE.size)
    except BlockingIOError:
        return
    for what, first, second, third in _MESSAGE.iter_unpack(data):
        page = second & ~(_PAGE_BYTES - 1) if what == FAULT else second
        yield Told(what, first & 0xFFFFFFFF if what == FORK else first, page, third)


def _buffer(argument: bytes) -> "ctypes.Array[ctypes.c_char]":
    return ctypes.create_string_buffer(argument, len(argument))
