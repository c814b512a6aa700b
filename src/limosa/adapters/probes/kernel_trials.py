"""Trials of kernel facilities, each made the way limosa uses it."""

import ctypes
import errno
import mmap
import os
import struct
import threading
from typing import Final

from limosa.linux import libc
from limosa.linux import user_namespace as namespaces
from limosa.ports.probes import DEGRADED, MISSING, WORKS, Outcome

_libc = libc.loaded()
_PAGE: Final = mmap.PAGESIZE
_SYS_USERFAULTFD: Final = {"x86_64": 323, "aarch64": 282}
_SYS_IO_URING_SETUP: Final = 425
_SYS_SECCOMP: Final = {"x86_64": 317, "aarch64": 277}
# linux/userfaultfd.h
_UFFDIO_API: Final = 0xC018AA3F
_UFFDIO_REGISTER: Final = 0xC020AA00
_UFFDIO_COPY: Final = 0xC028AA03
_UFFD_API: Final = 0xAA
_WP_UNPOPULATED: Final = 1 << 13
_WP_ASYNC: Final = 1 << 15
_PAGEFAULT_FLAG_WP: Final = 1
_MODE_MISSING: Final = 1
_MODE_WP: Final = 2
# linux/fs.h
_PAGEMAP_SCAN: Final = 0xC0606610
_PAGE_IS_WPALLOWED: Final = 1
_PAGE_IS_WRITTEN: Final = 2
_PM_SCAN_WP_MATCHING: Final = 1
_SOFT_DIRTY_BIT: Final = 55


def user_namespace() -> Outcome:
    """Make a user namespace with 65,536 mapped ids."""
    os.close(namespaces.with_mapping([(0, 1 << 20, 65536)]))
    return Outcome(WORKS, "made a user namespace with 65536 mapped ids")


def userfaultfd() -> Outcome:
    """Let another thread touch a missing page, serve it, and see what the thread saw."""
    fd = _userfaultfd(0)
    try:
        area = _Area(2)
        _ioctl(fd, _UFFDIO_REGISTER, struct.pack("<QQQQ", area.address, area.bytes, _MODE_MISSING, 0))
        seen = ctypes.create_string_buffer(8)
        # A foreign function call releases the interpreter's lock, so this thread can serve the fault of that one.
        reader = threading.Thread(target=_libc.memcpy, args=(seen, ctypes.c_void_p(area.address), 8), daemon=True)
        reader.start()
        event, address = struct.unpack("<B15xQ8x", os.read(fd, 32))
        page = ctypes.create_string_buffer(b"served".ljust(_PAGE, b"\0"), _PAGE)
        _ioctl(fd, _UFFDIO_COPY, struct.pack("<QQQQq", address & -_PAGE, ctypes.addressof(page), _PAGE, 0, 0))
        reader.join(5)
    finally:
        os.close(fd)
    if event != 0x12 or seen.value != b"served":
        return Outcome(MISSING, f"a page that was served did not arrive (event {event:#x})")
    return Outcome(WORKS, "served a missing page to another thread")


def pagemap_scan() -> Outcome:
    """Track writes by write protection and PAGEMAP_SCAN, and find exactly the page that was written."""
    fd = _userfaultfd(_WP_ASYNC | _WP_UNPOPULATED | _PAGEFAULT_FLAG_WP)
    pagemap = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    try:
        area = _Area(64)
        area.touch(range(64))
        _ioctl(fd, _UFFDIO_REGISTER, struct.pack("<QQQQ", area.address, area.bytes, _MODE_WP, 0))
        armed = _scan(pagemap, area)
        area.touch([17])
        written = _scan(pagemap, area)
        again = _scan(pagemap, area)
    finally:
        os.close(pagemap)
        os.close(fd)
    if len(armed) != 64 or written != [17] or again:
        return Outcome(MISSING, f"the scan found pages {written}, then {again}; only page 17 was written")
    return Outcome(WORKS, "found exactly the page that was written since the last scan")


