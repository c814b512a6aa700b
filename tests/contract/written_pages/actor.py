"""A program that does as it is told: each line of its input is Python, with the pieces below at hand."""

import ctypes
import os
import random
import sys
import threading
import time

PAGE = 4096
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = libc.mremap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
libc.mremap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p]
libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
libc.read.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
libc.brk.argtypes = [ctypes.c_void_p]
libc.sbrk.restype = ctypes.c_void_p
RW, PRIVATE, ANONYMOUS = 3, 2, 32
DONTNEED, HUGEPAGE, FREE, PAGEOUT, GUARD = 4, 14, 8, 21, 102
stop_writing = False
workers = []


def area(pages, protection=RW, flags=PRIVATE | ANONYMOUS, descriptor=-1, at=None):
    """Return the address of new memory."""
    address = libc.mmap(at, pages * PAGE, protection, flags | (0x10 if at else 0), descriptor, 0)
    assert address != ctypes.c_void_p(-1).value, ctypes.get_errno()
    return address


def fill(address, pages, seed=1):
    """Write a content of its own into each page of a range."""
    for page in range(pages):
        write(address, page, seed)


def write(address, page, seed):
    """Write to one page."""
    data = random.Random(seed * 1000003 + page).randbytes(64) * 64
    ctypes.memmove(address + page * PAGE, data, PAGE)


def scribble(address, pages, seed):
    """Write small things to random pages until told otherwise."""
    rng = random.Random(seed)
    while not stop_writing:
        ctypes.memset(address + rng.randrange(pages) * PAGE + rng.randrange(PAGE), rng.randrange(256), 1)
        if rng.random() < 0.01:
            time.sleep(0.0005)


def start_writers(address, pages, count):
    """Start threads that scribble."""
    for seed in range(count):
        workers.append(threading.Thread(target=scribble, args=(address, pages, seed), daemon=True))
        workers[-1].start()


def child(action):
    """Fork a child that does something and then waits; return its pid."""
    pid = os.fork()
    if pid == 0:
        action()
        while True:
            time.sleep(60)
    return pid


if __name__ == "__main__":
    for line in sys.stdin:
        exec(line)
        print("done", flush=True)
