"""Connections to limosa on other machines."""

from contextlib import AbstractContextManager

from limosa.model.hints import Protocol
from limosa.model.peer_address import PeerAddress
from limosa.model.peer_protocol import Message


class Connection(Protocol):
    """Frames, both ways. Whoever waits longer than the idle limit without a byte raises LIM-PEER-004."""

    name: str  # who is at the other end, for messages

    def send(self, message: Message) -> None:
        """Send a message. Raises: LimosaError LIM-PEER-004: the link is lost."""

    def send_frame(self, kind: int, payload: bytes) -> None:
        """Send a frame that is no message. Raises: as `send`."""

    def receive_frame(self, limit_s: float = ...) -> tuple[int, bytes]:
        """Return the next frame that is no beat.

        Raises: LimosaError LIM-PEER-004: the link is lost, the peer hung up, or nothing but beats came for `limit_s`;
        LIM-PEER-003: what came is no frame.
        """

    def receive(self, limit_s: float = ...) -> Message:
        """Return the next frame, which has to be a message. Raises: as `receive_frame`."""

    def traffic(self) -> tuple[int, int]:
        """Return the bytes sent and received."""


class Peers(Protocol):
    """Other hosts."""

    def own_name(self) -> str:
        """Return what this machine calls itself."""

    def connected(self, peer: PeerAddress, bandwidth_bytes: int = 0) -> AbstractContextManager[Connection]:
        """Be connected to a host's limosa for the time of a `with` block, sending at most so many bytes a second.

        Raises: LimosaError LIM-PEER-001: it cannot be reached (ssh's words); LIM-PEER-002: no limosa of this
        protocol's version answers there.
        """

    def served(self) -> AbstractContextManager[Connection]:
        """Be the other end: standard input and output, for the time of a `with` block. Raises: as `connected`."""


class HostBook(Protocol):
    """The hosts that somebody gave a name."""

    def all(self) -> dict[str, PeerAddress]:
        """Return them by name."""

    def put(self, name: str, address: PeerAddress | None) -> None:
        """Remember a host, or forget it (None). It is on disk when this returns."""
