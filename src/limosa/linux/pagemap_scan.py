"""What the kernel says of a process's pages, by ranges. Source: Linux Documentation/admin-guide/mm/pagemap.rst."""

import ctypes
import errno
import mmap
import os
import struct
from array import array

from limosa.linux import libc
from limosa.model.hints import Final

_PAGEMAP_SCAN: Final = 0xC0606610
_WP_MATCHING: Final = 1
_ARGUMENT: Final = struct.Struct("<12Q")
_WALK_END: Final = 32
_GUARD_INSTALL: Final = 102  # MADV_GUARD_INSTALL
_RANGES: Final = 1 << 15
_RANGE_BYTES: Final = 24

WP_ALLOWED: Final = 1 << 0  # in a mapping that a userfaultfd marks
WRITTEN: Final = 1 << 1
FILE: Final = 1 << 2  # a page of a file, or shared memory
PRESENT: Final = 1 << 3
SWAPPED: Final = 1 << 4
ZERO: Final = 1 << 5  # the page of zeros that everybody shares
SOFT_DIRTY: Final = 1 << 7
GUARD: Final = 1 << 8  # Linux 6.15: not there, and a fault to touch

END: Final = (1 << 47) - 4096


def tells_guards() -> bool:
    """Say whether guard pages are told from others, or there are none (before Linux 6.13; in between, they are not)."""
    if _ioctl_of_nothing(GUARD):
        return True
    page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    try:
        page.madvise(_GUARD_INSTALL)
        return False
    except OSError:
        return _ioctl_of_nothing(0)
    finally:
        page.close()


def _ioctl_of_nothing(category: int) -> bool:
    pagemap = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    try:
        values = (_ARGUMENT.size, 0, 4096, 8192, 0, 0, 0, 0, category, category, 0, 0)
        argument = ctypes.create_string_buffer(_ARGUMENT.pack(*values), _ARGUMENT.size)
        return int(libc.loaded().ioctl(pagemap, ctypes.c_ulong(_PAGEMAP_SCAN), argument)) >= 0
    finally:
        os.close(pagemap)


class Ranges:
    """Reads ranges of pages of many processes into one buffer."""

    def __init__(self, at_once: int = _RANGES) -> None:
        """`at_once` is how many ranges the kernel is asked for at a time."""
        self._at_once = at_once
        self._vector = ctypes.create_string_buffer(at_once * _RANGE_BYTES)
        self._argument = ctypes.create_string_buffer(_ARGUMENT.size)
        self._guards = GUARD

    def scan(
        self, pagemap: int, *, all_of: int, none_of: int, any_of: int, tell: int, protect: bool = False
    ) -> "array[int]":
        """Return first byte, end and categories (those in `tell`) of each range, one after the other.

        The pages have each category of `all_of`, none of `none_of`, and one of `any_of`; guard pages are left out.
        `protect` marks those that are `WRITTEN` as not written, in the same step. `pagemap` is a descriptor of
        /proc/PID/pagemap.
        Raises: OSError: ESRCH: the process is gone.
        """
        found: array[int] = array("Q")
        start = 0
        while start < END:
            none = none_of | self._guards
            values = (
                *(_ARGUMENT.size, _WP_MATCHING if protect else 0, start, END, 0),
                *(ctypes.addressof(self._vector), self._at_once, 0, none, all_of | none, any_of, tell),
            )
            _ARGUMENT.pack_into(self._argument, 0, *values)
            count = libc.loaded().ioctl(pagemap, ctypes.c_ulong(_PAGEMAP_SCAN), self._argument)
            if count < 0:
                if libc.errno() == errno.EINVAL and self._guards:
                    self._guards = 0  # an older kernel does not know the word
                    continue
                libc.failed("", "PAGEMAP_SCAN")
            found.frombytes(memoryview(self._vector)[: count * _RANGE_BYTES])
            if count < self._at_once:
                break  # that was all, whatever `walk_end` says: it may be where a buffer of the kernel's own was full
            start = max(struct.unpack_from("<Q", self._argument, _WALK_END)[0], found[-2])
        return found
