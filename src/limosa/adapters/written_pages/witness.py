"""All private memory of a process, found without marks: what a commit is held against in the checked mode."""

import os
from array import array
from collections.abc import Sequence

from limosa.adapters.written_pages.copies import Copies
from limosa.linux import pagemap, process, process_memory
from limosa.model.hints import Final
from limosa.ports.written_pages import ProcessMemory

_PAGE_BYTES: Final = 4096
_IN_MEMORY: Final = pagemap.PRESENT | pagemap.SWAPPED
_NOT_OWN: Final = pagemap.FILE | pagemap.GUARD


def ranges(pid: int, mark: int) -> "array[int]":
    """Return first byte, end, and whether it has the flag `mark`, of each range of memory that is a process's own.

    Raises: ProcessLookupError: it has none any more.
    """
    found: array[int] = array("Q")
    descriptor = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    try:
        for mapping in process_memory.mappings(pid):
            if not mapping.of_program:
                continue
            for first in range(mapping.first, mapping.end, pagemap.PART_PAGES * _PAGE_BYTES):
                end = min(mapping.end, first + pagemap.PART_PAGES * _PAGE_BYTES)
                _add(found, first, pagemap.entries(descriptor, first, end), mark)
    finally:
        os.close(descriptor)
    return found


def _add(found: "array[int]", first: int, flags: "array[int]", mark: int) -> None:
    address = first
    for flag in flags:
        if flag & _IN_MEMORY and not flag & _NOT_OWN and not pagemap.is_marker(flag):
            marked = 1 if flag & mark else 0
            if found and found[-2] == address and found[-1] == marked:
                found[-2] = address + _PAGE_BYTES
            else:
                found.extend((address, address + _PAGE_BYTES, marked))
        address += _PAGE_BYTES


def taken(checked: bool, pids: Sequence[int], copies: Copies) -> list[ProcessMemory]:
    """Return a copy of everything that processes have, in the checked mode."""
    return [memory for pid in pids if (memory := _whole(pid, copies)) is not None] if checked else []


def _whole(pid: int, copies: Copies) -> ProcessMemory | None:
    try:
        found = ranges(pid, 0)
        droppable = process_memory.flagged_ranges(pid, ("dp",))  # what nobody may rely on is in no dump
    except ProcessLookupError:
        return None
    kept: array[int] = array("Q")
    for at in range(0, len(found), 3):
        first, end = found[at : at + 2]
        if not any(first < other + size_bytes and other < end for other, size_bytes in droppable):
            kept.extend((first, end, 0))
    content = copies.take(pid, kept[0::3], kept[1::3])
    return ProcessMemory(process.pid_inside(pid), kept, content, since_parent=False)
