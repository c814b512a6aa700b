"""Read a container's log as one stream, across starts, restores and rotations, and follow it."""

import os
import select
import time
from collections.abc import Callable, Generator, Iterator

from limosa.linux import inotify
from limosa.model import console_log
from limosa.model.console_log import Entry
from limosa.model.hints import Final
from limosa.ports.runtime import Started

_BLOCK_BYTES: Final = 1 << 16
_SETTLE_STEPS: Final = 100
_SETTLE_STEP_SECONDS: Final = 0.05


def entries(path: str) -> Iterator[Entry]:
    """Return what was printed so far. Nothing was, if there is no log."""
    try:
        with open(path, "rb") as file:
            for line in file:
                found = console_log.entry(line)
                if found is not None:
                    yield found
    except FileNotFoundError:
        return


def follow(path: str, started_of: Callable[[], Started | None]) -> Iterator[Entry | None]:
    """Return what was printed so far, then what is printed until the container has ended; see the port."""
    while True:
        monitor = _monitor(started_of)
        if monitor is None:
            yield from entries(path)
            return
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # nothing was printed yet
            select.select([monitor], [], [], _SETTLE_STEP_SECONDS)
            os.close(monitor)
            yield None
            continue
        watch = inotify.watch(path)
        try:
            again = yield from _followed(path, descriptor, watch, monitor, started_of)
        finally:
            os.close(descriptor)
            os.close(watch)
        if not again:
            return


def _followed(
    path: str, descriptor: int, watch: int, monitor: int | None, started_of: Callable[[], Started | None]
) -> Generator[Entry | None, None, bool]:
    """Return the entries of one file; the generator's value says whether the log goes on in another file."""
    rest = b""
    while True:
        while data := os.read(descriptor, _BLOCK_BYTES):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                found = console_log.entry(line)
                if found is not None:
                    yield found
        yield None
        if monitor is None:
            return False
        if _replaced(path, descriptor):
            os.close(monitor)
            return True
        poll = select.poll()
        poll.register(monitor, select.POLLIN)
        poll.register(watch, select.POLLIN)
        happened = [number for number, _ in poll.poll()]
        if watch in happened:
            os.read(watch, _BLOCK_BYTES)
        if monitor in happened:
            os.close(monitor)
            # It may have been started anew; if not, what it printed last is read once more.
            monitor = _monitor(started_of)


def _monitor(started_of: Callable[[], Started | None]) -> int | None:
    """Return a descriptor that is readable when the monitor, and so the log, has ended; None: nothing runs."""
    steps = 0
    while steps < _SETTLE_STEPS:
        started = started_of()
        if started is None:
            return None
        # Without a monitor it waits for its next start; with one that has ended, the command that settles is at work.
        steps += started.monitor_pid != 0
        try:
            return os.pidfd_open(started.monitor_pid or -1)
        except OSError:
            time.sleep(_SETTLE_STEP_SECONDS)
    return None


def _replaced(path: str, descriptor: int) -> bool:
    try:
        return os.stat(path).st_ino != os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False
