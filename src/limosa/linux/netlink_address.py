"""Addresses, routes and neighbour entries by rtnetlink. Source: rtnetlink(7), ip-route(8), ip-neighbour(8)."""

import errno
import socket
import struct

from limosa.linux.netlink import (
    NLM_F_APPEND,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    RouteSocket,
    as_u32,
    attribute,
    attributes,
    u32,
)
from limosa.model.hints import Final
from limosa.model.value import NamedTuple

RTM_NEWADDR: Final = 20
RTM_DELADDR: Final = 21
RTM_GETADDR: Final = 22
RTM_NEWROUTE: Final = 24
RTM_DELROUTE: Final = 25
RTM_GETROUTE: Final = 26
RTM_NEWNEIGH: Final = 28
RTM_DELNEIGH: Final = 29
RTM_GETNEIGH: Final = 30
RT_SCOPE_UNIVERSE: Final = 0
RT_SCOPE_LINK: Final = 253
RT_SCOPE_HOST: Final = 254
RT_TABLE_MAIN: Final = 254
RTPROT_KERNEL: Final = 2
RTPROT_STATIC: Final = 4

_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2
_IFA_BROADCAST: Final = 4
_IFA_FLAGS: Final = 8
_IFA_F_NODAD: Final = 0x02
_IFA_F_PERMANENT: Final = 0x80
_RTA_DST: Final = 1
_RTA_OIF: Final = 4
_RTA_GATEWAY: Final = 5
_RTA_PRIORITY: Final = 6
_RTA_PREFSRC: Final = 7
_RTA_TABLE: Final = 15
_RTN_UNICAST: Final = 1
_RTM_F_CLONED: Final = 0x200
_RTNH_F_ONLINK: Final = 4
_AF_BRIDGE: Final = 7
_NDA_DST: Final = 1
_NDA_LLADDR: Final = 2
_NTF_SELF: Final = 0x02
_NTF_PROXY: Final = 0x08
_NUD_NOARP: Final = 0x40
_NUD_PERMANENT: Final = 0x80

_IFADDR: Final = struct.Struct("=BBBBi")  # ifaddrmsg: family, prefix length, flags, scope, index
_RTMSG: Final = struct.Struct("=BBBBBBBBI")  # family, dst_len, src_len, tos, table, protocol, scope, type, flags
_NDMSG: Final = struct.Struct("=B3xiHBB")  # family, index, state, flags, type


class Address(NamedTuple):
    """One address of one interface."""

    ifindex: int
    address: str
    prefix: int
    scope: int
    permanent: bool = True
    broadcast: str = ""


class Route(NamedTuple):
    """One unicast route; `destination` is "" for a default route."""

    destination: str
    prefix: int
    ifindex: int
    gateway: str = ""
    source: str = ""
    metric: int = 0
    scope: int = RT_SCOPE_UNIVERSE
    protocol: int = RTPROT_STATIC
    family: int = socket.AF_INET
    onlink: bool = False


