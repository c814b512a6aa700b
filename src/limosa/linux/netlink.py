"""Netlink sockets: requests, acknowledgements, dumps, and the encoding of attributes.

Links are in `netlink_link`, addresses, routes and neighbours in `netlink_address`, tracked connections in `conntrack`.
Source: netlink(7), rtnetlink(7).
"""

import os
import socket
import struct
from collections.abc import Iterator
from types import TracebackType

from limosa.model.hints import Final, Self
from limosa.model.value import NamedTuple

NLM_F_REQUEST: Final = 0x1
NLM_F_ACK: Final = 0x4
NLM_F_REPLACE: Final = 0x100
NLM_F_EXCL: Final = 0x200
NLM_F_CREATE: Final = 0x400
NLM_F_APPEND: Final = 0x800
NLM_F_DUMP: Final = 0x300
NLA_F_NESTED: Final = 0x8000
_NLM_F_DUMP_INTR: Final = 0x10
_NLM_F_CAPPED: Final = 0x100
_NLM_F_ACK_TLVS: Final = 0x200
_NLMSG_ERROR: Final = 2
_NLMSG_DONE: Final = 3
_NLMSGERR_ATTR_MSG: Final = 1
_NLA_TYPE_MASK: Final = 0x3FFF
_SOL_NETLINK: Final = 270
_NETLINK_EXT_ACK: Final = 11
_NETLINK_CAP_ACK: Final = 10
_RECEIVE_BYTES: Final = 1 << 17
_DUMP_ATTEMPTS: Final = 5

_HEADER: Final = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port id
_ATTRIBUTE: Final = struct.Struct("=HH")
_U32: Final = struct.Struct("=I")
_I32: Final = struct.Struct("=i")


class Message(NamedTuple):
    """One message of an answer: its type and what follows the netlink header."""

    kind: int
    body: bytes


class _Interrupted(Exception):
    """The table changed during the dump, which may therefore have gaps."""


def attribute(kind: int, value: bytes) -> bytes:
    """Return one attribute, padded. Source: netlink(7), struct nlattr."""
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(-length % 4)


def text(kind: int, value: str) -> bytes:
    """Return a string attribute, with its final zero."""
    return attribute(kind, value.encode() + b"\0")


def u32(kind: int, value: int) -> bytes:
    """Return a 32-bit attribute in host byte order."""
    return attribute(kind, _U32.pack(value))


def nested(kind: int, *inner: bytes) -> bytes:
    """Return an attribute that holds attributes."""
    return attribute(kind | NLA_F_NESTED, b"".join(inner))


def attributes(body: bytes, offset: int = 0) -> dict[int, bytes]:
    """Return the attributes of `body` from `offset` on, by type; of several of one type the last."""
    found: dict[int, bytes] = {}
    while offset + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, offset)
        if length < _ATTRIBUTE.size:
            break
        found[kind & _NLA_TYPE_MASK] = body[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3
    return found


def first_attribute(body: bytes, offset: int, wanted: int) -> bytes:
    """Return the first attribute of a type, without looking at those after it; empty if there is none."""
    while offset + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, offset)
        if kind & _NLA_TYPE_MASK == wanted:
            return body[offset + _ATTRIBUTE.size : offset + length]
        if length < _ATTRIBUTE.size:
            break
        offset += (length + 3) & ~3
    return b""


def as_text(value: bytes) -> str:
    """Return a string attribute's value without its final zero."""
    return value.rstrip(b"\0").decode(errors="replace")


def as_u32(value: bytes) -> int:
    """Return a 32-bit attribute's value."""
    return int(_U32.unpack_from(value)[0])


class NetlinkSocket:
    """A socket to one netlink family of the network namespace in which it was made; it stays there.

    Raises (every request): OSError with the kernel's error number, and its own words where it gives some.
    """

    def __init__(self, family: int) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        self._socket.bind((0, 0))
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket; repeating it does nothing."""
        self._socket.close()

    def change(self, kind: int, flags: int, body: bytes) -> None:
        """Ask for a change and wait until it is made or refused; a refused one has changed nothing."""
        self._send(kind, NLM_F_REQUEST | NLM_F_ACK | flags, body)
        for _ in self._answers(single=True):
            pass

    def get(self, kind: int, body: bytes) -> Message:
        """Ask for one object."""
        self._send(kind, NLM_F_REQUEST, body)
        return next(iter(self._answers(single=True)))

    def dump(self, kind: int, body: bytes) -> list[Message]:
        """Ask for all objects of a kind. Raises: InterruptedError: the table would not hold still."""
        for _ in range(_DUMP_ATTEMPTS):
            self._send(kind, NLM_F_REQUEST | NLM_F_DUMP, body)
            try:
                return list(self._answers(single=False))
            except _Interrupted:
                continue
        raise InterruptedError("the kernel's table changed during each of several dumps")

    def _send(self, kind: int, flags: int, body: bytes) -> None:
        self._sequence += 1
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, self._sequence, 0) + body)

    def _answers(self, *, single: bool) -> Iterator[Message]:
        """Yield the messages that answer the last request, up to and without its end."""
        interrupted = False
        while True:
            data = self._socket.recv(_RECEIVE_BYTES)
            offset = 0
            while offset + _HEADER.size <= len(data):
                length, kind, flags, sequence, _port = _HEADER.unpack_from(data, offset)
                body = data[offset + _HEADER.size : offset + length]
                offset += (length + 3) & ~3
                if sequence != self._sequence:
                    continue  # the rest of an answer that nobody read to its end
                interrupted = interrupted or bool(flags & _NLM_F_DUMP_INTR)
                if kind in (_NLMSG_ERROR, _NLMSG_DONE):
                    _raise_error(kind, body, flags)
                    if interrupted:
                        raise _Interrupted
                    return
                yield Message(kind, body)
                if single:
                    return


class RouteSocket(NetlinkSocket):
    """A socket to rtnetlink. Source: rtnetlink(7)."""

    def __init__(self) -> None:
        super().__init__(socket.NETLINK_ROUTE)


def _raise_error(kind: int, body: bytes, flags: int) -> None:
    """Raise what an error message (or the end of a dump) reports; 0 is success."""
    number = -_I32.unpack_from(body)[0] if len(body) >= _I32.size else 0
    if number == 0:
        return
    words = ""
    if flags & _NLM_F_ACK_TLVS:
        offset = _I32.size
        if kind == _NLMSG_ERROR:
            copied = _HEADER.unpack_from(body, _I32.size)[0]
            offset += _HEADER.size if flags & _NLM_F_CAPPED else (copied + 3) & ~3
        words = as_text(attributes(body, offset).get(_NLMSGERR_ATTR_MSG, b""))
    raise OSError(number, f"{os.strerror(number)}: {words}" if words else os.strerror(number))
