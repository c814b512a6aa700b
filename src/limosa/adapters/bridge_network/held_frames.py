"""Frames to a container that can be nowhere: they wait here, in a socket's buffer, instead of being lost."""

from contextlib import suppress

from limosa.linux import arp, caught_frames
from limosa.linux import netlink_link as link
from limosa.linux.caught_frames import HEADER_BYTES
from limosa.model.container import Addresses
from limosa.model.hints import Final

_MOST_BYTES: Final = 8 << 20  # of the kernel's memory; more is lost, and sent again by who sent it
_BARE: Final = bytes(HEADER_BYTES)
_IPV4, _IPV6, _TCP = 0x0800, 0x86DD, b"\x06"
_TCP_HEADER_BYTES: Final = 20
_FIN_SYN_RST_ACK, _SYN = 0x17, 0x02


class HeldFrames:
    """Frames to one container that its segment has seen."""

    def __init__(self, segment: link.Link, mac: str) -> None:
        """Begin on a bridge, for the container's MAC address. Raises: OSError."""
        self._segment = segment
        self._mac = link.mac_bytes(mac)
        self._frames: list[bytes] = []
        self._caught = caught_frames.catching(segment.name, self._mac, _MOST_BYTES)

    def announce(self, addresses: Addresses) -> None:
        """Let the segment send here what is for the container. Raises: OSError."""
        for address in filter(None, (addresses.ipv4, addresses.ipv6)):
            for frame in arp.announcements(self._mac, address.partition("/")[0]):
                caught_frames.send(self._caught, self._segment.name, _BARE + frame)

    def collect(self) -> list[bytes]:
        """Take what has come, and return that."""
        with suppress(OSError):  # the bridge went down meanwhile
            came = caught_frames.taken(self._caught)
            self._frames += came
            return came
        return []

    def keep_newcomers(self) -> None:
        """Forget what has come so far but for attempts to connect: only these have not arrived by themselves."""
        self.collect()
        self._frames = [frame for frame in self._frames if _connects(frame)]

    def forward(self) -> None:
        """Send what has come to where the segment has the container now, as this host's.

        With the sender's MAC address its frames would teach the segment that the sender is here.
        """
        own = link.mac_bytes(self._segment.mac)
        for frame in self.collect():
            source = HEADER_BYTES + 6
            with suppress(OSError):
                caught_frames.send(self._caught, self._segment.name, frame[:source] + own + frame[source + 6 :])

    def give(self, interface: str) -> None:
        """Send everything to the container by the host's end of its link, which has just come up, and end.

        What has come since `collect` may also have gone there by itself. TCP sorts that out; other frames go once.
        """
        given = len(self._frames)
        self.collect()
        with suppress(OSError):
            caught_frames.stop(self._caught, self._segment.name)
        for number, frame in enumerate(self._frames):
            if number < given or _is_tcp(frame):
                with suppress(OSError):
                    caught_frames.send(self._caught, interface, frame)

    def close(self) -> None:
        """Drop everything. This takes 10 to 20 ms."""
        self._caught.close()


def _is_tcp(frame: bytes) -> bool:
    return _tcp_header(frame) > 0


def _tcp_header(frame: bytes) -> int:
    """Return where the header of TCP begins, 0 if there is none or it is cut off: frames are what anybody sends."""
    packet = HEADER_BYTES + 14
    kind, start = int.from_bytes(frame[packet - 2 : packet]), 0
    if kind == _IPV4 and frame[packet + 9 : packet + 10] == _TCP:
        start = packet + (frame[packet] & 0xF) * 4
    elif kind == _IPV6 and frame[packet + 6 : packet + 7] == _TCP:
        start = packet + 40
    return start if len(frame) >= start + _TCP_HEADER_BYTES else 0


def _connects(frame: bytes) -> bool:
    start = _tcp_header(frame)
    return start > 0 and frame[start + 13] & _FIN_SYN_RST_ACK == _SYN
