"""A program whose memory never stays where it is: threads map, write, move, cut, protect and give back.

What each page has to contain is known from the page's place and the area's seed, and is checked all the time.
"""

import ctypes
import os
import random
import sys
import threading
import time
import traceback

PAGE = 4096
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = libc.mremap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
libc.mremap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p]
libc.madvise.argtypes = libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
FAILED = ctypes.c_void_p(-1).value
NONE, READ, RW = 0, 1, 3
PRIVATE, ANONYMOUS, DROPPABLE, GROWSDOWN, NORESERVE = 2, 32, 8, 0x100, 0x4000
ADVICE = {
    "dontneed": 4,
    "free": 8,
    "dontfork": 10,
    "hugepage": 14,
    "nohugepage": 15,
    "dontdump": 16,
    "pageout": 21,
    "guard": 102,
}  # not MADV_WIPEONFORK, which a rewind wipes
UNGUARD = 103


def map_area(pages, flags=0, descriptor=-1):
    kind = (0 if flags & DROPPABLE else PRIVATE) | flags | (ANONYMOUS if descriptor < 0 else 0)
    return libc.mmap(None, pages * PAGE, RW, kind, descriptor, 0)


class Area:
    """A few pages to many, and what was written to each that has something of its own."""

    def __init__(self, rng, kind):
        self.rng, self.kind = rng, kind
        self.pages = rng.choice((1, 3, 16, 64, 700, 1500))
        self.seeds = {}
        self.protection = RW
        self.file = -1
        if kind == "file":
            self.file = os.open("/srv", os.O_TMPFILE | os.O_RDWR)
        if kind == "memfd":
            self.file = os.memfd_create("area")
        if self.file >= 0:
            os.ftruncate(self.file, self.pages * PAGE)
        self.at = map_area(self.pages, FLAGS.get(kind, 0), self.file)
        assert self.at != FAILED, (kind, ctypes.get_errno())

    def give_back(self):
        if self.pages:
            libc.munmap(self.at, self.pages * PAGE)
        if self.file >= 0:
            os.close(self.file)

    def write(self, page, seed):
        ctypes.memset(self.at + page * PAGE, 0, 8)
        ctypes.memmove(self.at + page * PAGE, seed.to_bytes(8, "little") * 8, 64)
        self.seeds[page] = seed

    def part(self):
        first = self.rng.randrange(self.pages)
        return first, self.rng.randint(1, self.pages - first)

    def check(self):
        if self.protection == NONE or self.kind == "droppable":
            return
        for page, seed in self.seeds.items():
            found = ctypes.string_at(self.at + page * PAGE, 64)
            if found != seed.to_bytes(8, "little") * 8:
                print(f"WRONG {self.kind} {self.at:#x} page {page} of {self.pages}: {self.last}", flush=True)
                os._exit(66)

    def forget(self, first, count):
        self.seeds = {page: seed for page, seed in self.seeds.items() if not first <= page < first + count}

    def step(self):
        """Do something to it."""
        what = self.rng.choice(STEPS)
        self.last = [*self.last[-12:], what]
        getattr(self, what, self.advise)()

    last = ()

    def scatter(self):
        if self.protection == RW:
            step, seed = self.rng.choice((1, 2, 2, 3, 7)), self.rng.getrandbits(60)
            for page in range(self.rng.randrange(step), self.pages, step):
                self.write(page, seed + page)

    def grow(self):
        more = self.rng.choice((1, 60))
        if self.file < 0:
            found = libc.mremap(self.at, self.pages * PAGE, (self.pages + more) * PAGE, 1, None)
            if found != FAILED:
                self.at, self.pages = found, self.pages + more

    def move(self):
        place = libc.mmap(None, self.pages * PAGE, NONE, PRIVATE | ANONYMOUS, -1, 0)
        found = libc.mremap(self.at, self.pages * PAGE, self.pages * PAGE, 3, place)
        if found != FAILED:  # it is not where its parts are of different kinds
            self.at = found

    def protect(self):
        self.protection = self.rng.choice((NONE, READ, RW, RW))
        libc.mprotect(self.at, self.pages * PAGE, self.protection)

    def cut(self):
        count = self.rng.randint(1, self.pages)
        self.pages -= count
        self.forget(self.pages, count)
        libc.munmap(self.at + self.pages * PAGE, count * PAGE)

    def protect_part(self):
        first, count = self.part()
        if self.protection == RW:
            libc.mprotect(self.at + first * PAGE, count * PAGE, NONE)
            self.pause()
            libc.mprotect(self.at + first * PAGE, count * PAGE, RW)

    def cut_file(self):
        if self.file >= 0:
            pages = os.fstat(self.file).st_size // PAGE
            first = self.rng.randrange(pages)
            self.forget(first, pages)
            os.ftruncate(self.file, first * PAGE)
            self.pause()
            os.ftruncate(self.file, pages * PAGE)

    def advise(self):
        what = self.last[-1]
        if what == "guard" and self.file >= 0:
            return  # Linux 6.18 never ends with that where pages of a file were marked (docs/adr/0032)
        first, count = self.part()
        if what in ("dontneed", "free", "guard"):
            self.forget(first, count)
        libc.madvise(self.at + first * PAGE, count * PAGE, ADVICE[what])
        if what == "guard":
            self.pause()
            libc.madvise(self.at + first * PAGE, count * PAGE, UNGUARD)

    def pause(self):
        time.sleep(self.rng.random() / 30)


STEPS = ("scatter",) * 8 + ("grow", "move", "protect", "protect", "cut", "protect_part", "cut_file", *ADVICE)
FLAGS = {"droppable": DROPPABLE, "growsdown": GROWSDOWN, "noreserve": NORESERVE}


def move(number, kinds):
    """Have twelve areas, and something done to one of them again and again."""
    rng = random.Random()
    areas = []
    while True:
        if len(areas) < 12:
            areas.append(Area(rng, rng.choice(kinds)))
            areas[-1].scatter()
        area = rng.choice(areas)
        area.check()
        area.step()
        if not area.pages or rng.random() < 0.01:
            area.give_back()
            areas.remove(area)
        done[number] += 1
        time.sleep(0.002)


def whole(number, kinds):
    """The program ends if one of its threads does."""
    try:
        move(number, kinds)
    finally:
        traceback.print_exc()
        os._exit(67)


done = [0, 0]
for each in range(len(done)):
    threading.Thread(target=whole, args=(each, sys.argv[1].split(",")), daemon=True).start()
while True:
    time.sleep(0.05)
    with open("/srv/done.new", "w", encoding="ascii") as shown:
        shown.write(str(min(done)))
    os.rename("/srv/done.new", "/srv/done")
