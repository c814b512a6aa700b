"""Copy between a person's streams and a program's, until the program has ended or the person lets go.

The program's side is conmon's attach socket, a pty's master or three pipes (`Wires`); the person's side are this
process's descriptors 0..2.  Input is never written blockingly: a program that does not read must still be heard.
"""

import errno
import os
import select
import signal
from collections.abc import Callable
from contextlib import ExitStack

from limosa.linux import terminal
from limosa.model.detach import KeyMatcher
from limosa.model.hints import Final
from limosa.model.value import NamedTuple
from limosa.ports.runtime import Outcome, Streams

_BLOCK_BYTES: Final = 1 << 16
_FORCED: Final = 3
_PASSED_ON: Final = (
    *(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2),
    *(signal.SIGALRM, signal.SIGCONT, signal.SIGWINCH),
)
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Wires(NamedTuple):
    """The program's side. `forward(descriptor)` copies what is readable and says whether more can come."""

    outputs: tuple[int, ...]
    forward: Callable[[int], bool]
    input_fd: int  # -1: there is none
    send: Callable[[bytes], int]  # returns how much was taken; raises BlockingIOError, or OSError: nobody reads
    finish_input: Callable[[], None]
    resize: Callable[[int, int], None]
    signal: Callable[[int], None]  # to the program
    ended_fd: int = -1  # readable when the program has ended, though others may hold its outputs open


def run(wires: Wires, streams: Streams) -> Outcome:
    """Copy until one side is done. The caller's terminal is raw meanwhile and as before afterwards."""
    with ExitStack() as undo:
        signals = undo.enter_context(terminal.signals_as_bytes(_PASSED_ON))
        raw = streams.terminal and streams.stdin and os.isatty(0)
        if raw:
            undo.enter_context(terminal.raw(0))
        return _Relay(wires, streams, signals, raw=raw).copied()


def person_size() -> tuple[int, int] | None:
    """Return (rows, columns) of the first of the descriptors 0..2 that is a terminal with a size, or None."""
    for descriptor in range(3):
        if os.isatty(descriptor):
            rows, columns = terminal.size(descriptor)
            if rows and columns:
                return rows, columns
    return None


class _Relay:
    def __init__(self, wires: Wires, streams: Streams, signals: int, *, raw: bool) -> None:
        self._wires = wires
        self._streams = streams
        self._signals = signals
        self._raw = raw
        self._keys = KeyMatcher(streams.detach_keys if streams.terminal else b"")
        self._pending = b""
        self._interrupts = 0
        self._open_outputs = set(wires.outputs)
        self._poll = select.poll()
        for descriptor in (*wires.outputs, signals, *([wires.ended_fd] if wires.ended_fd >= 0 else [])):
            self._poll.register(descriptor, select.POLLIN)
        self._input_open = wires.input_fd >= 0
        if not streams.stdin:
            self._close_input(finish=wires.ended_fd >= 0)
        elif self._input_open:
            self._poll.register(0, select.POLLIN)

    def copied(self) -> Outcome:
        if self._streams.terminal:
            self._resize()
        while self._open_outputs:
            for descriptor, events in self._poll.poll():
                outcome = self._handled(descriptor, events)
                if outcome is not None:
                    return outcome
        return Outcome("ended")

    def _handled(self, descriptor: int, events: int) -> Outcome | None:
        if descriptor == self._signals:
            return self._signalled()
        if descriptor == 0 and self._input_open and not self._pending:
            return self._typed()
        if descriptor == self._wires.input_fd and self._pending and events & select.POLLOUT:
            self._send()
        elif descriptor in self._open_outputs and events & (select.POLLIN | select.POLLHUP | select.POLLERR):
            if not self._wires.forward(descriptor):
                self._open_outputs.discard(descriptor)
                self._unwatch(descriptor)
        elif descriptor == self._wires.ended_fd:
            self._drain()
            return Outcome("ended")
        elif events & (select.POLLERR | select.POLLHUP) and descriptor == self._wires.input_fd:
            self._close_input(finish=True)
        return None

    def _drain(self) -> None:
        """What the program printed before it ended is in the pipes; what others print afterwards is not waited for."""
        for descriptor in sorted(self._open_outputs):
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            while poll.poll(0) and self._wires.forward(descriptor):
                pass

    def _typed(self) -> Outcome | None:
        try:
            data = os.read(0, _BLOCK_BYTES)
        except OSError as failed:
            if failed.errno in (errno.EAGAIN, errno.EINTR):
                return None
            data = b""  # a terminal that hung up
        if not data:
            self._close_input(finish=True)
            return None
        passed_on, detached = self._keys.feed(data)
        self._pending = passed_on
        self._send()
        return Outcome("detached") if detached else None

    def _send(self) -> None:
        """Send what is pending; while some of it is left, wait for room and read nothing more."""
        try:
            while self._pending:
                self._pending = self._pending[self._wires.send(self._pending) :]
        except BlockingIOError:
            pass
        except OSError:
            self._close_input(finish=True)
            return
        if self._pending:
            self._unwatch(0)
            self._watch(self._wires.input_fd, select.POLLOUT)
        else:
            self._watch(self._wires.input_fd, 0)
            self._poll.register(0, select.POLLIN)

    def _watch(self, descriptor: int, extra: int) -> None:
        events = extra | (select.POLLIN if descriptor in self._open_outputs else 0)
        if events:
            self._poll.register(descriptor, events)
        else:
            self._unwatch(descriptor)

    def _close_input(self, *, finish: bool) -> None:
        if not self._input_open:
            return
        self._input_open = False
        self._pending = b""
        self._unwatch(0)
        self._watch(self._wires.input_fd, 0)
        if finish:
            self._wires.finish_input()

    def _unwatch(self, descriptor: int) -> None:
        try:
            self._poll.unregister(descriptor)
        except KeyError:
            pass

    def _signalled(self) -> Outcome | None:
        for number in os.read(self._signals, _BLOCK_BYTES):
            if number == signal.SIGWINCH:
                self._resize()
            elif number == signal.SIGCONT and self._raw:
                terminal.make_raw(0)  # a shell that resumes a stopped command sets modes of its own
                self._resize()
            elif self._streams.pass_signals and not self._raw:
                self._wires.signal(number)
                self._interrupts += number == signal.SIGINT
                if self._interrupts >= _FORCED:
                    return Outcome("interrupted", number)
            elif number in _ENDING:
                return Outcome("interrupted", number)
        return None

    def _resize(self) -> None:
        size = person_size()
        if self._streams.terminal and size is not None:
            self._wires.resize(*size)


def write_out(descriptor: int, data: bytes | memoryview) -> bool:
    """Write all of `data` to a stream of the person; say whether somebody still reads it."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:  # somebody else made it so
            select.select([], [descriptor], [])
        except OSError:
            return False
    return True


def pipe_forward(targets: dict[int, int]) -> Callable[[int], bool]:
    """Return a `forward` that moves pipes' contents to `targets` inside the kernel where it can. Source: splice(2)."""
    spliced = dict.fromkeys(targets, True)

    def forward(descriptor: int) -> bool:
        if spliced[descriptor]:
            try:
                return os.splice(descriptor, targets[descriptor], 1 << 20) > 0
            except OSError as refused:
                if refused.errno == errno.EPIPE:
                    return False
                spliced[descriptor] = False  # a file opened for appending, some terminals
        data = os.read(descriptor, _BLOCK_BYTES)
        return bool(data) and write_out(targets[descriptor], data)

    return forward
