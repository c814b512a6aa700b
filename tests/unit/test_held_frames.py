"""What is told of a frame that was held: whether TCP has it, and whether somebody connects."""

import struct

import pytest

from limosa.adapters.bridge_network import held_frames
from limosa.linux.caught_frames import HEADER_BYTES

SYN, SYN_ACK, ACK, CONGESTION = 0x02, 0x12, 0x10, 0xC0


def frame(family: int, flags: int, protocol: int = 6, options: bytes = b"") -> bytes:
    tcp = struct.pack("!HHIIBBHHH", 1000, 80, 1, 0, 5 << 4, flags, 0, 0, 0)
    if family == 4:
        packet = bytes([0x45 + len(options) // 4]) + bytes(8) + bytes([protocol]) + bytes(10) + options
    else:
        packet = bytes([0x60]) + bytes(5) + bytes([protocol]) + bytes(33)
    return bytes(HEADER_BYTES + 12) + {4: b"\x08\x00", 6: b"\x86\xdd"}[family] + packet + tcp


@pytest.mark.parametrize("family", [4, 6])
def test_only_the_first_packet_of_a_connection_connects(family: int) -> None:
    assert held_frames._connects(frame(family, SYN))
    assert held_frames._connects(frame(family, SYN | CONGESTION))
    for flags in (SYN_ACK, ACK, 0):
        assert not held_frames._connects(frame(family, flags))
        assert held_frames._is_tcp(frame(family, flags))
    assert not held_frames._is_tcp(frame(family, SYN, protocol=17))


def test_options_of_a_packet_are_passed_over() -> None:
    assert held_frames._connects(frame(4, SYN, options=bytes([1] * 40)))


@pytest.mark.parametrize("family", [4, 6])
def test_a_frame_that_is_cut_off_anywhere_is_none_of_tcp(family: int) -> None:
    whole = frame(family, SYN)
    for size in range(len(whole)):
        assert not held_frames._is_tcp(whole[:size])
        assert not held_frames._connects(whole[:size])
