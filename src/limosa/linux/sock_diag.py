"""Sockets of a network namespace: TCP connections, to list and abort, and unix sockets with their peers.

Source: sock_diag(7), linux/inet_diag.h. Aborting needs CONFIG_INET_DIAG_DESTROY, which distributions' kernels have.
"""

import socket
import struct

from limosa.linux.netlink import NetlinkSocket, as_u32, attributes
from limosa.model.hints import Final
from limosa.model.value import NamedTuple

_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_SOCK_DESTROY: Final = 21
_SYN_RECV, _LISTEN, _CLOSE, _TIME_WAIT, _NEW_SYN_RECV = 3, 10, 7, 6, 12
_CONNECTED: Final = 0xFFFF & ~sum(1 << state for state in (_LISTEN, _CLOSE, _TIME_WAIT, _NEW_SYN_RECV))
_HEAD: Final = struct.Struct(
    "=BBBBI"
)  # inet_diag_req_v2 before its inet_diag_sockid: family, protocol, ext, pad, states
_SOCKID: Final = struct.Struct("!HH16s16s")  # ports and addresses in network byte order; interface and cookie follow
_SOCKID_BYTES: Final = 48
_MESSAGE_SOCKID: Final = 4  # offset of inet_diag_sockid in inet_diag_msg
_MESSAGE_STATE: Final = 1
_MESSAGE_RQUEUE: Final = 56  # of a listening socket: how many wait to be accepted


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


def unaccepted(diag: NetlinkSocket) -> int:
    """Return how many TCP connections of the socket's network namespace no program has accepted yet.

    Counted is what the kernel makes a connection of by itself, and what only lacks the last packet of a handshake.
    """
    found = 0
    for family in (socket.AF_INET, socket.AF_INET6):
        states = 1 << _LISTEN | 1 << _SYN_RECV
        request = _HEAD.pack(family, socket.IPPROTO_TCP, 0, 0, states) + bytes(_SOCKID_BYTES)
        for message in diag.dump(_SOCK_DIAG_BY_FAMILY, request):
            listens = message.body[_MESSAGE_STATE] == _LISTEN
            found += as_u32(message.body[_MESSAGE_RQUEUE : _MESSAGE_RQUEUE + 4]) if listens else 1
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


_UNIX_REQUEST: Final = struct.Struct("=BBHIIIII")  # family, protocol, pad, states, inode, show, cookie
_UNIX_HEAD: Final = struct.Struct("=BBBBI")  # family, type, state, pad, inode; the cookie follows
_UNIX_HEAD_BYTES: Final = 16
_UDIAG_SHOW_NAME, _UDIAG_SHOW_PEER, _UDIAG_SHOW_ICONS = 0x1, 0x4, 0x8
_UNIX_DIAG_NAME, _UNIX_DIAG_PEER, _UNIX_DIAG_ICONS, _UNIX_DIAG_SHUTDOWN = 0, 2, 3, 6


class UnixSocket(NamedTuple):
    """A unix socket. `peer` is the inode of what it is connected to, 0 if there is none or nobody accepted it yet."""

    inode: int
    kind: int  # SOCK_STREAM and so on
    peer: int
    name: str  # "" if it has none; an abstract one begins with a NUL
    state: int = 0  # as TCP's: UNIX_CONNECTED, UNIX_LISTENING, …
    shutdown: int = 0  # 1: no more to receive, 2: no more to send
    waiting: tuple[int, ...] = ()  # of a listening one: inodes of what waits to be accepted; 0: it was closed since


UNIX_CONNECTED, UNIX_LISTENING = 1, 10


def unix_sockets(diag: NetlinkSocket) -> dict[int, UnixSocket]:
    """Return the unix sockets of the socket's network namespace, by inode. Source: sock_diag(7), linux/unix_diag.h."""
    show = _UDIAG_SHOW_NAME | _UDIAG_SHOW_PEER | _UDIAG_SHOW_ICONS
    request = _UNIX_REQUEST.pack(socket.AF_UNIX, 0, 0, 0xFFFFFFFF, 0, show, 0xFFFFFFFF, 0xFFFFFFFF)
    found = {}
    for message in diag.dump(_SOCK_DIAG_BY_FAMILY, request):
        _, kind, state, _, inode = _UNIX_HEAD.unpack_from(message.body)
        known = attributes(message.body, _UNIX_HEAD_BYTES)
        peer = as_u32(known[_UNIX_DIAG_PEER]) if _UNIX_DIAG_PEER in known else 0
        name = known.get(_UNIX_DIAG_NAME, b"").decode(errors="replace")
        icons = known.get(_UNIX_DIAG_ICONS, b"")
        waiting = struct.unpack(f"={len(icons) // 4}I", icons)
        shutdown = known.get(_UNIX_DIAG_SHUTDOWN, b"\0")[0]
        found[inode] = UnixSocket(inode, kind, peer, name, state, shutdown, waiting)
    return found
