"""Protocol buffers as far as CRIU's RPC needs them: varints, and length-delimited strings and messages.

A message is described by a table: field number -> (name, kind), with kind "int", "bool", "str", or another table.
A name is repeated by giving a list; in a table, a kind in a list is that of a field that is repeated.
Source: Protocol Buffers "Encoding"; CRIU images/rpc.proto.
"""

from collections.abc import Mapping

from limosa.model.hints import Any

Table = Mapping[int, tuple[str, Any]]

_VARINT = 0
_DELIMITED = 2


class WireError(ValueError):
    """The bytes are no message of that table."""


def encode(table: Table, values: Mapping[str, Any]) -> bytes:
    """Return `values` as a message. Raises: KeyError: a name that the table does not have."""
    numbers = {name: number for number, (name, _) in table.items()}
    out = bytearray()
    for name, value in values.items():
        number = numbers[name]
        kind = table[number][1]
        for item in value if isinstance(value, (list, tuple)) else (value,):
            if kind in ("int", "bool"):
                out += varint(number << 3 | _VARINT) + varint(int(item) & 0xFFFFFFFFFFFFFFFF)
            else:
                body = item.encode() if kind == "str" else encode(kind, item)
                out += varint(number << 3 | _DELIMITED) + varint(len(body)) + body
    return bytes(out)


def decode(table: Table, data: bytes) -> dict[str, Any]:
    """Return the fields that `table` knows, the last of each, or all if it is repeated. Raises: WireError."""
    found: dict[str, Any] = {}
    place = 0
    while place < len(data):
        tag, place = _read_varint(data, place)
        number, wire_type = tag >> 3, tag & 7
        value: Any
        if wire_type == _VARINT:
            value, place = _read_varint(data, place)
        elif wire_type == _DELIMITED:
            length, place = _read_varint(data, place)
            if place + length > len(data):
                raise WireError("a field is longer than the message")
            value, place = data[place : place + length], place + length
        else:
            raise WireError(f"wire type {wire_type} is none of CRIU's")
        if number in table:
            name, kind = table[number]
            if isinstance(kind, list):
                found.setdefault(name, []).append(_value(kind[0], value))
            else:
                found[name] = _value(kind, value)
    return found


def _value(kind: Any, value: Any) -> Any:
    if kind == "int":
        return value - (1 << 64) if value >> 63 else value
    if kind == "bool":
        return bool(value)
    if not isinstance(value, bytes):
        raise WireError("a number stands where text or a message belongs")
    return value.decode(errors="replace") if kind == "str" else decode(kind, value)


def varint(number: int) -> bytes:
    """Return a number, 0 or more, as protobuf writes it: seven bits a byte, the lowest first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(data: bytes, place: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            raise WireError("the message ends inside a number")
        byte = data[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number & 0xFFFFFFFFFFFFFFFF, place
    raise WireError("a number is longer than 64 bits")
