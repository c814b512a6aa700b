"""One connection over two descriptors: frames, beats, limits of time and of bandwidth."""

import threading
import time
from typing import Final

from limosa.linux import pipe_frames
from limosa.model import peer_protocol as protocol
from limosa.model.errors import LimosaError
from limosa.model.peer_protocol import Message

BEAT_S: Final = 3.0
IDLE_S: Final = 20.0
ANSWER_S: Final = 3600.0
_SLICE_BYTES: Final = 1 << 16


class FramedConnection:
    """See the port. A thread beats, so that silence means a lost link and not a busy peer."""

    def __init__(
        self, reading: int, writing: int, name: str, *, bandwidth_bytes: int = 0, idle_s: float = IDLE_S
    ) -> None:
        self.name = name
        self._reading, self._writing, self._idle_s = reading, writing, idle_s
        self._bandwidth_bytes = bandwidth_bytes
        self._sent = self._received = 0
        self._turn = threading.Lock()
        self._closing = threading.Event()
        self._begun = time.monotonic()
        self._budget = 0.0
        pipe_frames.prepare(reading)
        pipe_frames.prepare(writing)
        self._beats = threading.Thread(target=self._beat, daemon=True)

    def begin(self) -> None:
        """Greet, and check the peer's greeting. Raises: LimosaError LIM-PEER-002, LIM-PEER-004."""
        try:
            pipe_frames.write_all(self._writing, protocol.GREETING, self._idle_s)
            came = pipe_frames.read_exactly(self._reading, len(protocol.GREETING), self._idle_s)
        except pipe_frames.Stalled:
            raise self._lost("nothing came") from None
        except pipe_frames.HungUp:
            raise _no_limosa(self.name, "it ended without a word") from None
        if came != protocol.GREETING:
            if came[:-1] == protocol.GREETING[:-1]:
                words = f"it speaks version {came[-1]} of the protocol, this one {protocol.VERSION}"
            else:
                words = f"something else answers: {came.decode(errors='replace')!r}"
            raise _no_limosa(self.name, words)
        self._beats.start()

    def close(self) -> None:
        """Let the thread end."""
        self._closing.set()

    def _beat(self) -> None:
        beat = protocol.head(protocol.BEAT, 0)
        while not self._closing.wait(BEAT_S):
            try:
                with self._turn:
                    pipe_frames.write_all(self._writing, beat, self._idle_s)
            except (pipe_frames.HungUp, pipe_frames.Stalled, OSError):
                return

    def send(self, message: Message) -> None:
        """See the port."""
        self.send_frame(protocol.MESSAGE, protocol.encoded(message))

    def send_frame(self, kind: int, payload: bytes) -> None:
        """See the port."""
        data = protocol.head(kind, len(payload)) + payload
        try:
            with self._turn:
                if self._bandwidth_bytes and kind in (protocol.RECORD, protocol.DATA):
                    self._write_slowly(data)
                else:
                    pipe_frames.write_all(self._writing, data, self._idle_s)
        except pipe_frames.Stalled:
            raise self._lost(f"it has taken nothing for {self._idle_s:.0f} s") from None
        except (pipe_frames.HungUp, OSError):
            raise self._lost("it is closed") from None
        self._sent += len(data)

    def _write_slowly(self, data: bytes) -> None:
        view = memoryview(data)
        for at in range(0, len(view), _SLICE_BYTES):
            part = view[at : at + _SLICE_BYTES]
            now = time.monotonic()
            self._budget = min(self._budget + (now - self._begun) * self._bandwidth_bytes, self._bandwidth_bytes / 4)
            self._begun = now
            if self._budget < len(part):
                time.sleep((len(part) - self._budget) / self._bandwidth_bytes)
            self._budget -= len(part)
            pipe_frames.write_all(self._writing, bytes(part), self._idle_s)

    def receive_frame(self, limit_s: float = ANSWER_S) -> tuple[int, bytes]:
        """See the port."""
        deadline = time.monotonic() + limit_s
        try:
            while True:
                head = pipe_frames.read_exactly(self._reading, protocol.HEAD_BYTES, self._idle_s)
                kind, size_bytes = protocol.parsed_head(head)
                payload = pipe_frames.read_exactly(self._reading, size_bytes, self._idle_s) if size_bytes else b""
                self._received += protocol.HEAD_BYTES + size_bytes
                if kind != protocol.BEAT:
                    return kind, payload
                if time.monotonic() > deadline:
                    raise self._lost(f"no answer came within {limit_s:.0f} s")
        except pipe_frames.Stalled:
            raise self._lost(f"nothing has come for {self._idle_s:.0f} s") from None
        except (pipe_frames.HungUp, OSError):
            raise self._lost("the other end has hung up") from None
        except protocol.MalformedFrame as damage:
            raise malformed(self.name, str(damage)) from damage

    def receive(self, limit_s: float = ANSWER_S) -> Message:
        """See the port."""
        kind, payload = self.receive_frame(limit_s)
        if kind != protocol.MESSAGE:
            raise malformed(self.name, f"a frame of kind {kind} where a message was expected")
        try:
            return protocol.decoded(payload)
        except protocol.MalformedFrame as damage:
            raise malformed(self.name, str(damage)) from damage

    def traffic(self) -> tuple[int, int]:
        """See the port."""
        return self._sent, self._received

    def _lost(self, why: str) -> LimosaError:
        return LimosaError(
            "LIM-PEER-004",
            f"the connection to {self.name} is lost",
            cause=why,
            hint="what had arrived stays there: do it again when the link is back",
        )


def malformed(name: str, why: str) -> LimosaError:
    """Return the error for a peer that does not keep to the protocol."""
    return LimosaError(
        "LIM-PEER-003",
        f"{name} does not keep to the protocol",
        cause=why[:500],
        hint="the same limosa on both hosts: limosa --version",
    )


def _no_limosa(name: str, why: str) -> LimosaError:
    return LimosaError(
        "LIM-PEER-002",
        f"no limosa of this kind answers at {name}",
        cause=why,
        hint="limosa has to be installed there, and a shell that is not interactive must print nothing",
    )