def soft_dirty() -> Outcome:
    """Clear the soft-dirty bits of this process, write a page, and look for its bit."""
    area = _Area(4)
    area.touch(range(4))
    with open("/proc/self/clear_refs", "wb", buffering=0) as file:
        file.write(b"4")
    area.touch([2])
    with open("/proc/self/pagemap", "rb", buffering=0) as file:
        file.seek(area.address // _PAGE * 8)
        entries = struct.unpack("<4Q", file.read(32))
    dirty = [page for page, entry in enumerate(entries) if entry >> _SOFT_DIRTY_BIT & 1]
    if dirty != [2]:
        return Outcome(MISSING, "the kernel does not track soft-dirty pages (CONFIG_MEM_SOFT_DIRTY)")
    return Outcome(WORKS, "found exactly the page that was written since clear_refs")


def seccomp() -> Outcome:
    """Refuse one system call by a filter, as the default profile does, and see the error number."""
    load_number, jump_equal, allow, refuse = (
        struct.pack("<HBBI", 0x20, 0, 0, 0),
        struct.pack("<HBBI", 0x15, 0, 1, _SYS_IO_URING_SETUP),
        struct.pack("<HBBI", 0x06, 0, 0, 0x7FFF0000),
        struct.pack("<HBBI", 0x06, 0, 0, 0x00050000 | errno.EDQUOT),
    )
    code = ctypes.create_string_buffer(load_number + jump_equal + refuse + allow)
    program = struct.pack("<H6xQ", 4, ctypes.addressof(code))
    _checked(_libc.prctl(38, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS")
    _checked(_libc.syscall(_SYS_SECCOMP[os.uname().machine], 1, 0, program), "seccomp")
    ctypes.set_errno(0)
    _libc.syscall(_SYS_IO_URING_SETUP, 1, 0)
    if ctypes.get_errno() != errno.EDQUOT:
        return Outcome(MISSING, "a filter was loaded and refused nothing")
    return Outcome(WORKS, "a filter refused io_uring_setup with the error number that it names")


def cgroups() -> Outcome:
    """Make and remove a group in each hierarchy that holds a controller, and name the layout."""
    wanted = {"cpu", "cpuset", "memory", "pids", "io"}
    found: set[str] = set()
    unified = False
    for place, fstype, options in _cgroup_mounts():
        if fstype == "cgroup2":
            with open(f"{place}/cgroup.controllers", encoding="ascii") as file:
                offered = set(file.read().split())
            unified = unified or "memory" in offered
        else:
            offered = {"io" if name == "blkio" else name for name in options.split(",")}
        if not offered & (wanted | {"freezer"}):
            continue
        group = f"{place}/limosa-probe.{os.getpid()}"
        os.mkdir(group)
        os.rmdir(group)
        found |= offered
    absent = sorted(wanted - found)
    layout = "cgroup v2" if unified else "hybrid or v1 layout"
    if absent:
        return Outcome(MISSING if "memory" in absent else DEGRADED, f"{layout} without {', '.join(absent)}")
    if not unified:
        return Outcome(DEGRADED, f"{layout}: containers and their commits work; cgroup v2 is what limosa is made for")
    return Outcome(WORKS, f"{layout} with {', '.join(sorted(wanted))}")


def _cgroup_mounts() -> list[tuple[str, str, str]]:
    with open("/proc/self/mounts", encoding="utf-8") as file:
        fields = [line.split() for line in file]
    return [(place, fstype, options) for _, place, fstype, options, *_ in fields if fstype in ("cgroup", "cgroup2")]


class _Area:
    """Private anonymous memory with a known address and no huge pages."""

    def __init__(self, pages: int) -> None:
        self.bytes = pages * _PAGE
        self._memory = mmap.mmap(-1, self.bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._memory.madvise(mmap.MADV_NOHUGEPAGE)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))

    def touch(self, pages: list[int] | range) -> None:
        for page in pages:
            self._memory[page * _PAGE] = 1


def _userfaultfd(features: int) -> int:
    fd = _checked(_libc.syscall(_SYS_USERFAULTFD[os.uname().machine], os.O_CLOEXEC), "userfaultfd")
    _ioctl(fd, _UFFDIO_API, struct.pack("<QQQ", _UFFD_API, features, 0))
    return fd


def _scan(pagemap: int, area: _Area) -> list[int]:
    """Return the numbers of the area's written pages and protect them again. Source: pagemap.rst, PAGEMAP_SCAN."""
    vector = ctypes.create_string_buffer(24 * 64)
    mask = _PAGE_IS_WPALLOWED | _PAGE_IS_WRITTEN
    argument = struct.pack(
        "<12Q",
        *(96, _PM_SCAN_WP_MATCHING, area.address, area.address + area.bytes, 0),
        *(ctypes.addressof(vector), 64, 0, 0, mask, 0, _PAGE_IS_WRITTEN),
    )
    count = _ioctl(pagemap, _PAGEMAP_SCAN, argument)
    regions = [struct.unpack_from("<QQQ", vector, 24 * index) for index in range(count)]
    return [(at - area.address) // _PAGE for start, end, _ in regions for at in range(start, end, _PAGE)]


def _ioctl(fd: int, request: int, argument: bytes) -> int:
    buffer = ctypes.create_string_buffer(argument, len(argument))
    return _checked(_libc.ioctl(fd, ctypes.c_ulong(request), buffer), f"ioctl {request:#x}")


def _checked(result: int, what: str) -> int:
    if result < 0:
        libc.failed(what)
    return int(result)
