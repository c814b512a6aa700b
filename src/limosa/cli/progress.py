"""Progress of long work on standard error: one line that is redrawn on a terminal, plain lines elsewhere."""

import os
import sys
import time

from limosa.model.hints import Final, TextIO

_REDRAW_SECONDS: Final = 0.1
_LINE_SECONDS: Final = 10.0
_BAR_CELLS: Final = 24
_COLUMNS: Final = 80


class ProgressLine:
    """What `Progress` and `log` callbacks of the ports are given; a context manager, so that no half line is left."""

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._quiet = quiet
        self._what = ""
        self._begun = self._shown = 0.0
        self._open = False
        self._last = ""

    def __enter__(self) -> "ProgressLine":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def update(self, what: str, done_bytes: int, total_bytes: int) -> None:
        """Show how far `what` is; `total_bytes` 0 when it is not known."""
        if self._quiet:
            return
        now = time.monotonic()
        finished = bool(total_bytes) and done_bytes >= total_bytes
        if what != self._what:
            self._close()
            self._what, self._begun, self._shown = what, now, 0.0
        elif now - self._shown < (_REDRAW_SECONDS if self._terminal else _LINE_SECONDS) and not finished:
            return
        if finished and not self._open and self._shown and not self._terminal and now - self._begun < _LINE_SECONDS:
            return  # the first line said it all
        self._shown = now
        if self._terminal:
            self._draw(what, done_bytes, total_bytes, now - self._begun)
        else:
            line = f"{what}: {_amount(done_bytes, total_bytes)}" if done_bytes else what
            if line != self._last:  # the end may be told twice: when all is there, and when it is rounded to that
                print(line, file=self._stream, flush=True)
            self._last = line

    def _draw(self, what: str, done_bytes: int, total_bytes: int, seconds: float) -> None:
        parts = [what]
        if total_bytes:
            cells = min(_BAR_CELLS, done_bytes * _BAR_CELLS // total_bytes)
            parts.append(f"[{'#' * cells}{'.' * (_BAR_CELLS - cells)}] {min(100, done_bytes * 100 // total_bytes):3} %")
        if done_bytes or total_bytes:
            parts.append(_amount(done_bytes, total_bytes))
        if done_bytes and seconds >= 1:
            parts.append(f"{human(int(done_bytes / seconds))}/s")
        self._overwrite("  ".join(parts))

    def pause(self) -> None:
        """Let something else print."""
        self._close()
        self._what = ""

    def say(self, text: str) -> None:
        """Print a line that stays."""
        if not self._quiet:
            self.pause()
            print(text, file=self._stream, flush=True)

    def log(self, line: str) -> None:
        """Show a line of a program at work: on a terminal over the one before it, elsewhere each on its own."""
        if self._quiet or not line.strip():
            return
        if self._terminal:
            if self._what:
                self._close()
                self._what = ""
            self._overwrite(line.strip())
        else:
            print(line, file=self._stream, flush=True)

    def _overwrite(self, text: str) -> None:
        try:
            columns = os.get_terminal_size(self._stream.fileno()).columns or _COLUMNS  # 0: nobody has said
        except OSError:
            columns = _COLUMNS
        shown = "".join(letter if letter.isprintable() else " " for letter in text)[: max(1, columns - 1)]
        self._stream.write(f"\r{shown}\x1b[K")
        self._stream.flush()
        self._open = True

    def _close(self) -> None:
        if self._open:
            self._stream.write("\n")
            self._stream.flush()
            self._open = False


def _amount(done_bytes: int, total_bytes: int) -> str:
    return f"{human(done_bytes)} of {human(total_bytes)}" if total_bytes else human(done_bytes)


def human(size_bytes: int) -> str:
    """Return a size in the unit that gives at most four digits: "0 B", "812 kB", "1.4 GB" (powers of 1000)."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 10 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
