"""Ethernet frames to one MAC address, caught on an interface, and frames that are sent as they were caught.

With each frame comes a virtio_net_hdr, which says what of it the sender left to hardware: its checksum, its division
into segments. A frame is sent again with it, and so is right although it never met any hardware.
Source: packet(7); linux/virtio_net.h; Linux net/packet/af_packet.c, net/core/dev.c: dev_queue_xmit_nit.
"""

import socket
import struct

from limosa.model.hints import Final

HEADER_BYTES: Final = 10  # virtio_net_hdr
_SO_ATTACH_FILTER, _SO_RCVBUFFORCE = 26, 33
_SOL_PACKET, _ADD_MEMBERSHIP, _DROP_MEMBERSHIP, _VNET_HDR = 263, 1, 2, 15
_PROMISCUOUS: Final = 1
_ETH_P_ALL: Final = 3
_MOST_FRAME_BYTES: Final = 1 << 18  # the kernel's largest packet, not yet cut into segments, is below this
_INSTRUCTION: Final = struct.Struct("=HBBI")
_LOAD_4, _LOAD_2, _IF_EQUAL, _RETURN = 0x20, 0x28, 0x15, 0x06  # classic BPF: ld [k], ldh [k], jeq, ret
_NOTHING: Final = ((_RETURN, 0, 0, 0),)
_WHOLE: Final = 0xFFFFFFFF


def catching(interface: str, mac: bytes, most_bytes: int) -> socket.socket:
    """Return a socket in which what an interface sees for `mac` waits, up to about `most_bytes`; the rest is lost.

    A bridge sees what goes from port to port only while it is promiscuous; it is, until `stop` or the socket's end.
    What is sent through the socket is not caught by it. It is of the network namespace of the calling thread.
    Raises: OSError: no such interface; PermissionError without CAP_NET_RAW and CAP_NET_ADMIN there.
    """
    caught = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, 0)
    try:
        caught.setsockopt(_SOL_PACKET, _VNET_HDR, 1)
        caught.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, most_bytes // 2)  # the kernel doubles it
        _filter(caught, _only(mac))
        caught.bind((interface, _ETH_P_ALL))
        caught.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, _membership(interface))
    except BaseException:
        caught.close()
        raise
    return caught


def stop(caught: socket.socket, interface: str) -> None:
    """Catch nothing any more. Closing does that, too, but waits 10 to 20 ms for the kernel's read-copy-update."""
    _filter(caught, _NOTHING)
    caught.setsockopt(_SOL_PACKET, _DROP_MEMBERSHIP, _membership(interface))


def taken(caught: socket.socket) -> list[bytes]:
    """Return what waits, each frame after its virtio_net_hdr."""
    found = []
    try:
        while True:
            found.append(caught.recv(_MOST_FRAME_BYTES))
    except BlockingIOError:
        return found


def send(caught: socket.socket, interface: str, frame: bytes) -> None:
    """Send a frame, with its virtio_net_hdr, out of an interface. Raises: OSError: it is down or gone."""
    ether_type = int.from_bytes(frame[HEADER_BYTES + 12 : HEADER_BYTES + 14])
    caught.sendto(frame, (interface, ether_type))


def _only(mac: bytes) -> tuple[tuple[int, int, int, int], ...]:
    return (
        (_LOAD_4, 0, 0, 0),
        (_IF_EQUAL, 0, 3, int.from_bytes(mac[:4])),
        (_LOAD_2, 0, 0, 4),
        (_IF_EQUAL, 0, 1, int.from_bytes(mac[4:])),
        (_RETURN, 0, 0, _WHOLE),
        *_NOTHING,
    )


def _filter(caught: socket.socket, program: tuple[tuple[int, int, int, int], ...]) -> None:
    import ctypes

    text = ctypes.create_string_buffer(b"".join(_INSTRUCTION.pack(*one) for one in program))
    caught.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program), ctypes.addressof(text)))


def _membership(interface: str) -> bytes:
    return struct.pack("=iHH8x", socket.if_nametoindex(interface), _PROMISCUOUS, 0)