def family_of(address: str) -> int:
    """Return AF_INET or AF_INET6."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def packed(address: str) -> bytes:
    """Return an address in network byte order. Raises OSError for what is none."""
    return socket.inet_pton(family_of(address), address)


def _unpacked(family: int, value: bytes | None) -> str:
    return socket.inet_ntop(family, value) if value else ""


def add_address(
    route: RouteSocket,
    index: int,
    address: str,
    prefix: int,
    scope: int = RT_SCOPE_UNIVERSE,
    broadcast: str | None = None,
) -> None:
    """Give an interface an address, usable at once (no duplicate address detection); nothing happens if it has it.

    `broadcast` is the one that follows from the prefix, unless another, or "" for none, is given.
    """
    family, value = family_of(address), packed(address)
    body = _IFADDR.pack(family, prefix, _IFA_F_NODAD if family == socket.AF_INET6 else 0, scope, index)
    body += attribute(_IFA_LOCAL, value) + attribute(_IFA_ADDRESS, value)
    if broadcast is None and family == socket.AF_INET and prefix < 31:
        broadcast = socket.inet_ntop(family, (int.from_bytes(value) | (1 << (32 - prefix)) - 1).to_bytes(4))
    if broadcast:
        body += attribute(_IFA_BROADCAST, packed(broadcast))
    try:
        route.change(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, body)
    except FileExistsError:
        return


def delete_address(route: RouteSocket, index: int, address: str, prefix: int) -> None:
    """Take an address from an interface; nothing happens if it has it not."""
    body = _IFADDR.pack(family_of(address), prefix, 0, 0, index) + attribute(_IFA_LOCAL, packed(address))
    try:
        route.change(RTM_DELADDR, 0, body)
    except OSError as error:
        if error.errno not in (errno.EADDRNOTAVAIL, errno.ENODEV):
            raise


def addresses(route: RouteSocket) -> list[Address]:
    """Return the addresses of every interface of the socket's namespace, in the order in which they were given."""
    found = []
    for message in route.dump(RTM_GETADDR, _IFADDR.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
        family, prefix, flags, scope, index = _IFADDR.unpack_from(message.body)
        values = attributes(message.body, _IFADDR.size)
        value = values.get(_IFA_LOCAL, values.get(_IFA_ADDRESS))
        if family in (socket.AF_INET, socket.AF_INET6) and value:
            flags = as_u32(values[_IFA_FLAGS]) if _IFA_FLAGS in values else flags
            address = _unpacked(family, value)
            broadcast = _unpacked(family, values.get(_IFA_BROADCAST))
            found.append(Address(index, address, prefix, scope, bool(flags & _IFA_F_PERMANENT), broadcast))
    return found


def _route_body(entry: Route) -> bytes:
    flags = _RTNH_F_ONLINK if entry.onlink else 0
    body = _RTMSG.pack(
        entry.family, entry.prefix, 0, 0, RT_TABLE_MAIN, entry.protocol, entry.scope, _RTN_UNICAST, flags
    )
    if entry.destination:
        body += attribute(_RTA_DST, packed(entry.destination))
    if entry.gateway:
        body += attribute(_RTA_GATEWAY, packed(entry.gateway))
    if entry.source:
        body += attribute(_RTA_PREFSRC, packed(entry.source))
    if entry.metric:
        body += u32(_RTA_PRIORITY, entry.metric)
    return body + u32(_RTA_OIF, entry.ifindex)


def put_route(route: RouteSocket, entry: Route) -> None:
    """Add a route, or replace the one with its destination and metric. Raises: OSError (ENETUNREACH: the gateway)."""
    route.change(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, _route_body(entry))


def append_route(route: RouteSocket, entry: Route) -> None:
    """Add a route behind those with its destination and metric by other interfaces; nothing happens if it is there."""
    try:
        route.change(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_APPEND, _route_body(entry))
    except FileExistsError:
        return


def delete_route(route: RouteSocket, entry: Route) -> None:
    """Remove a route; nothing happens if it is gone."""
    try:
        route.change(RTM_DELROUTE, 0, _route_body(entry))
    except OSError as error:
        if error.errno not in (errno.ESRCH, errno.ENODEV):
            raise


def routes(route: RouteSocket) -> list[Route]:
    """Return the unicast routes of the main table of the socket's namespace (multipath routes by their first hop)."""
    found = []
    for message in route.dump(RTM_GETROUTE, _RTMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0, 0, 0, 0, 0)):
        family, prefix, _src, _tos, table, protocol, scope, kind, flags = _RTMSG.unpack_from(message.body)
        values = attributes(message.body, _RTMSG.size)
        table = as_u32(values[_RTA_TABLE]) if _RTA_TABLE in values else table
        wanted = table == RT_TABLE_MAIN and kind == _RTN_UNICAST and not flags & _RTM_F_CLONED
        if not wanted or family not in (socket.AF_INET, socket.AF_INET6):
            continue
        found.append(
            Route(
                destination=_unpacked(family, values.get(_RTA_DST)),
                prefix=prefix,
                ifindex=as_u32(values[_RTA_OIF]) if _RTA_OIF in values else 0,
                gateway=_unpacked(family, values.get(_RTA_GATEWAY)),
                source=_unpacked(family, values.get(_RTA_PREFSRC)),
                metric=as_u32(values[_RTA_PRIORITY]) if _RTA_PRIORITY in values else 0,
                scope=scope,
                protocol=protocol,
                family=family,
                onlink=bool(flags & _RTNH_F_ONLINK),
            )
        )
    return found


def put_proxy_neighbour(route: RouteSocket, index: int, address: str) -> None:
    """Let the interface answer ARP (or neighbour solicitations, with proxy_ndp on) for `address`."""
    body = _NDMSG.pack(family_of(address), index, _NUD_PERMANENT, _NTF_PROXY, 0) + attribute(_NDA_DST, packed(address))
    route.change(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, body)


def add_flood_destination(route: RouteSocket, index: int, address: str) -> None:
    """Let a VXLAN send to the end at `address` what it knows no destination for. Nothing happens if it does already.

    Source: bridge(8), `fdb append 00:00:00:00:00:00`.
    """
    body = _NDMSG.pack(_AF_BRIDGE, index, _NUD_PERMANENT | _NUD_NOARP, _NTF_SELF, 0)
    body += attribute(_NDA_LLADDR, bytes(6)) + attribute(_NDA_DST, packed(address))
    try:
        route.change(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_APPEND, body)
    except FileExistsError:
        return


def delete_proxy_neighbour(route: RouteSocket, index: int, address: str) -> None:
    """Stop answering for `address`; nothing happens if nobody does."""
    body = _NDMSG.pack(family_of(address), index, _NUD_PERMANENT, _NTF_PROXY, 0) + attribute(_NDA_DST, packed(address))
    try:
        route.change(RTM_DELNEIGH, 0, body)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV):
            raise


def proxy_neighbours(route: RouteSocket) -> set[str]:
    """Return the addresses that the host answers for on behalf of others, on any interface."""
    found = set()
    for message in route.dump(RTM_GETNEIGH, _NDMSG.pack(socket.AF_UNSPEC, 0, 0, _NTF_PROXY, 0)):
        family = _NDMSG.unpack_from(message.body)[0]
        value = attributes(message.body, _NDMSG.size).get(_NDA_DST)
        if family in (socket.AF_INET, socket.AF_INET6) and value:
            found.add(_unpacked(family, value))
    return found
