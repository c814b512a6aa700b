"""Private copies of processes' memory, made while they stand still: room for them is there before."""

import mmap
import os
from array import array

from limosa.linux import process_memory
from limosa.model.hints import Final

_SLACK_BYTES: Final = 4 << 20
_HUGE_BYTES: Final = 2 << 20
_SHARE: Final = 4  # at most this part of what is free; more goes to a file


class Copies:
    """Room for copies, and what is in it."""

    def __init__(self, scratch: str) -> None:
        """`scratch` is a directory for what memory has no room for."""
        self._scratch = scratch
        self._room = memoryview(b"")

    def make_room(self, size_bytes: int) -> None:
        """Have room for about `size_bytes`, so that no page of it has to be found while everything stands still."""
        if len(self._room) < size_bytes:
            self._room = self._new(size_bytes + size_bytes // 4 + _SLACK_BYTES)

    def _new(self, size_bytes: int) -> memoryview:
        size_bytes = -(-size_bytes // _HUGE_BYTES) * _HUGE_BYTES
        if size_bytes <= _available_bytes() // _SHARE:
            room = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            _try_advice(room, mmap.MADV_HUGEPAGE)
            _try_advice(room, 23)  # MADV_POPULATE_WRITE, Linux 5.14
            return memoryview(room)
        descriptor = os.open(self._scratch, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, size_bytes)
            return memoryview(mmap.mmap(descriptor, size_bytes))
        finally:
            os.close(descriptor)

    def take(self, pid: int, starts: "array[int]", ends: "array[int]") -> memoryview:
        """Return a copy of ranges of a process's memory, one after the other. Raises: as `read_ranges`."""
        size_bytes = sum(ends) - sum(starts)
        if size_bytes > len(self._room):
            self._room = self._new(size_bytes)
        content, self._room = self._room[:size_bytes], self._room[size_bytes:]
        process_memory.read_ranges(pid, starts, ends, content)
        return content


def _try_advice(room: mmap.mmap, advice: int) -> None:
    try:
        room.madvise(advice)
    except OSError:
        pass  # only faster


def _available_bytes() -> int:
    with open("/proc/meminfo", encoding="ascii") as file:
        return next((int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable")), 0)
