"""Memory of other processes, by its mappings. Source: proc_pid_smaps(5), proc_pid_mem(5)."""

import os
from collections.abc import Collection, Iterator
from typing import Final

_BLOCK_BYTES: Final = 1 << 20


def flagged_ranges(pid: int, wanted: Collection[str]) -> list[tuple[int, int]]:
    """Return (first byte, bytes) of the mappings of `pid` that have one of the VmFlags `wanted`, such as "wf".

    Raises: ProcessLookupError: there is no such process.
    """
    try:
        with open(f"/proc/{pid}/smaps", encoding="ascii", errors="replace") as file:
            return list(_flagged(file, wanted))
    except FileNotFoundError as gone:
        raise ProcessLookupError(f"no process {pid}") from gone


def _flagged(lines: Iterator[str], wanted: Collection[str]) -> Iterator[tuple[int, int]]:
    span = ""
    for line in lines:
        key, _, rest = line.partition(" ")
        if key == "VmFlags:":
            if any(flag in wanted for flag in rest.split()):
                first, _, end = span.partition("-")
                yield int(first, 16), int(end, 16) - int(first, 16)
        elif not key.endswith(":"):
            span = key


def fill_with_zeros(pid: int, first: int, size_bytes: int) -> None:
    """Write zeros over a range of a process's memory, whatever its protection. Raises: OSError."""
    zeros = bytes(min(size_bytes, _BLOCK_BYTES))
    descriptor = os.open(f"/proc/{pid}/mem", os.O_WRONLY | os.O_CLOEXEC)
    try:
        done = 0
        while done < size_bytes:
            done += os.pwrite(descriptor, zeros[: size_bytes - done], first + done)
    finally:
        os.close(descriptor)
