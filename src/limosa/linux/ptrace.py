"""Let a thread of another process make system calls for us, in a stop that it does not notice. Source: ptrace(2).

The thread is seized and interrupted, not sent a signal: a system call that it sleeps in is restarted by the kernel, and
a stopped job stays stopped. Its signals wait meanwhile. The calls are made with PTRACE_SYSCALL and not by single steps:
for the trap of a step the kernel takes SIG_IGN away from a program that ignores SIGTRAP.
A restartable sequence in which it was stopped is put back before it goes on: the kernel forgets one when the thread is
somewhere else on its way to user mode, and would not send it to the sequence's beginning then.
"""

import ctypes
import errno
import os
import signal
import struct
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from limosa.linux import libc, process_memory
from limosa.model.hints import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    import socket

_libc = libc.loaded()
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
_GET_RSEQ: Final = 0x420F
_O_TRACESYSGOOD: Final = 1
_O_SUSPEND_SECCOMP: Final = 1 << 21
_EVENT_STOP: Final = 128
_SIGTRAP: Final = 5
_AT_CALL: Final = _SIGTRAP | 0x80
_INTERRUPTED: Final = _SIGTRAP | _EVENT_STOP << 8
WALL: Final = 0x40000000
_EVERY_SIGNAL: Final = b"\xff" * 8
_CODE_64: Final = 0x33  # the code segment of 64-bit programs

# struct user_regs_struct of x86-64, by position.
_REGISTERS: Final = struct.Struct("=27Q")
_RAX, _ORIG_RAX, _RIP, _CS = 10, 15, 16, 17
_ARGUMENTS: Final = (14, 13, 12, 7, 9, 8)  # rdi, rsi, rdx, r10, r8, r9
_NO_CALL: Final = (1 << 64) - 1
_GOES_ON_BY_ITSELF: Final = (1 << 64) - 516  # ERESTART_RESTARTBLOCK
_BEGUN_ANEW: Final = (1 << 64) - 513  # ERESTARTNOINTR
_SYS_NANOSLEEP: Final = 35
_SYS_FUTEX: Final = 202
_SYS_CLOCK_NANOSLEEP: Final = 230
_WAIT_UNTIL: Final = 9  # FUTEX_WAIT_BITSET, which has a deadline
_WAIT_FLAGS: Final = 128 | 256
_INSTRUCTION: Final = b"\x0f\x05"  # syscall
_RSEQ: Final = struct.Struct("=QIIII")  # struct ptrace_rseq_configuration: where struct rseq is, …
_RSEQ_SEQUENCE: Final = 8  # in struct rseq: the sequence that the thread is in

_ERROR: Final = struct.Struct("<i")
_MOST_TEXT_BYTES: Final = 1000
_MOST_ANSWER_BYTES: Final = _ERROR.size + _MOST_TEXT_BYTES
_MOST_DESCRIPTORS: Final = 1

STOP_LIMIT_S: Final = 1.0


def begun_anew(registers: bytes) -> bytes:
    """Return the registers with which a sleep that a stop interrupted is begun anew for what is left of it.

    The kernel would let it go on by restart_syscall(2), and if it is interrupted again nobody can tell any more what
    goes on: criu ends it with EINTR. See adapters/criu/for_dumps.c, which does the same in a dump.
    """
    values = list(_REGISTERS.unpack(registers))
    if values[_RAX] != _GOES_ON_BY_ITSELF or values[_CS] != _CODE_64:
        return registers
    first, second, third, fourth = _ARGUMENTS[:4]
    call = values[_ORIG_RAX]
    if call == _SYS_NANOSLEEP and values[second]:
        values[first] = values[second]
    elif call == _SYS_CLOCK_NANOSLEEP and values[fourth]:
        values[third] = values[fourth]
    elif call != _SYS_FUTEX or values[second] & ~_WAIT_FLAGS != _WAIT_UNTIL:
        return registers
    values[_RAX] = _BEGUN_ANEW
    return _REGISTERS.pack(*values)


class NotStopped(OSError):
    """The thread cannot be stopped now, or cannot be made to call: it sleeps uninterruptibly, or is not of 64 bits."""


