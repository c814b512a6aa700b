"""Network interfaces by rtnetlink: bridges, veth pairs, and what can be set on any link. Source: rtnetlink(7)."""

import errno
import socket
import struct

from limosa.linux.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    RouteSocket,
    as_text,
    as_u32,
    attribute,
    attributes,
    first_attribute,
    nested,
    text,
    u32,
)
from limosa.model.hints import Final
from limosa.model.value import NamedTuple

RTM_NEWLINK: Final = 16
RTM_DELLINK: Final = 17
RTM_GETLINK: Final = 18
RTM_SETLINK: Final = 19
IFF_UP: Final = 0x1
IFF_LOOPBACK: Final = 0x8
NAME_CHARACTERS: Final = 15  # IFNAMSIZ without its final zero

_AF_BRIDGE: Final = 7
_IFLA_ADDRESS: Final = 1
_IFLA_IFNAME: Final = 3
_IFLA_MTU: Final = 4
_IFLA_MASTER: Final = 10
_IFLA_PROTINFO: Final = 12
_IFLA_LINKINFO: Final = 18
_IFLA_IFALIAS: Final = 20
_IFLA_GROUP: Final = 27
_IFLA_NET_NS_FD: Final = 28
_IFLA_EXT_MASK: Final = 29
_RTEXT_FILTER_SKIP_STATS: Final = 1 << 3
_IFLA_INFO_KIND: Final = 1
_IFLA_INFO_DATA: Final = 2
_IFLA_BR_FORWARD_DELAY: Final = 1
_IFLA_BR_STP_STATE: Final = 5
_IFLA_BRPORT_MODE: Final = 4  # hairpin
_VETH_INFO_PEER: Final = 1
_IFLA_VXLAN_ID: Final = 1
_IFLA_VXLAN_LOCAL: Final = 4
_IFLA_VXLAN_LEARNING: Final = 7
_IFLA_VXLAN_PORT: Final = 15
VXLAN_PORT: Final = 4789

_IFINFO: Final = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, change


class Link(NamedTuple):
    """One interface. `master` is the index of the bridge it belongs to, or 0."""

    ifindex: int
    name: str
    kind: str  # "bridge", "veth", … or "" for a device
    mac: str
    mtu: int
    flags: int
    master: int
    alias: str
    group: int

    @property
    def up(self) -> bool:
        """Say whether the administrator's side of it is up."""
        return bool(self.flags & IFF_UP)


def mac_bytes(mac: str) -> bytes:
    """Return the six bytes of a MAC address. Raises ValueError."""
    value = bytes.fromhex(mac.replace(":", ""))
    if len(value) != 6:
        raise ValueError(f"not a MAC address: {mac!r}")
    return value


def _ifinfo(index: int = 0, flags: int = 0, change: int = 0, family: int = 0) -> bytes:
    return _IFINFO.pack(family, 0, index, flags, change)


def _decoded(body: bytes) -> Link:
    _family, _type, index, flags, _change = _IFINFO.unpack_from(body)
    found = attributes(body, _IFINFO.size)
    info = attributes(found.get(_IFLA_LINKINFO, b""))
    return Link(
        ifindex=index,
        name=as_text(found[_IFLA_IFNAME]),
        kind=as_text(info.get(_IFLA_INFO_KIND, b"")),
        mac=found.get(_IFLA_ADDRESS, b"").hex(":"),
        mtu=as_u32(found[_IFLA_MTU]) if _IFLA_MTU in found else 0,
        flags=flags,
        master=as_u32(found[_IFLA_MASTER]) if _IFLA_MASTER in found else 0,
        alias=as_text(found.get(_IFLA_IFALIAS, b"")),
        group=as_u32(found[_IFLA_GROUP]) if _IFLA_GROUP in found else 0,
    )


def links(route: RouteSocket) -> list[Link]:
    """Return every interface of the socket's namespace."""
    return [_decoded(message.body) for message in route.dump(RTM_GETLINK, _ifinfo())]


def link_names(route: RouteSocket) -> set[str]:
    """Return the names of every interface: a small part of the work of `links`, for those who need no more."""
    found = set()
    for message in route.dump(RTM_GETLINK, _ifinfo() + u32(_IFLA_EXT_MASK, _RTEXT_FILTER_SKIP_STATS)):
        found.add(as_text(first_attribute(message.body, _IFINFO.size, _IFLA_IFNAME)))
    return found


def find_link(route: RouteSocket, name: str) -> Link | None:
    """Return the interface called `name`, or None."""
    try:
        return _decoded(route.get(RTM_GETLINK, _ifinfo() + text(_IFLA_IFNAME, name)).body)
    except OSError as error:
        if error.errno == errno.ENODEV:
            return None
        raise


def create_bridge(route: RouteSocket, name: str, *, mac: str, mtu: int, group: int, alias: str) -> int:
    """Make a bridge without spanning tree and with a MAC address that does not follow its ports; it is down.

    Returns: its index. Raises: FileExistsError: there is an interface of this name.
    """
    data = nested(_IFLA_INFO_DATA, u32(_IFLA_BR_FORWARD_DELAY, 0), u32(_IFLA_BR_STP_STATE, 0))
    body = (
        _ifinfo()
        + text(_IFLA_IFNAME, name)
        + attribute(_IFLA_ADDRESS, mac_bytes(mac))
        + u32(_IFLA_MTU, mtu)
        + u32(_IFLA_GROUP, group)
        + nested(_IFLA_LINKINFO, text(_IFLA_INFO_KIND, "bridge"), data)
    )
    route.change(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body)
    index = _index_of(route, name)
    set_link(route, index, alias=alias)
    return index


