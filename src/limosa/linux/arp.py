"""Say on a segment where an address lives now, and ask who has one: raw ARP and neighbour discovery frames.

Sockets are made by the caller in the namespace that is meant (`packet_socket`). Source: packet(7), RFC 826, RFC 5227
(announcement), RFC 4861 section 7.2.6 (unsolicited neighbour advertisement).
"""

import socket
import struct
import time

from limosa.model.hints import Final

_ETH_P_ARP: Final = 0x0806
_ETH_P_IPV6: Final = 0x86DD
_BROADCAST: Final = b"\xff" * 6
_ARP: Final = struct.Struct("!HHBBH6s4s6s4s")
_HEADER_BYTES: Final = 14  # of an Ethernet frame
_ARP_REQUEST: Final = 1
_ARP_REPLY: Final = 2
_NEIGHBOUR_ADVERTISEMENT: Final = 136
_OVERRIDE: Final = 0x20000000
_ALL_NODES: Final = socket.inet_pton(socket.AF_INET6, "ff02::1")
_ALL_NODES_MAC: Final = b"\x33\x33\x00\x00\x00\x01"


def packet_socket() -> socket.socket:
    """Return a socket that sends whole Ethernet frames in the current network namespace and receives none.

    Closing it takes 10 to 20 ms (packet_release in the kernel waits for a read-copy-update grace period).
    Raises: PermissionError without CAP_NET_RAW over that namespace.
    """
    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)


def announce(frames: socket.socket, interface: str, mac: bytes, address: str) -> None:
    """Tell every neighbour that `address` is at `mac`, out of `interface` (gratuitous ARP, or its IPv6 counterpart).

    Both an ARP request and a reply are sent, since some neighbours only learn from one of them.
    Raises: OSError: no such interface, or it is down.
    """
    for frame in announcements(mac, address):
        frames.sendto(frame, (interface, 0))


def announcements(mac: bytes, address: str) -> list[bytes]:
    """Return the frames of `announce`."""
    if ":" in address:
        return [neighbour_advertisement(mac, address)]
    return [gratuitous_arp(mac, address, operation) for operation in (_ARP_REQUEST, _ARP_REPLY)]


def answered(interface: str, mac: bytes, address: str, wait_s: float) -> bool:
    """Say whether somebody on a segment has an IPv4 address: ask twice, half of `wait_s` each, as nobody (0.0.0.0).

    Who answers to nobody's question learns nothing false of the asker. Source: RFC 5227 section 2.1.1 (probe).
    Raises: OSError: no such interface, or it is down. PermissionError without CAP_NET_RAW.
    """
    wanted = socket.inet_aton(address)
    packet = _ARP.pack(1, 0x0800, 6, 4, _ARP_REQUEST, mac, bytes(4), bytes(6), wanted)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.htons(_ETH_P_ARP)) as frames:
        frames.bind((interface, _ETH_P_ARP))
        for _ in range(2):
            frames.send(_BROADCAST + mac + struct.pack("!H", _ETH_P_ARP) + packet)
            until = time.monotonic() + wait_s / 2
            while (left_s := until - time.monotonic()) > 0:
                frames.settimeout(left_s)
                try:
                    came = frames.recv(2048)
                except TimeoutError:
                    break
                if len(came) >= _HEADER_BYTES + _ARP.size and _ARP.unpack_from(came, _HEADER_BYTES)[6] == wanted:
                    return True
    return False


def gratuitous_arp(mac: bytes, address: str, operation: int = _ARP_REQUEST) -> bytes:
    """Return the frame in which the owner of `address` names it as sender and as target."""
    own = socket.inet_aton(address)
    target = _BROADCAST if operation == _ARP_REPLY else bytes(6)
    packet = _ARP.pack(1, 0x0800, 6, 4, operation, mac, own, target, own)
    return _BROADCAST + mac + struct.pack("!H", _ETH_P_ARP) + packet


def neighbour_advertisement(mac: bytes, address: str) -> bytes:
    """Return an unsolicited neighbour advertisement for `address`, with the override flag, to all nodes."""
    own = socket.inet_pton(socket.AF_INET6, address)
    option = bytes([2, 1]) + mac  # target link-layer address
    message = struct.pack("!BBHI", _NEIGHBOUR_ADVERTISEMENT, 0, 0, _OVERRIDE) + own + option
    pseudo = own + _ALL_NODES + struct.pack("!II", len(message), socket.IPPROTO_ICMPV6)
    message = message[:2] + struct.pack("!H", checksum(pseudo + message)) + message[4:]
    header = struct.pack("!IHBB", 6 << 28, len(message), socket.IPPROTO_ICMPV6, 255) + own + _ALL_NODES
    return _ALL_NODES_MAC + mac + struct.pack("!H", _ETH_P_IPV6) + header + message


def checksum(data: bytes) -> int:
    """Return the Internet checksum of `data`. Source: RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total
