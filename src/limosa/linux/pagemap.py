"""The page table of a process as older kernels show it. Source: Linux Documentation/admin-guide/mm/pagemap.rst."""

import os
from array import array

from limosa.model.hints import Final

PRESENT: Final = 1 << 63
SWAPPED: Final = 1 << 62
FILE: Final = 1 << 61  # a page of a file, or shared memory
GUARD: Final = 1 << 58  # Linux 6.15: not there, and a fault to touch
SOFT_DIRTY: Final = 1 << 55
PAGE_BYTES: Final = 4096
_ENTRY_BYTES: Final = 8
_CLEAR_SOFT_DIRTY: Final = b"4"
PART_PAGES: Final = 1 << 17
_SWAP_TYPE: Final = 0x1F
_MARKER_TYPE: Final = 31  # the last type, of no swap space (SWP_PTE_MARKER in Linux include/linux/swap.h)


def entries(pagemap: int, first: int, end: int) -> "array[int]":
    """Return a number of flags for each page from the byte `first` to `end`; fewer if the process is gone.

    `pagemap` is a descriptor of /proc/PID/pagemap.
    """
    found: array[int] = array("Q")
    wanted = (end - first) // PAGE_BYTES * _ENTRY_BYTES
    data = os.pread(pagemap, wanted, first // PAGE_BYTES * _ENTRY_BYTES)
    found.frombytes(data[: len(data) - len(data) % _ENTRY_BYTES])
    return found


def is_marker(flags: int) -> bool:
    """Say whether nothing is there but a note of the kernel's: that a page of a file's private mapping was protected.

    It looks swapped out. The page was discarded since: a program sees the file again, or nothing if the file was cut.
    Only who may see swap types can tell (CAP_SYS_ADMIN); for others it is False.
    """
    return flags & SWAPPED != 0 and not flags & PRESENT and flags & _SWAP_TYPE == _MARKER_TYPE


def soft_dirty_works() -> bool:
    """Say whether this kernel has soft-dirty bits, by trying it on this process."""
    import ctypes
    import mmap

    page = mmap.mmap(-1, PAGE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    first = ctypes.addressof(ctypes.c_char.from_buffer(page))
    descriptor = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    try:
        page[0] = 1
        clear_soft_dirty(os.getpid())
        cleared = entries(descriptor, first, first + PAGE_BYTES)
        page[0] = 2
        written = entries(descriptor, first, first + PAGE_BYTES)
    finally:
        os.close(descriptor)
    return not cleared[0] & SOFT_DIRTY and bool(written[0] & SOFT_DIRTY)


def clear_soft_dirty(pid: int) -> None:
    """Mark all memory of a process as not written. Raises: ProcessLookupError: it is gone.

    A kernel without CONFIG_MEM_SOFT_DIRTY says nothing and does nothing. Source: proc_pid_clear_refs(5).
    """
    try:
        with open(f"/proc/{pid}/clear_refs", "wb", buffering=0) as file:
            file.write(_CLEAR_SOFT_DIRTY)
    except FileNotFoundError as gone:
        raise ProcessLookupError(f"no process {pid}") from gone
