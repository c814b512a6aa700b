"""Let a thread that another process traces make system calls for us, by having its tracer see to it.

A thread has one tracer. Where that is another process, and it waits for us, it is made to make the requests: it is
stopped itself (`ptrace.stopped`) and calls ptrace(2) and wait4(2). What they read and write passes through a page that
it maps for this time. Source: ptrace(2), wait(2).
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from limosa.linux import process_memory, ptrace
from limosa.model.hints import Final

_SYS_MMAP: Final = 9
_SYS_MUNMAP: Final = 11
_SYS_WAIT4: Final = 61
_SYS_PTRACE: Final = 101
_READ_WRITE: Final = 3
_PRIVATE_ANONYMOUS: Final = 0x22
_PAGE_BYTES: Final = 4096
_STATUS_BYTES: Final = 4


@contextmanager
def scratch(thread: ptrace.StoppedThread) -> Iterator[int]:
    """Give a page of a thread's memory for what it passes to the kernel, for the time of a `with` block."""
    page = told(thread.call(_SYS_MMAP, 0, _PAGE_BYTES, _READ_WRITE, _PRIVATE_ANONYMOUS, -1, 0))
    try:
        yield page
    finally:
        thread.call(_SYS_MUNMAP, page, _PAGE_BYTES)


def told(result: int) -> int:
    """Return what a call returned. Raises: OSError: it failed."""
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return result


class Tracer:
    """A process that is made to trace for us."""

    def __init__(self, thread: ptrace.StoppedThread, page: int, deadline_s: float) -> None:
        self._thread, self._page, self._deadline_s = thread, page, deadline_s

    def request(self, request: int, tid: int, address: int, data: int) -> None:
        """Make a request of ptrace(2). Raises: OSError."""
        told(self._thread.call(_SYS_PTRACE, request, tid, address, data))

    def get(self, request: int, tid: int, address: int, size: int) -> bytes:
        """Make one that fills a buffer. Raises: OSError."""
        self.request(request, tid, address, self._page)
        return process_memory.read(self._thread.tid, self._page, size)

    def set(self, request: int, tid: int, address: int, data: bytes) -> None:
        """Make one that takes a buffer. Raises: OSError."""
        process_memory.write(self._thread.tid, self._page, data)
        self.request(request, tid, address, self._page)

    def status(self, tid: int) -> int | None:
        """Return the status of a stop or end that nobody was told of yet, None if there is none. Raises: OSError."""
        if not told(self._thread.call(_SYS_WAIT4, tid, self._page, os.WNOHANG | ptrace.WALL, 0)):
            return None
        return int.from_bytes(process_memory.read(self._thread.tid, self._page, _STATUS_BYTES), "little")

    @contextmanager
    def held(self, tid: int) -> Iterator[ptrace.StoppedThread]:
        """Give a thread that the tracer has stopped; at the end of the `with` block it stands as it stood.

        Raises: as `ptrace.stopped`. OSError: ESRCH: the tracer does not hold it, or it was killed.
        """
        thread = _HeldThread(self, tid, self._deadline_s)
        thread.keep()
        try:
            yield thread
        finally:
            try:
                thread.put_back()
            except ProcessLookupError:
                pass  # killed


class _HeldThread(ptrace.StoppedThread):
    def __init__(self, tracer: Tracer, tid: int, deadline_s: float) -> None:
        super().__init__(tid, deadline_s)
        self._tracer = tracer
        self._waiting: set[int] = set()

    def _get(self, request: int, size: int, address: int = 0) -> bytes:
        return self._tracer.get(request, self.tid, address, size)

    def _set(self, request: int, data: bytes, address: int = 0) -> None:
        self._tracer.set(request, self.tid, address, data)

    def _go_on(self, request: int, number: int = 0) -> None:
        self._tracer.request(request, self.tid, 0, number)

    def _status(self) -> int | None:
        return self._tracer.status(self.tid)

    def _met(self, number: int) -> int:
        if number:  # SIGSTOP, which nobody can block: it waited until now, and goes on waiting
            self._waiting.add(number)
        return 0

    def put_back(self) -> None:
        """Let it stand as it stood."""
        super().put_back()
        for number in self._waiting:
            os.kill(self.tid, number)


@contextmanager
def tracing(tracer_pid: int, limit_s: float) -> Iterator[Tracer]:
    """Give a process that traces others as a `Tracer`, for at most `limit_s`; it waits for something meanwhile.

    It must have one thread, and go on with what it does in the kernel when that is begun anew.
    Raises: as `ptrace.stopped`; OSError: ENOMEM: it cannot have another page.
    """
    deadline_s = time.monotonic() + limit_s
    with (
        ptrace.stopped(tracer_pid, limit_s) as thread,
        scratch(thread) as page,
    ):
        yield Tracer(thread, page, deadline_s)
