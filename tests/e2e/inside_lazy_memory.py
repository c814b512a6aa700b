"""A program with much memory that does, when it is told, what processes do to memory that is not there yet.

Each page begins with its number, and is checked whenever it is looked at. A command is a line in /srv/todo; the answer
is in /srv/done, "ok …" or what was wrong.
"""

import ctypes
import hashlib
import os
import sys
import threading
import time

PAGE = 4096
DONTNEED, DONTFORK = 4, 10
PAGES = int(sys.argv[1]) * 256
libc = ctypes.CDLL(None, use_errno=True)
libc.mremap.restype = ctypes.c_void_p
libc.mremap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p]
libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]


class Area:
    """Pages that have their numbers, but those that were given back."""

    def __init__(self, pages):
        self.at = libc.mmap(None, pages * PAGE, 3, 0x22, -1, 0)
        self.pages, self.empty = pages, set()
        for page in range(pages):
            ctypes.memmove(self.at + page * PAGE, self.content(page), 64)

    def content(self, page):
        return b"" if page in self.empty else hashlib.sha512(b"%d" % page).digest()

    def wrong(self, pages):
        for page in pages:
            found = ctypes.string_at(self.at + page * PAGE, 64)
            if found != (self.content(page) or bytes(64)):
                return f"page {page} of {self.pages} is {found[:8].hex()}"
        return ""


area = Area(PAGES)


def look(share):
    """Look at `share` percent of the pages, spread over all."""
    step = max(1, 100 // share)
    return area.wrong(range(0, PAGES, step))


def in_child(share):
    """A child that was forked while pages are missing sees the same."""
    pid = os.fork()
    if pid == 0:
        grandchild = os.fork()
        wrong = look(share)
        if grandchild:
            wrong = wrong or ("" if os.waitpid(grandchild, 0)[1] == 0 else "the grandchild saw something else")
        os._exit(1 if wrong else 0)
    return "" if os.waitpid(pid, 0)[1] == 0 else "the child saw something else"


def many_children(count):
    """Children that come and go are forgotten; one of them executes something else."""
    for number in range(count):
        pid = os.fork()
        if pid == 0:
            if number == 0:
                os.execv("/bin/true", ["true"])
            os._exit(1 if area.wrong([number]) else 0)
        if os.waitpid(pid, 0)[1]:
            return f"child {number} failed"
    return ""


def give_back(first, count):
    """What is given back is empty, whether it had come or not."""
    libc.madvise(area.at + first * PAGE, count * PAGE, DONTNEED)
    area.empty |= set(range(first, first + count))
    return area.wrong([max(0, first - 1), first, first + count - 1, first + count])


def move(_):
    """All of it goes elsewhere."""
    place = libc.mmap(None, PAGES * PAGE, 0, 0x22, -1, 0)
    area.at = libc.mremap(area.at, PAGES * PAGE, PAGES * PAGE, 3, place)
    return area.wrong(range(5, PAGES, 500))


def read_into(first):
    """The kernel writes to pages that are not there, and reads from some."""
    descriptor = os.memfd_create("pages")
    count = 40
    written = libc.write(descriptor, ctypes.c_void_p(area.at + first * PAGE), count * PAGE)
    if written != count * PAGE:
        return f"{written} bytes were written, errno {ctypes.get_errno()}"
    os.lseek(descriptor, 0, os.SEEK_SET)
    size = libc.read(descriptor, ctypes.c_void_p(area.at + (first + 200) * PAGE), count * PAGE - 1000)
    if size != count * PAGE - 1000:
        return f"{size} bytes were read"
    for page in range(count - 1):
        found = ctypes.string_at(area.at + (first + 200 + page) * PAGE, 64)
        if found != area.content(first + page):
            return f"page {page} was read wrong"
    libc.madvise(area.at + (first + 200) * PAGE, count * PAGE, DONTNEED)
    area.empty |= set(range(first + 200, first + 200 + count))
    return ""


def threads(count):
    """Threads wait for the same pages, and end."""
    found = []
    each = [threading.Thread(target=lambda: found.append(area.wrong(range(7, PAGES, 97)))) for _ in range(count)]
    for one in each:
        one.start()
    for one in each:
        one.join(60)
    return next(filter(None, found), "" if len(found) == count else "a thread never ended")


COMMANDS = {one.__name__: one for one in (look, in_child, many_children, give_back, move, read_into, threads)}
done = 0
while True:
    try:
        with open("/srv/todo", encoding="ascii") as file:
            number, name, *numbers = file.read().split()
    except (FileNotFoundError, ValueError):
        number = 0
    if int(number) > done:
        done = int(number)
        try:
            answer = COMMANDS[name](*map(int, numbers)) or "ok"
        except Exception as failed:
            answer = repr(failed)
        with open("/srv/done.new", "w", encoding="ascii") as file:
            file.write(f"{done} {answer}\n")
        os.rename("/srv/done.new", "/srv/done")
    time.sleep(0.01)