class StoppedThread(ABC):
    """A thread that stands still and calls for us. How its tracer is asked, and what is left of it, is a subclass's."""

    def __init__(self, tid: int, deadline_s: float) -> None:
        self.tid = tid
        self._deadline_s = deadline_s
        self._place = 0
        self._mask, self._registers = b"", b""
        self._sequence: tuple[int, bytes] | None = None

    @abstractmethod
    def _get(self, request: int, size: int, address: int = 0) -> bytes:
        """Make a request that fills a buffer of `size` bytes."""

    @abstractmethod
    def _set(self, request: int, data: bytes, address: int = 0) -> None:
        """Make a request that takes a buffer."""

    @abstractmethod
    def _go_on(self, request: int, number: int = 0) -> None:
        """Let it go on until its next stop, with signal `number` or, for 0, without one."""

    @abstractmethod
    def _status(self) -> int | None:
        """Return the status of a new stop, or end, if there is one."""

    def keep(self) -> None:
        """Keep what the thread was doing. Raises: NotStopped: it is no 64-bit program, or has no way to make a call."""
        self._registers = self._get(_GETREGS, _REGISTERS.size)
        if _REGISTERS.unpack(self._registers)[_CS] != _CODE_64:
            raise NotStopped(errno.ENOEXEC, "it is no 64-bit program")
        self._place = instruction(self.tid)  # now: until it stood still it could become another program
        self._sequence = self._restartable()
        self._mask = self._get(_GETSIGMASK, 8, 8)
        self._set(_SETSIGMASK, _EVERY_SIGNAL, 8)

    def put_back(self) -> None:
        self._set(_SETREGS, begun_anew(self._registers))
        if self._sequence is not None:
            process_memory.write(self.tid, *self._sequence)
        self._set(_SETSIGMASK, self._mask, 8)

    def _restartable(self) -> tuple[int, bytes] | None:
        """Return where the thread names the sequence that it is in, and which; None if it is in none."""
        try:
            first = _RSEQ.unpack(self._get(_GET_RSEQ, _RSEQ.size, _RSEQ.size))[0]
        except OSError as failed:
            if failed.errno != errno.EIO:  # Linux before 5.13, or one without such sequences
                raise
            return None
        if not first:
            return None
        try:
            named = process_memory.read(self.tid, first + _RSEQ_SEQUENCE, 8)
        except OSError:  # it took that memory away; the kernel ends a thread that needs it
            return None
        return (first + _RSEQ_SEQUENCE, named) if any(named) else None

    def call(self, number: int, *arguments: int) -> int:
        """Make the thread call and return what the kernel said, a negative error number for a failure."""
        registers = list(_REGISTERS.unpack(self._registers))
        registers[_RAX], registers[_ORIG_RAX], registers[_RIP] = number, _NO_CALL, self._place
        for position, argument in zip(_ARGUMENTS, arguments, strict=False):
            registers[position] = argument % (1 << 64)
        self._set(_SETREGS, _REGISTERS.pack(*registers))
        for _ in ("entry", "exit"):
            self._go_on(_SYSCALL)
            self._wait(_AT_CALL)
        result: int = _REGISTERS.unpack(self._get(_GETREGS, _REGISTERS.size))[_RAX]
        return result - (1 << 64) if result >> 63 else result

    def _wait(self, wanted: int) -> None:
        pause_s = 20e-6
        while True:
            status = self._status()
            if status is None:
                if time.monotonic() > self._deadline_s:
                    raise NotStopped(errno.ETIMEDOUT, "it sleeps uninterruptibly")
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, 0.01)
                continue
            if not os.WIFSTOPPED(status):
                raise ProcessLookupError(errno.ESRCH, "it has ended")
            if status >> 8 == wanted or (wanted >> 8 and status >> 16 == _EVENT_STOP):
                return
            # A stop of the job is only told, and lasts after we are gone.
            self._go_on(_CONT if wanted >> 8 else _SYSCALL, self._met(0 if status >> 16 else status >> 8))

    def _met(self, number: int) -> int:
        """Return which signal is to be delivered to it where one came in between, 0 for none."""
        return number


