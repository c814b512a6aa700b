"""Copies of this process that work beside each other, report to it, and wait for its word."""

import os
from collections.abc import Callable, Iterator
from typing import NamedTuple


class Master(NamedTuple):
    """The process that a worker works for, as the worker sees it."""

    reports: int
    word: int

    def report(self, text: str) -> None:
        """Tell it one line. Raises: BrokenPipeError: it is dead."""
        data = memoryview(f"{text}\n".encode())
        while data:
            data = data[os.write(self.reports, data) :]

    def wait(self) -> None:
        """Wait for its word. Raises: EOFError: it is dead."""
        if not os.read(self.word, 1):
            raise EOFError


class _Worker(NamedTuple):
    pid: int
    reports: int
    word: int


class Workers:
    """Those of this process, by the names that it gives them."""

    def __init__(self) -> None:
        self._known: dict[str, _Worker] = {}
        self._unread: dict[str, bytes] = {}

    def begin(self, name: str, work: Callable[[Master], None]) -> None:
        """Start a copy of this process, which must have one thread, that does `work` and ends.

        It has what is open here but the other workers' pipes, so that each notices this process's death.
        Source: fork(2).
        """
        ours, reports = os.pipe()
        word, allows = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                for other in (ours, allows, *(end for one in self._known.values() for end in one[1:])):
                    os.close(other)
                work(Master(reports, word))
                status = 0
            finally:
                os._exit(status)
        os.close(reports)
        os.close(word)
        self._known[name] = _Worker(pid, ours, allows)
        self._unread[name] = b""

    def allow(self, name: str) -> None:
        """Give a worker the word that it waits for, or will wait for. Nothing happens if it has ended."""
        try:
            os.write(self._known[name].word, b".")
        except BrokenPipeError:
            return

    def reports(self) -> Iterator[tuple[str, str | None]]:
        """Return (name, line) of what workers report, as it comes, once at least one has; None: that one has ended."""
        import select

        poll = select.poll()
        for worker in self._known.values():
            poll.register(worker.reports, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll()}
        for name, worker in [(name, one) for name, one in self._known.items() if one.reports in ready]:
            data = os.read(worker.reports, 1 << 16)
            *lines, self._unread[name] = (self._unread[name] + data).split(b"\n")
            for line in lines:
                yield name, line.decode()
            if not data:
                self._end(name)
                yield name, None

    def _end(self, name: str) -> None:
        worker = self._known.pop(name)
        os.close(worker.reports)
        os.close(worker.word)
        os.waitpid(worker.pid, 0)
