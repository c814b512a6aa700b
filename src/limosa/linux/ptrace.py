"""Let a thread of another process make system calls for us, in a stop that it does not notice. Source: ptrace(2).

The thread is seized and interrupted, not sent a signal: a system call that it sleeps in is restarted by the kernel, and
a stopped job stays stopped. Its signals wait meanwhile. The calls are made with PTRACE_SYSCALL and not by single steps:
for the trap of a step the kernel takes SIG_IGN away from a program that ignores SIGTRAP.
"""

import ctypes
import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long

_GETREGS: Final = 12
_SETREGS: Final = 13
_CONT: Final = 7
_DETACH: Final = 17
_SYSCALL: Final = 24
_SEIZE: Final = 0x4206
_INTERRUPT: Final = 0x4207
_GETSIGMASK: Final = 0x420A
_SETSIGMASK: Final = 0x420B
_O_TRACESYSGOOD: Final = 1
_O_SUSPEND_SECCOMP: Final = 1 << 21
_EVENT_STOP: Final = 128
_SIGTRAP: Final = 5
_WALL: Final = 0x40000000
_ALL_SIGNALS: Final = (1 << 64) - 1
_CODE_64: Final = 0x33  # the code segment of 64-bit programs

# struct user_regs_struct of x86-64, by position.
_REGISTERS: Final = 27
_RAX, _ORIG_RAX, _RIP, _CS = 10, 15, 16, 17
_ARGUMENTS: Final = (14, 13, 12, 7, 9, 8)  # rdi, rsi, rdx, r10, r8, r9
_INSTRUCTION: Final = b"\x0f\x05"  # syscall

STOP_LIMIT_S: Final = 1.0


class NotStopped(OSError):
    """The thread cannot be stopped now, or cannot be made to call: it sleeps uninterruptibly, or is not of 64 bits."""


class StoppedThread:
    """A thread that stands still and calls for us."""

    def __init__(self, tid: int, place: int, deadline_s: float) -> None:
        self._tid, self._place, self._deadline_s = tid, place, deadline_s
        self._mask = ctypes.c_uint64()
        self._registers = (ctypes.c_uint64 * _REGISTERS)()

    def enter(self) -> None:
        """Keep what the thread was doing."""
        self._wait(_SIGTRAP | _EVENT_STOP << 8)
        _ptrace(_GETREGS, self._tid, 0, ctypes.addressof(self._registers))
        if self._registers[_CS] != _CODE_64:
            _ptrace(_DETACH, self._tid)
            raise NotStopped(errno.ENOEXEC, "it is no 64-bit program")
        _ptrace(_GETSIGMASK, self._tid, 8, ctypes.addressof(self._mask))
        everything = ctypes.c_uint64(_ALL_SIGNALS)
        _ptrace(_SETSIGMASK, self._tid, 8, ctypes.addressof(everything))

    def call(self, number: int, *arguments: int) -> int:
        """Make the thread call and return what the kernel said, a negative error number for a failure."""
        registers = (ctypes.c_uint64 * _REGISTERS)(*self._registers)
        registers[_RAX], registers[_ORIG_RAX], registers[_RIP] = number, _ALL_SIGNALS, self._place
        for position, argument in zip(_ARGUMENTS, arguments, strict=False):
            registers[position] = argument
        _ptrace(_SETREGS, self._tid, 0, ctypes.addressof(registers))
        for _ in ("entry", "exit"):
            _ptrace(_SYSCALL, self._tid)
            self._wait(_SIGTRAP | 0x80)
        _ptrace(_GETREGS, self._tid, 0, ctypes.addressof(registers))
        # At the exit of a call a thread would not look for a call to restart: stop it once more, where it does.
        _ptrace(_INTERRUPT, self._tid)
        _ptrace(_CONT, self._tid)
        self._wait(_SIGTRAP | _EVENT_STOP << 8)
        return ctypes.c_int64(registers[_RAX]).value

    def leave(self) -> None:
        """Let the thread go on with what it was doing."""
        _ptrace(_SETREGS, self._tid, 0, ctypes.addressof(self._registers))
        _ptrace(_SETSIGMASK, self._tid, 8, ctypes.addressof(self._mask))
        _ptrace(_DETACH, self._tid)

    def _wait(self, wanted: int) -> None:
        _wait(self._tid, wanted, self._deadline_s)


