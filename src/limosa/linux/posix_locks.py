"""POSIX locks of processes on parts of files, looked at and taken from outside.

Such a lock is of a process (of its table of descriptors), not of a descriptor: closing any descriptor of the file gives
it up. Only a thread of the process can take one. Source: fcntl(2), F_SETLK; proc_locks(5), proc_pid_fdinfo(5).
"""

import os
import struct
from collections.abc import Iterable
from contextlib import suppress

from limosa.linux import process_memory, ptrace
from limosa.linux.ptrace_through import told
from limosa.model.hints import Final
from limosa.model.value import NamedTuple

_SYS_FCNTL: Final = 72
_SETLK: Final = 6
_READ: Final = 0
_WRITE: Final = 1
_FLOCK: Final = struct.Struct("@hhqqi4x")  # struct flock: kind, from where, first byte, bytes, pid


class Lock(NamedTuple):
    """A lock on a part of a file."""

    exclusive: bool
    first: int
    size_bytes: int  # 0: to the file's end, wherever that is


class HeldLock(NamedTuple):
    """A lock that a process has."""

    pid: int  # in the caller's pid namespace
    file: str  # what tells the file from others: device and inode number
    lock: Lock


def everybodys() -> list[HeldLock]:
    """Return all that processes in this pid namespace have."""
    with open("/proc/locks", encoding="ascii", errors="replace") as file:
        return _parsed(file)


def waiting() -> dict[int, str]:
    """Return which processes in this pid namespace wait for a lock on a file, POSIX or flock(2), and on which file."""
    with open("/proc/locks", encoding="ascii", errors="replace") as file:
        lines = [line.split() for line in file if "->" in line]
    return {int(fields[5]): fields[6] for fields in lines}


def of_descriptor(pid: int, descriptor: int) -> list[HeldLock]:
    """Return those that a process has taken by what a descriptor of it names.

    Raises: OSError: it is gone, or has none of that number.
    """
    with open(f"/proc/{pid}/fdinfo/{descriptor}", encoding="ascii", errors="replace") as file:
        return _parsed(line.removeprefix("lock:") for line in file if line.startswith("lock:"))


def by_descriptor(pid: int) -> dict[HeldLock, int]:
    """Return those that a process has, each with a descriptor by which it was taken. Raises: OSError: it is gone."""
    found = {}
    for number in map(int, os.listdir(f"/proc/{pid}/fd")):
        with suppress(FileNotFoundError):  # closed meanwhile
            found.update(dict.fromkeys(of_descriptor(pid, number), number))
    return found


def _parsed(lines: Iterable[str]) -> list[HeldLock]:
    found = []
    for line in lines:
        fields = line.split()
        if fields[1:2] == ["POSIX"]:  # of those that wait the second field is "->"
            kind, pid, file, first, last = fields[3:8]
            size_bytes = 0 if last == "EOF" else int(last) - int(first) + 1
            found.append(HeldLock(int(pid), file, Lock(kind == "WRITE", int(first), size_bytes)))
    return found


def take(thread: ptrace.StoppedThread, page: int, descriptor: int, lock: Lock) -> None:
    """Let a thread take a lock for its process without waiting; `page` is memory of it that nobody else uses.

    Raises: OSError: EAGAIN, EACCES: another process has one that excludes it; EBADF: it has no such descriptor, or not
    for this.
    """
    kind = _WRITE if lock.exclusive else _READ
    process_memory.write(thread.tid, page, _FLOCK.pack(kind, 0, lock.first, lock.size_bytes, 0))
    told(thread.call(_SYS_FCNTL, descriptor, _SETLK, page))