class _OwnThread(StoppedThread):
    """A thread that this one traces. It goes on when it is left."""

    def _get(self, request: int, size: int, address: int = 0) -> bytes:
        buffer = ctypes.create_string_buffer(size)
        _ptrace(request, self.tid, address, ctypes.addressof(buffer))
        return buffer.raw

    def _set(self, request: int, data: bytes, address: int = 0) -> None:
        buffer = ctypes.create_string_buffer(data, len(data))
        _ptrace(request, self.tid, address, ctypes.addressof(buffer))

    def _go_on(self, request: int, number: int = 0) -> None:
        _ptrace(request, self.tid, 0, number)

    def _status(self) -> int | None:
        found, status = os.waitpid(self.tid, WALL | os.WNOHANG)
        return status if found else None

    def enter(self) -> None:
        _ptrace(_INTERRUPT, self.tid)
        self._wait(_INTERRUPTED)
        try:
            self.keep()
        except OSError:
            _ptrace(_DETACH, self.tid)
            raise

    def call(self, number: int, *arguments: int) -> int:
        result = super().call(number, *arguments)
        # At the exit of a call a thread would not look for a call to restart: stop it once more, where it does.
        _ptrace(_INTERRUPT, self.tid)
        _ptrace(_CONT, self.tid)
        self._wait(_INTERRUPTED)
        return result

    def leave(self) -> None:
        self.put_back()
        _ptrace(_DETACH, self.tid)

    def pass_by(self) -> None:
        _ptrace(_INTERRUPT, self.tid)
        self._wait(_INTERRUPTED)
        registers = self._get(_GETREGS, _REGISTERS.size)
        if (anew := begun_anew(registers)) != registers:
            self._set(_SETREGS, anew)
        _ptrace(_DETACH, self.tid)


def pass_by(tid: int) -> None:
    """Return once a thread was seen between two system calls: what it was doing in the kernel is done, or begun anew.

    Signals that it gets meanwhile it gets afterwards.
    Raises: as `stopped`.
    """
    _ptrace(_SEIZE, tid)
    _OwnThread(tid, time.monotonic() + STOP_LIMIT_S).pass_by()


@contextmanager
def stopped(tid: int, limit_s: float = STOP_LIMIT_S) -> Iterator[StoppedThread]:
    """Give a thread that stands still; at the end of the `with` block it goes on as if nothing had been.

    Its seccomp filter is not asked about what it is made to call. All of it may take `limit_s`.
    Raises: ProcessLookupError: it has ended; NotStopped: as it says; PermissionError: it may not be traced, or somebody
    else traces it. It goes on then; after NotStopped only once the calling thread, its tracer, has ended.
    """
    _ptrace(_SEIZE, tid, 0, _O_TRACESYSGOOD | _O_SUSPEND_SECCOMP)
    thread = _OwnThread(tid, time.monotonic() + limit_s)
    thread.enter()
    try:
        yield thread
    finally:
        try:
            thread.leave()
        except ProcessLookupError:
            pass  # killed


def by_child(work: Callable[[], Sequence[int]]) -> list[int]:
    """Let a child of this process stop threads; return its duplicates of the descriptors that `work` returns.

    A thread that is left in a call that is not its own takes its program down, and this process may be killed at any
    moment; the child goes on then, and takes no signal that a terminal sends. What it could not stop is let go at its
    end. Raises: OSError as `work` does; ECHILD: the child was killed.
    """
    import socket

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        child = os.fork()
        if child == 0:
            _work(work, theirs)
        theirs.close()
        answer, descriptors, _, _ = socket.recv_fds(ours, _MOST_ANSWER_BYTES, _MOST_DESCRIPTORS)
    os.waitpid(child, 0)
    (number,) = _ERROR.unpack_from(answer) if answer else (errno.ECHILD,)
    if number:
        raise OSError(number, answer[_ERROR.size :].decode(errors="replace") or os.strerror(number))
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return list(descriptors)


def _work(work: Callable[[], Sequence[int]], to: "socket.socket") -> NoReturn:
    import socket

    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        os.setsid()
        socket.send_fds(to, [_ERROR.pack(0)], list(work()))
    except OSError as failed:
        to.send(_ERROR.pack(failed.errno or errno.EIO) + (failed.strerror or str(failed)).encode()[:_MOST_TEXT_BYTES])
    finally:
        os._exit(0)


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
        libc.failed("", f"ptrace {request:#x} of {tid}")
