"""Connections that the kernel tracks, by ctnetlink: forget those that a change of rules would not reach.

A tracked flow keeps the translation that was decided at its first packet. Source: linux/netfilter/
nfnetlink_conntrack.h; the attributes are in network byte order.
"""

import errno
import socket
import struct

from limosa.linux.netlink import NetlinkSocket, attribute, attributes, nested, u32
from limosa.model.hints import Final

_NETLINK_NETFILTER: Final = 12
_SUBSYSTEM: Final = 1 << 8
_GET: Final = _SUBSYSTEM | 1
_DELETE: Final = _SUBSYSTEM | 2
_CTA_TUPLE_ORIG: Final = 1
_CTA_FILTER: Final = 25
_CTA_TUPLE_PROTO: Final = 2
_CTA_PROTO_NUM: Final = 1
_CTA_PROTO_DST_PORT: Final = 3
_CTA_FILTER_ORIG_FLAGS: Final = 1
_BY_PROTOCOL_AND_TARGET_PORT: Final = (1 << 3) | (1 << 5)
_NFGENMSG: Final = struct.Struct("!BBH")  # family, version, resource


def forget_udp_flows(port: int) -> int:
    """Forget the UDP flows to `port` of this network namespace, whoever they were translated to; return how many.

    Raises: OSError: the kernel does not track connections, or refuses.
    """
    forgotten = 0
    with NetlinkSocket(_NETLINK_NETFILTER) as conntrack:
        for family in (socket.AF_INET, socket.AF_INET6):
            header = _NFGENMSG.pack(family, 0, 0)
            for message in conntrack.dump(_GET, header + _wanted(port)):
                original = attributes(message.body, _NFGENMSG.size).get(_CTA_TUPLE_ORIG, b"")
                if _is_udp_to(original, port) and _forget(conntrack, header, original):
                    forgotten += 1
    return forgotten


def _wanted(port: int) -> bytes:
    """Return what narrows the dump in the kernel (5.8); an older one sends everything, which `_is_udp_to` sorts."""
    protocol = attribute(_CTA_PROTO_NUM, bytes([socket.IPPROTO_UDP]))
    target = attribute(_CTA_PROTO_DST_PORT, struct.pack("!H", port))
    tuple_of_flow = nested(_CTA_TUPLE_ORIG, nested(_CTA_TUPLE_PROTO, protocol, target))
    return tuple_of_flow + nested(_CTA_FILTER, u32(_CTA_FILTER_ORIG_FLAGS, _BY_PROTOCOL_AND_TARGET_PORT))


def _is_udp_to(original: bytes, port: int) -> bool:
    protocol = attributes(attributes(original).get(_CTA_TUPLE_PROTO, b""))
    is_udp = protocol.get(_CTA_PROTO_NUM) == bytes([socket.IPPROTO_UDP])
    return is_udp and protocol.get(_CTA_PROTO_DST_PORT, b"")[:2] == struct.pack("!H", port)


def _forget(conntrack: NetlinkSocket, header: bytes, original: bytes) -> bool:
    # Never without the tuple: that would forget every connection of the host.
    try:
        conntrack.change(_DELETE, 0, header + attribute(_CTA_TUPLE_ORIG | 0x8000, original))
    except OSError as error:
        if error.errno == errno.ENOENT:
            return False
        raise
    return True
