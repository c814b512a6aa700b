"""TCP connections of a network namespace: list them, and abort some. Source: sock_diag(7), linux/inet_diag.h.

Aborting needs CONFIG_INET_DIAG_DESTROY, which distributions' kernels have.
"""

import socket
import struct
from typing import Final, NamedTuple

from limosa.linux.netlink import NetlinkSocket

_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_SOCK_DESTROY: Final = 21
_LISTEN, _CLOSE, _TIME_WAIT, _NEW_SYN_RECV = 10, 7, 6, 12
_CONNECTED: Final = 0xFFFF & ~sum(1 << state for state in (_LISTEN, _CLOSE, _TIME_WAIT, _NEW_SYN_RECV))
_HEAD: Final = struct.Struct(
    "=BBBBI"
)  # inet_diag_req_v2 before its inet_diag_sockid: family, protocol, ext, pad, states
_SOCKID: Final = struct.Struct("!HH16s16s")  # ports and addresses in network byte order; interface and cookie follow
_SOCKID_BYTES: Final = 48
_MESSAGE_SOCKID: Final = 4  # offset of inet_diag_sockid in inet_diag_msg


class Connection(NamedTuple):
    """One end of a TCP connection."""

    family: int
    local: tuple[bytes, int]  # address as the kernel has it (16 bytes, IPv4 in the first 4), port
    remote: tuple[bytes, int]
    key: bytes  # the kernel's inet_diag_sockid: names this very socket


def connections(diag: NetlinkSocket) -> list[Connection]:
    """Return the ends of TCP connections in the socket's network namespace, from SYN_SENT to LAST_ACK."""
    found = []
    for family in (socket.AF_INET, socket.AF_INET6):
        request = _HEAD.pack(family, socket.IPPROTO_TCP, 0, 0, _CONNECTED) + bytes(_SOCKID_BYTES)
        for message in diag.dump(_SOCK_DIAG_BY_FAMILY, request):
            key = message.body[_MESSAGE_SOCKID : _MESSAGE_SOCKID + _SOCKID_BYTES]
            source_port, target_port, source, target = _SOCKID.unpack_from(key)
            found.append(Connection(message.body[0], (source, source_port), (target, target_port), key))
    return found


def abort(diag: NetlinkSocket, connection: Connection) -> None:
    """End a connection at once; its program sees ECONNABORTED, its peer a reset if one gets through.

    Nothing happens if it has ended. Raises: OSError EOPNOTSUPP: the kernel cannot.
    """
    request = _HEAD.pack(connection.family, socket.IPPROTO_TCP, 0, 0, _CONNECTED) + connection.key
    try:
        diag.change(_SOCK_DESTROY, 0, request)
    except FileNotFoundError:
        return


def opened() -> NetlinkSocket:
    """Return a socket to sock_diag in the network namespace of the calling thread."""
    return NetlinkSocket(_NETLINK_SOCK_DIAG)


def outside(found: list[Connection]) -> list[Connection]:
    """Return those whose other end is not among `found`. An IPv4 peer of a dual-stack socket counts as the same."""
    ends = {(_plain(one.family, one.local), _plain(one.family, one.remote)) for one in found}
    return [one for one in found if (_plain(one.family, one.remote), _plain(one.family, one.local)) not in ends]


_MAPPED: Final = bytes(10) + b"\xff\xff"  # ::ffff:0:0/96


def _plain(family: int, end: tuple[bytes, int]) -> tuple[bytes, int]:
    address, port = end
    if family == socket.AF_INET:
        return address[:4], port
    return (address[12:], port) if address.startswith(_MAPPED) else end
