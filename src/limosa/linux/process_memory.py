"""Memory of other processes, by its mappings. Source: proc_pid_smaps(5), proc_pid_mem(5), process_vm_readv(2)."""

import errno
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from limosa.linux import libc
from limosa.model.hints import TYPE_CHECKING, Final
from limosa.model.value import NamedTuple

if TYPE_CHECKING:
    from array import array

_PAGE_BYTES: Final = 4096
_BLOCK_BYTES: Final = 1 << 20
_IOV_MAX: Final = 1024
_OF_THE_KERNEL: Final = ("[vdso]", "[vvar]", "[vvar_vclock]", "[vsyscall]", "[uprobes]")
_HUGE_FILE: Final = "/anon_hugepage"


class Mapping(NamedTuple):
    """One mapping of a process."""

    first: int
    end: int
    private: bool
    name: str  # a path, or what the kernel calls it

    @property
    def of_program(self) -> bool:
        """Say whether it is private memory that the program fills, in pages of 4096 bytes."""
        return self.private and self.name not in _OF_THE_KERNEL and not self.name.startswith(_HUGE_FILE)


def mappings(pid: int) -> list[Mapping]:
    """Return the mappings of a process, in order. Raises: ProcessLookupError: it is gone. Source: proc_pid_maps(5)."""
    found = []
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
            for line in file:
                span, mode, _, _, _, *name = line.rstrip("\n").split(maxsplit=5)
                first, _, end = span.partition("-")
                found.append(Mapping(int(first, 16), int(end, 16), mode[3] == "p", name[0] if name else ""))
    except FileNotFoundError as gone:
        raise ProcessLookupError(f"no process {pid}") from gone
    return found


def read_ranges(pid: int, starts: "array[int]", ends: "array[int]", into: memoryview) -> None:
    """Read ranges of a process's memory, one after the other, whatever their protection.

    Raises: ProcessLookupError: it is gone; OSError: EIO or EFAULT: a part of it is not there. `into` is filled in part.
    """
    import ctypes
    from array import array

    readv = libc.loaded().process_vm_readv
    readv.restype = ctypes.c_ssize_t
    readv.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong]
    lengths = array("Q", map(int.__sub__, ends, starts))
    remote = array("Q", bytes(16 * len(starts)))
    remote[0::2], remote[1::2] = starts, lengths
    address = ctypes.addressof(ctypes.c_char.from_buffer(into)) if len(into) else 0
    done = 0
    for at in range(0, len(starts), _IOV_MAX):
        wanted = sum(lengths[at : at + _IOV_MAX])
        local = array("Q", (address + done, wanted))
        count = min(_IOV_MAX, len(starts) - at)
        place = remote.buffer_info()[0] + 16 * at
        if readv(pid, local.buffer_info()[0], 1, place, count, 0) != wanted:
            # It stops at what the program itself may not read, and at 2 GiB.
            _read_forced(pid, starts[at : at + count], lengths[at : at + count], into[done : done + wanted])
        done += wanted


def _read_forced(pid: int, starts: "array[int]", lengths: "array[int]", into: memoryview) -> None:
    with _opened(pid, os.O_RDONLY) as descriptor:
        done = 0
        for start, length in zip(starts, lengths, strict=True):
            end = done + length
            while done < end:
                got = os.preadv(descriptor, [into[done:end]], start + length - (end - done))
                if got == 0:
                    raise ProcessLookupError(f"process {pid} has ended")
                done += got


def read(pid: int, first: int, size_bytes: int) -> bytes:
    """Return a part of a process's memory, whatever its protection.

    Raises: ProcessLookupError: it has ended; OSError: EIO: a part of it is not there.
    """
    with _opened(pid, os.O_RDONLY) as memory:
        return _whole(os.pread(memory, size_bytes, first), size_bytes)


def write(pid: int, first: int, data: bytes) -> None:
    """Write over a part of a process's memory, whatever its protection. Raises: as `read`; a part is written then."""
    with _opened(pid, os.O_WRONLY) as memory:
        _whole(data[: os.pwrite(memory, data, first)], len(data))


def _whole(done: bytes, size_bytes: int) -> bytes:
    if not done and size_bytes:
        raise ProcessLookupError(errno.ESRCH, "it has ended")
    if len(done) != size_bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    return done


@contextmanager
def _opened(pid: int, flags: int) -> Iterator[int]:
    try:
        descriptor = os.open(f"/proc/{pid}/mem", flags | os.O_CLOEXEC)
    except FileNotFoundError as gone:
        raise ProcessLookupError(errno.ESRCH, f"no process {pid}") from gone
    try:
        yield descriptor
    finally:
        os.close(descriptor)


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
    """Write zeros over a range of a process's memory, whatever its protection. Raises: OSError.

    Where nobody can write, since a guard page or nothing is there (EIO), nothing is to be wiped either.
    """
    zeros = bytes(min(size_bytes, _BLOCK_BYTES))
    with _opened(pid, os.O_WRONLY) as descriptor:
        done = 0
        while done < size_bytes:
            try:
                done += os.pwrite(descriptor, zeros[: size_bytes - done], first + done)
            except OSError as failed:
                if failed.errno != errno.EIO:
                    raise
                done += _PAGE_BYTES  # a write ends before such a page, or begins with it
