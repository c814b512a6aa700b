"""Pages of files' private mappings that a process has discarded, or that were cut off with their file.

Where such a page was protected the kernel leaves a marker, which a scan tells as swapped out, not written.
"""

import os
from array import array

from limosa.linux import pagemap, process_memory
from limosa.linux.pagemap_scan import SWAPPED


def of_files(pid: int) -> list[tuple[int, int]]:
    """Return first byte and end of each private mapping of a file. Raises: ProcessLookupError."""
    return [(one.first, one.end) for one in process_memory.mappings(pid) if one.private and one.name[:1] == "/"]


def left_out(pid: int, ranges: "array[int]") -> "array[int]":
    """Return `ranges` (first byte, end, categories) without pages of which there is a marker only.

    Where the kernel does not say so they stay. Raises: OSError: the process is gone.
    """
    if SWAPPED not in ranges[2::3]:
        return ranges
    files = of_files(pid)
    kept: array[int] = array("Q")
    descriptor = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    try:
        for at in range(0, len(ranges), 3):
            first, end, categories = ranges[at : at + 3]
            if categories == SWAPPED and any(start < end and first < stop for start, stop in files):
                _add(kept, first, pagemap.entries(descriptor, first, end))
            else:
                kept.extend((first, end, categories))
    finally:
        os.close(descriptor)
    return kept


def _add(kept: "array[int]", first: int, flags: "array[int]") -> None:
    for number, flag in enumerate(flags):
        address = first + number * pagemap.PAGE_BYTES
        if pagemap.is_marker(flag):
            continue
        if kept and kept[-2] == address and kept[-1] == SWAPPED:
            kept[-2] = address + pagemap.PAGE_BYTES
        else:
            kept.extend((address, address + pagemap.PAGE_BYTES, SWAPPED))
