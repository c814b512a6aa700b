"""A person at a terminal: a command on a pty of its own, what it shows, and what is typed."""

import fcntl
import os
import select
import signal
import struct
import subprocess
import termios
import time
from typing import Any


class Person:
    """Starts `argv` as the foreground of a new terminal session of 24 rows and 80 columns."""

    def __init__(self, *argv: str, rows: int = 24, columns: int = 80) -> None:
        self.master, self.slave = os.openpty()
        self.shown = ""
        self.resize(rows, columns, tell=False)
        self.modes_before = self.modes()
        self.process = subprocess.Popen(
            argv,
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no threads here
        )

    def __enter__(self) -> "Person":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(timeout=30)
        os.close(self.master)
        os.close(self.slave)

    def modes(self) -> list[Any]:
        return termios.tcgetattr(self.slave)

    def resize(self, rows: int, columns: int, *, tell: bool = True) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if tell:
            os.kill(self.process.pid, signal.SIGWINCH)

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def see(self, text: str, seconds: float = 30) -> str:
        """Wait until `text` is shown and return all that was shown up to it; the rest is looked at next time."""
        deadline = time.monotonic() + seconds
        while text not in self.shown:
            ready = select.select([self.master], [], [], max(0.0, deadline - time.monotonic()))[0]
            if not ready:
                raise AssertionError(f"{text!r} was not shown, but {self.shown!r}")
            try:
                self.shown += os.read(self.master, 65536).decode(errors="replace")
            except OSError as gone:
                raise AssertionError(f"it ended and {text!r} was not shown, but {self.shown!r}") from gone
        before, _, self.shown = self.shown.partition(text)
        return before + text

    def shows(self, text: str, seconds: float) -> bool:
        """Say whether `text` is shown within so many seconds; all up to it, or nothing, has been looked at then."""
        try:
            self.see(text, seconds)
        except AssertionError:
            return False
        return True

    def status(self, seconds: float = 30) -> int:
        """Read on until the command's end; the terminal must be as it was before. Returns its exit status."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < deadline:
            if select.select([self.master], [], [], 0.05)[0]:
                self.shown += os.read(self.master, 65536).decode(errors="replace")
        found = self.process.wait(timeout=0.1)
        assert self.modes() == self.modes_before, "the terminal was left in other modes"
        return found
