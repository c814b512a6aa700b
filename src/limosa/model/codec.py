"""NamedTuples to JSON-ready values and back, checked against their annotations.

A small closed world (NamedTuple, tuple[X, ...], tuple[X, Y], dict[str, X], X | None, Literal, str, int, float,
bool), so that reading 200 records costs little and a damaged file is an error, not a strange container later.
The annotations of a type are looked at once, and become a function that decodes its values.
"""

from collections.abc import Callable
from types import NoneType, UnionType

from limosa.model.hints import Any, Literal, TypeVar

T = TypeVar("T")
Decoder = Callable[[Any], Any]


class DecodeError(ValueError):
    """The value does not have the shape that the type says; the message names the place."""

    def __init__(self, words: str, place: str = "") -> None:
        super().__init__(f"{place}: {words}")
        self.words = words
        self.place = place

    def below(self, step: str) -> "DecodeError":
        """Return the same error as seen from one level above."""
        return DecodeError(self.words, step + self.place)


_DECODERS: dict[Any, Decoder] = {}


def to_jsonable(value: object) -> Any:
    """Return `value` with NamedTuples as objects and tuples as arrays; fields keep their order."""
    kind = type(value)
    if kind is str or kind is int or value is None or kind is bool:
        return value
    fields = getattr(value, "_fields", None)
    if fields is not None:
        return {name: to_jsonable(item) for name, item in zip(fields, value, strict=True)}  # type: ignore[call-overload]
    if isinstance(value, (tuple, list)):
        return [to_jsonable(item) for item in value]
    if isinstance(value, dict):
        return {key: to_jsonable(item) for key, item in value.items()}
    return value


def from_jsonable(kind: type[T], value: object) -> T:
    """Return `value` as a `kind`. Unknown fields are ignored (a newer limosa may have written them).

    Raises: DecodeError: a field is missing without a default, or has another type.
    """
    try:
        return _decoder(kind)(value)  # type: ignore[no-any-return]
    except DecodeError as damaged:
        raise damaged.below(kind.__name__) from None


def _decoder(kind: Any) -> Decoder:
    found = _DECODERS.get(kind)
    if found is None:
        found = _DECODERS[kind] = _make_decoder(kind)
    return found


def _make_decoder(kind: Any) -> Decoder:
    if hasattr(kind, "_fields"):
        return _record_decoder(kind)
    origin: Any = getattr(kind, "__origin__", None)
    kinds: tuple[Any, ...] = getattr(kind, "__args__", ())
    if origin is tuple:
        return _array_decoder(kinds[0]) if kinds[1:] == (Ellipsis,) else _tuple_decoder(kinds)
    if origin is dict:
        return _object_decoder(kinds[1])
    if origin is Literal or repr(origin) == "typing.Literal":
        return _literal_decoder(kinds)
    if isinstance(kind, UnionType):
        (only,) = (option for option in kinds if option is not NoneType)
        return _optional_decoder(_decoder(only))
    return _scalar_decoder(getattr(kind, "__supertype__", kind))  # of a typing.NewType


def _record_decoder(kind: Any) -> Decoder:
    hints = kind.__annotations__
    if any(isinstance(hint, str) for hint in hints.values()):
        from typing import get_type_hints

        hints = get_type_hints(kind)
    fields = [(name, _decoder(hints[name])) for name in kind._fields]
    needed = [name for name in kind._fields if name not in kind._field_defaults]

    def decode(value: Any) -> Any:
        if not isinstance(value, dict):
            raise DecodeError("an object is needed")
        found = {}
        for name, decoder in fields:
            if name in value:
                try:
                    found[name] = decoder(value[name])
                except DecodeError as damaged:
                    raise damaged.below(f".{name}") from None
        missing = [name for name in needed if name not in found]
        if missing:
            raise DecodeError(f"{', '.join(missing)} is missing")
        return kind(**found)

    return decode


def _array_decoder(item_kind: Any) -> Decoder:
    decoder = _decoder(item_kind)

    def decode(value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            raise DecodeError("an array is needed")
        return tuple(_item(decoder, index, item) for index, item in enumerate(value))

    return decode


def _tuple_decoder(kinds: tuple[Any, ...]) -> Decoder:
    decoders = [_decoder(kind) for kind in kinds]

    def decode(value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            raise DecodeError("an array is needed")
        if len(decoders) != len(value):
            raise DecodeError(f"{len(decoders)} items are needed, not {len(value)}")
        return tuple(_item(decoders[index], index, item) for index, item in enumerate(value))

    return decode


def _item(decoder: Decoder, index: int, item: Any) -> Any:
    try:
        return decoder(item)
    except DecodeError as damaged:
        raise damaged.below(f"[{index}]") from None


def _object_decoder(item_kind: Any) -> Decoder:
    decoder = _decoder(item_kind)

    def decode(value: Any) -> Any:
        if not isinstance(value, dict):
            raise DecodeError("an object is needed")
        found = {}
        for key, item in value.items():
            try:
                found[str(key)] = decoder(item)
            except DecodeError as damaged:
                raise damaged.below(f".{key}") from None
        return found

    return decode


def _literal_decoder(options: tuple[Any, ...]) -> Decoder:
    def decode(value: Any) -> Any:
        if value not in options:
            raise DecodeError(f"{value!r} is none of {', '.join(map(str, options))}")
        return value

    return decode


def _optional_decoder(decoder: Decoder) -> Decoder:
    return lambda value: None if value is None else decoder(value)


def _scalar_decoder(kind: type) -> Decoder:
    def decode(value: Any) -> Any:
        if type(value) is kind:
            return value
        if kind is float and type(value) is int:
            return float(value)
        raise DecodeError(f"{kind.__name__} is needed, not {type(value).__name__}")

    return decode
