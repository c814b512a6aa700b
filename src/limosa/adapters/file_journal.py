"""The `Journal` port: a line of JSON per event.

<root>/events/journal.jsonl      the newest events
<root>/events/journal.1.jsonl    those before, when the newest file had its full size
<root>/events/lock               held while one is written
"""

import errno
import os
from collections.abc import Callable, Iterator

from limosa.linux import flock
from limosa.model import codec, json_text
from limosa.model.event import Event
from limosa.model.hints import IO, Final

_MOST_BYTES: Final = 1 << 20
"""Of each of the two files: about 5000 events."""


class FileJournal:
    """The events of one limosa root."""

    def __init__(self, root: str, most_bytes: int = _MOST_BYTES) -> None:
        self._directory = f"{root}/events"
        self._newest = f"{self._directory}/journal.jsonl"
        self._older = f"{self._directory}/journal.1.jsonl"
        self._most_bytes = most_bytes

    def append(self, event: Event) -> None:
        """See the port."""
        line = json_text.dumps(codec.to_jsonable(event), compact=True).encode() + b"\n"
        try:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            with flock.locked(f"{self._directory}/lock"):
                self._write(line)
        except OSError as failed:
            if failed.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO):
                raise

    def _write(self, line: bytes) -> None:
        # One write(2) of a short line: a SIGKILL comes before it or after it. A machine that lost its power may leave
        # half a line; the next one then begins with a line break.
        descriptor = os.open(self._newest, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                line = b"\n" + line
            os.write(descriptor, line)
        finally:
            os.close(descriptor)
        if size + len(line) >= self._most_bytes:
            os.replace(self._newest, self._older)

    def read(self, since_ns: int = 0) -> list[Event]:
        """See the port."""
        found: list[Event] = []
        for path in (self._older, self._newest):
            try:
                with open(path, "rb") as file:
                    found += [event for event in map(_event, file) if event is not None]
            except FileNotFoundError:
                continue
        return [event for event in found if event.time_ns >= since_ns]

    def follow(self, since_ns: int, wait: Callable[[], bool]) -> Iterator[Event]:
        """See the port."""
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        with flock.locked(f"{self._directory}/lock"):
            # No file changes its name while it is opened and read.
            past = self.read(since_ns)
            file: IO[bytes] = open(self._newest, "ab+")  # noqa: SIM115 - it is replaced below
            file.seek(0, os.SEEK_END)
        try:
            yield from past
            while True:
                for line in _whole_lines(file):
                    if (event := _event(line)) is not None:
                        yield event
                if self._replaced(file):
                    # Nobody writes to the old file any more: what it has is read, then the new one from its beginning.
                    yield from (event for line in _whole_lines(file) if (event := _event(line)) is not None)
                    file.close()
                    file = open(self._newest, "rb")  # noqa: SIM115
                elif not wait():
                    return
        finally:
            file.close()

    def _replaced(self, file: IO[bytes]) -> bool:
        try:
            return os.stat(self._newest).st_ino != os.fstat(file.fileno()).st_ino
        except FileNotFoundError:
            return False  # the next event makes it


def _whole_lines(file: IO[bytes]) -> Iterator[bytes]:
    while True:
        at = file.tell()
        line = file.readline()
        if not line.endswith(b"\n"):
            file.seek(at)
            return
        yield line


def _event(line: bytes) -> Event | None:
    try:
        return codec.from_jsonable(Event, json_text.loads(line))
    except ValueError:
        return None  # half a line, or an empty one
