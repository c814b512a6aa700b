"""A terminal's modes and size, and signals that arrive as readable bytes."""

import fcntl
import os
import signal
import struct
import termios
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from limosa.model.hints import Any, Final

_SIZE: Final = "HHHH"


def size(descriptor: int) -> tuple[int, int]:
    """Return (rows, columns). Raises: OSError: it is no terminal. Source: ioctl_tty(2), TIOCGWINSZ."""
    rows, columns, _, _ = struct.unpack(_SIZE, fcntl.ioctl(descriptor, termios.TIOCGWINSZ, bytes(8)))
    return rows, columns


def set_size(descriptor: int, rows: int, columns: int) -> None:
    """Set the size; the terminal's foreground processes get SIGWINCH if it changes. Source: ioctl_tty(2)."""
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack(_SIZE, rows, columns, 0, 0))


def modes(descriptor: int) -> list[Any]:
    """Return the modes, for `set_modes`. Raises: termios.error: it is no terminal."""
    return termios.tcgetattr(descriptor)


def set_modes(descriptor: int, wanted: list[Any]) -> None:
    """Set what `modes` returned. A terminal that has gone is left alone."""
    try:
        # TCSADRAIN would wait for output that a stopped terminal never takes.
        termios.tcsetattr(descriptor, termios.TCSANOW, wanted)
    except (termios.error, OSError):
        pass


def make_raw(descriptor: int) -> None:
    """Let every byte through as it is, in both directions, without echo or signals. Source: termios(3), cfmakeraw."""
    wanted = modes(descriptor)
    wanted[0] &= ~(
        termios.IGNBRK
        | termios.BRKINT
        | termios.PARMRK
        | termios.ISTRIP
        | termios.INLCR
        | termios.IGNCR
        | termios.ICRNL
        | termios.IXON
    )
    wanted[1] &= ~termios.OPOST
    wanted[2] = wanted[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    wanted[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    wanted[6][termios.VMIN], wanted[6][termios.VTIME] = 1, 0
    set_modes(descriptor, wanted)


@contextmanager
def raw(descriptor: int) -> Iterator[None]:
    """Have a terminal raw for the time of a `with` block; its modes are as before afterwards, whatever happens."""
    before = modes(descriptor)
    try:
        make_raw(descriptor)
        yield
    finally:
        set_modes(descriptor, before)


@contextmanager
def signals_as_bytes(numbers: Sequence[int]) -> Iterator[int]:
    """Return a descriptor from which each of the signals that arrives is read as one byte, its number.

    They have no other effect meanwhile; a signal that was ignored stays ignored. Source: pipe(2), signal(7).
    """
    read_end, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    former = {number: signal.getsignal(number) for number in numbers}
    taken = [number for number, handler in former.items() if handler is not signal.SIG_IGN]
    wakeup = signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    try:
        for number in taken:
            signal.signal(number, _nothing)
        yield read_end
    finally:
        for number in taken:
            signal.signal(number, former[number] or signal.SIG_DFL)
        signal.set_wakeup_fd(wakeup)
        os.close(read_end)
        os.close(write_end)


def _nothing(_number: int, _frame: object) -> None:
    """Only the byte in the pipe counts."""