def _wait(tid: int, wanted: int, deadline_s: float) -> None:
    pause_s = 20e-6
    while True:
        found, status = os.waitpid(tid, _WALL | os.WNOHANG)
        if found == 0:
            if time.monotonic() > deadline_s:
                raise NotStopped(errno.ETIMEDOUT, "it sleeps uninterruptibly")
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.01)
            continue
        if not os.WIFSTOPPED(status):
            raise ProcessLookupError(errno.ESRCH, "it has ended")
        if status >> 8 == wanted or (wanted >> 8 and status >> 16 == _EVENT_STOP):
            return
        # A signal that came before is delivered now; a stop of the job is only told, and lasts after we are gone.
        signal = 0 if status >> 16 else status >> 8
        _ptrace(_CONT if wanted >> 8 else _SYSCALL, tid, 0, signal)


def pass_by(tid: int) -> None:
    """Return once a thread was seen between two system calls: what it was doing in the kernel is done, or begun anew.

    Signals that it gets meanwhile it gets afterwards.
    Raises: as `stopped`.
    """
    _ptrace(_SEIZE, tid)
    _ptrace(_INTERRUPT, tid)
    _wait(tid, _SIGTRAP | _EVENT_STOP << 8, time.monotonic() + STOP_LIMIT_S)
    _ptrace(_DETACH, tid)


@contextmanager
def stopped(tid: int, place: int) -> Iterator[StoppedThread]:
    """Give a thread that stands still; at the end of the `with` block it goes on as if nothing had been.

    `place` is the address of a system call instruction in its memory, see `instruction`. Its seccomp filter is not
    asked about what it is made to call.
    Raises: ProcessLookupError: it has ended; NotStopped: as it says; PermissionError: it may not be traced, or somebody
    else traces it. It goes on then; after NotStopped only once the calling thread, its tracer, has ended.
    """
    options = _O_TRACESYSGOOD | _O_SUSPEND_SECCOMP
    _ptrace(_SEIZE, tid, 0, options)
    thread = StoppedThread(tid, place, time.monotonic() + STOP_LIMIT_S)
    _ptrace(_INTERRUPT, tid)
    thread.enter()
    try:
        yield thread
    finally:
        try:
            thread.leave()
        except ProcessLookupError:
            pass  # killed


def instruction(pid: int) -> int:
    """Return the address of a system call instruction in the memory of a process.

    Raises: ProcessLookupError: it has ended; NotStopped: there is none, or this is another kind of machine.
    """
    if os.uname().machine != "x86_64":
        raise NotStopped(errno.ENOEXEC, f"system calls of {os.uname().machine} are not known here")
    try:
        with open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as maps:
            spans = [line.split(maxsplit=5) for line in maps if " r-xp " in line]
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            for fields in sorted(spans, key=lambda fields: not fields[-1].startswith("[vdso]")):
                first, end = (int(part, 16) for part in fields[0].split("-"))
                try:
                    at = os.pread(memory.fileno(), end - first, first).find(_INSTRUCTION)
                except OSError:
                    continue
                if at >= 0:
                    return first + at
    except FileNotFoundError as gone:
        raise ProcessLookupError(f"no process {pid}") from gone
    raise NotStopped(errno.ENOEXEC, "it has no system call instruction")


def _ptrace(request: int, tid: int, address: int = 0, data: int = 0) -> None:
    if _libc.ptrace(request, tid, address, data) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), f"ptrace {request:#x} of {tid}")
