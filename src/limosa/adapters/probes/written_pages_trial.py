"""The trial of what tells written pages, made as for a container: from outside, in another user namespace."""

import ctypes
import mmap
import os
from typing import Final

from limosa.linux import libc, pagemap, pagemap_scan, userfaultfd
from limosa.linux.pagemap_scan import PRESENT, WP_ALLOWED, WRITTEN
from limosa.ports.probes import DEGRADED, MISSING, WORKS, Outcome

_PAGES: Final = 64
_CHOSEN: Final = 17
_CLONE_NEWUSER: Final = 0x10000000


def written_pages(library: str) -> Outcome:
    """Follow a child of another user namespace and find exactly the page that it writes; or see what else there is.

    `library` makes criu leave out what is followed; it is empty where nobody could compile it.
    """
    cause = "criu dumps everything without its library, which needs a C compiler once"
    if library:
        if not userfaultfd.can_mark():
            cause = "this kernel does not mark written pages (Linux 6.7)"
        elif not pagemap_scan.tells_guards():
            cause = "this kernel does not tell guard pages from others (Linux 6.15)"
        else:
            return _followed()
    if pagemap.soft_dirty_works():
        return Outcome(DEGRADED, f"by soft-dirty bits: {cause}")
    return Outcome(DEGRADED, f"by digests of all pages: {cause}")


def _followed() -> Outcome:
    area = mmap.mmap(-1, _PAGES * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    first = ctypes.addressof(ctypes.c_char.from_buffer(area))
    (told, tell), (heard, say) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(tell)
            os.close(heard)
            libc.loaded().unshare(_CLONE_NEWUSER)
            for page in range(_PAGES):
                area[page * mmap.PAGESIZE] = 1
            os.write(say, b"r")
            os.read(told, 1)
            area[_CHOSEN * mmap.PAGESIZE] = 2
            os.write(say, b"w")
            os.read(told, 1)
        finally:
            os._exit(0)
    os.close(told)
    os.close(say)
    try:
        os.read(heard, 1)
        descriptor = userfaultfd.from_outside(child)
        userfaultfd.register(descriptor, first, _PAGES * mmap.PAGESIZE)
        table = os.open(f"/proc/{child}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        ranges = pagemap_scan.Ranges()
        before = ranges.scan(table, all_of=WP_ALLOWED, none_of=0, any_of=PRESENT, tell=WRITTEN, protect=True)
        os.write(tell, b"w")
        os.read(heard, 1)
        after = ranges.scan(table, all_of=WP_ALLOWED | WRITTEN, none_of=0, any_of=PRESENT, tell=WRITTEN, protect=True)
    finally:
        os.close(tell)
        os.waitpid(child, 0)
    page = first + _CHOSEN * mmap.PAGESIZE
    if list(before[:2]) != [first, first + _PAGES * mmap.PAGESIZE] or list(after[:2]) != [page, page + mmap.PAGESIZE]:
        return Outcome(MISSING, f"of {_PAGES} pages {list(before)} were marked, and {list(after)} found written")
    return Outcome(WORKS, "by userfaultfd: found exactly the page that a process of another user namespace wrote")