def create_vxlan(route: RouteSocket, name: str, *, number: int, local: str, mtu: int, group: int, alias: str) -> int:
    """Make one end of a VXLAN that learns who is where from what comes; it is down, and knows no other end yet.

    `number` is the network identifier, of 24 bits, `local` the IPv4 address that it sends from.
    Returns: its index. Raises: FileExistsError: there is an interface of this name, or one of this number.
    Source: RFC 7348; the kernel's Documentation/networking/vxlan.rst.
    """
    data = nested(
        _IFLA_INFO_DATA,
        u32(_IFLA_VXLAN_ID, number),
        attribute(_IFLA_VXLAN_LOCAL, socket.inet_aton(local)),
        attribute(_IFLA_VXLAN_LEARNING, b"\x01"),
        attribute(_IFLA_VXLAN_PORT, VXLAN_PORT.to_bytes(2, "big")),
    )
    body = (
        _ifinfo()
        + text(_IFLA_IFNAME, name)
        + u32(_IFLA_MTU, mtu)
        + u32(_IFLA_GROUP, group)
        + nested(_IFLA_LINKINFO, text(_IFLA_INFO_KIND, "vxlan"), data)
    )
    route.change(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body)
    index = _index_of(route, name)
    set_link(route, index, alias=alias)
    return index


class VethEnd(NamedTuple):
    """One end of a pair to be made; `namespace` is a descriptor, or None for the socket's own namespace."""

    name: str
    mac: str
    mtu: int
    group: int = 0
    namespace: int | None = None


def create_veth(route: RouteSocket, near: VethEnd, far: VethEnd) -> int:
    """Make a veth pair, each end at once in the namespace where it belongs, both down.

    Returns: the index of `near`, which is in the socket's own namespace.
    Raises: FileExistsError: a name is taken on its side; nothing is made.
    """
    peer = attribute(_VETH_INFO_PEER | 0x8000, _ifinfo() + _end(far))
    info = nested(_IFLA_LINKINFO, text(_IFLA_INFO_KIND, "veth"), nested(_IFLA_INFO_DATA, peer))
    route.change(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, _ifinfo() + _end(near) + info)
    return _index_of(route, near.name)


def _end(end: VethEnd) -> bytes:
    body = text(_IFLA_IFNAME, end.name) + attribute(_IFLA_ADDRESS, mac_bytes(end.mac)) + u32(_IFLA_MTU, end.mtu)
    if end.group:
        body += u32(_IFLA_GROUP, end.group)
    if end.namespace is not None:
        body += u32(_IFLA_NET_NS_FD, end.namespace)
    return body


def _index_of(route: RouteSocket, name: str) -> int:
    link = find_link(route, name)
    if link is None:
        raise OSError(errno.ENODEV, f"{name} was removed by somebody else")
    return link.ifindex


def set_link(
    route: RouteSocket,
    index: int,
    *,
    up: bool | None = None,
    master: int | None = None,
    mac: str | None = None,
    mtu: int | None = None,
    name: str | None = None,
    alias: str | None = None,
    namespace: int | None = None,
) -> None:
    """Change what is given and leave the rest; `master` 0 takes the interface out of its bridge.

    Raises: OSError with the kernel's reason; changes before the refused one may have been made.
    """
    flags = IFF_UP if up else 0
    body = _ifinfo(index, flags, 0 if up is None else IFF_UP)
    if master is not None:
        body += u32(_IFLA_MASTER, master)
    if mac is not None:
        body += attribute(_IFLA_ADDRESS, mac_bytes(mac))
    if mtu is not None:
        body += u32(_IFLA_MTU, mtu)
    if name is not None:
        body += text(_IFLA_IFNAME, name)
    if alias is not None:
        body += text(_IFLA_IFALIAS, alias)
    if namespace is not None:
        body += u32(_IFLA_NET_NS_FD, namespace)
    route.change(RTM_SETLINK, 0, body)


def set_hairpin(route: RouteSocket, index: int, on: bool) -> None:
    """Let a bridge send a frame back out of the port that it came in by. Source: bridge(8), `hairpin`."""
    mode = nested(_IFLA_PROTINFO, attribute(_IFLA_BRPORT_MODE, bytes([on])))
    route.change(RTM_SETLINK, 0, _ifinfo(index, family=_AF_BRIDGE) + mode)


def delete_link(route: RouteSocket, name: str) -> bool:
    """Remove the interface called `name`, with its veth peer wherever that is. Returns whether there was one."""
    try:
        route.change(RTM_DELLINK, 0, _ifinfo() + text(_IFLA_IFNAME, name))
    except OSError as error:
        if error.errno == errno.ENODEV:
            return False
        raise
    return True


def sync_carrier(control: socket.socket, name: str) -> bool:
    """Return whether the interface has a carrier, after the kernel has acted on every change of it.

    `control` is any socket of the interface's namespace. Carrier changes are worked off by a delayed work queue;
    until then an interface that just came up drops what is sent. Asking by ethtool runs the queue for this interface
    first. Raises: OSError: no such interface. Source: ethtool_op_get_link in the kernel.
    """
    import ctypes
    import fcntl

    ethtool_glink, siocethtool = 0xA, 0x8946
    value = (ctypes.c_uint32 * 2)(ethtool_glink, 0)
    fcntl.ioctl(control.fileno(), siocethtool, struct.pack("16sP16x", name.encode(), ctypes.addressof(value)))
    return bool(value[1])
