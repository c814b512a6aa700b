"""criu's messages, taken strictly: a field that this criu does not know, or of another kind, is an error.

`schema.txt` was made from criu's sources by tools/criu-schema and says which fields there are. Source: Protocol Buffers
"Encoding"; CRIU images/*.proto.
"""

import functools
import os

from limosa.adapters.criu.wire import WireError, varint
from limosa.model.hints import Any, Final
from limosa.model.value import NamedTuple

_MOST_DEPTH: Final = 40  # of groups below groups in cgroup.img; every other message is flat beside it
_WIRE_TYPES: Final = {"i": 0, "8": 1, "4": 5}
_DELIMITED: Final = 2
_FIXED_BYTES: Final = {"4": 4, "8": 8}

Message = dict[int, Any]
"""Field number -> number, bytes or message; a list of them for a field that may be there several times."""


class _Field(NamedTuple):
    kind: str
    required: bool
    repeated: bool


class Budget:
    """How many fields may still be read: what bounds the memory that a stranger's message takes."""

    def __init__(self, fields: int) -> None:
        self.fields = fields


@functools.cache
def _messages() -> dict[str, dict[int, _Field]]:
    found = {}
    with open(f"{os.path.dirname(__file__)}/schema.txt", encoding="ascii") as file:
        for line in file:
            name, *fields = line.split()
            found[name] = dict(_field(text) for text in fields)
    return found


def _field(text: str) -> tuple[int, _Field]:
    number, _, kind = text.partition(":")
    return int(number), _Field(kind.rstrip("!*"), kind.endswith("!"), kind.endswith("*"))


def decode(name: str, data: bytes, budget: Budget) -> Message:
    """Return a message of the kind `name`.

    Raises: WireError: it is none, has a field twice or lacks one, or `budget` is used up.
    """
    return _decode(name, memoryview(data), budget, 0)


def _decode(name: str, data: memoryview, budget: Budget, depth: int) -> Message:
    if depth > _MOST_DEPTH:
        raise WireError(f"a {name} too far down")
    fields = _messages()[name]
    found: Message = {}
    place, end = 0, len(data)
    while place < end:
        budget.fields -= 1
        if budget.fields < 0:
            raise WireError("more fields than an image of a container has")
        tag, place = _varint(data, place)
        number = tag >> 3
        field = fields.get(number)
        if field is None:
            raise WireError(f"a {name} with a field {number}, which criu does not have")
        value, place = _value(name, number, field, tag & 7, data, place, budget, depth)
        if field.repeated:
            found.setdefault(number, []).extend(value if isinstance(value, list) else [value])
        elif number in found:
            raise WireError(f"a {name} with its field {number} twice")
        else:
            found[number] = value
    for number, field in fields.items():
        if field.required and number not in found:
            raise WireError(f"a {name} without its field {number}")
    return found


def _value(
    name: str, number: int, field: _Field, wire_type: int, data: memoryview, place: int, budget: Budget, depth: int
) -> tuple[Any, int]:
    kind = field.kind
    if wire_type == _WIRE_TYPES.get(kind, _DELIMITED):
        if kind == "i":
            return _varint(data, place)
        size = _FIXED_BYTES.get(kind, 0)
        if not size:
            size, place = _varint(data, place)
        if place + size > len(data):
            raise WireError(f"a {name} that ends inside its field {number}")
        body = data[place : place + size]
        if kind in _FIXED_BYTES:
            return int.from_bytes(body, "little"), place + size
        return (bytes(body) if kind == "s" else _decode(kind, body, budget, depth + 1)), place + size
    if wire_type == _DELIMITED and field.repeated and kind == "i":
        return _packed(data, place, budget)
    raise WireError(f"a {name} with a field {number} of another kind")


def _packed(data: memoryview, place: int, budget: Budget) -> tuple[list[int], int]:
    size, place = _varint(data, place)
    end = place + size
    if end > len(data):
        raise WireError("a list that is longer than its message")
    numbers = []
    while place < end:
        budget.fields -= 1
        if budget.fields < 0:
            raise WireError("more fields than an image of a container has")
        number, place = _varint(data[:end], place)
        numbers.append(number)
    return numbers, end


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    try:
        byte = data[place]
        if byte < 0x80:
            return byte, place + 1
        number, shift = byte & 0x7F, 7
        while shift < 70:
            place += 1
            byte = data[place]
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number & 0xFFFFFFFFFFFFFFFF, place + 1
            shift += 7
    except IndexError:
        raise WireError("a message that ends inside a number") from None
    raise WireError("a number of more than 64 bits")


def encode(name: str, message: Message) -> bytes:
    """Return a message as bytes, as `decode` reads it; fields by number."""
    out = bytearray()
    for number, value in sorted(message.items()):
        kind = _messages()[name][number].kind
        for item in value if isinstance(value, list) else [value]:
            if kind in _FIXED_BYTES:
                out += _tag(number, kind) + item.to_bytes(_FIXED_BYTES[kind], "little")
            elif kind == "i":
                out += _tag(number, kind) + varint(item)
            else:
                body = item if kind == "s" else encode(kind, item)
                out += _tag(number, kind) + varint(len(body)) + body
    return bytes(out)


def _tag(number: int, kind: str) -> bytes:
    return varint(number << 3 | _WIRE_TYPES.get(kind, _DELIMITED))
