"""NamedTuples to JSON-ready values and back, checked against their annotations.

A small closed world (NamedTuple, tuple[X, ...], tuple[X, Y], dict[str, X], X | None, Literal, str, int, float,
bool), so that reading 200 records costs little and a damaged file is an error, not a strange container later.
"""

from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


class DecodeError(ValueError):
    """The value does not have the shape that the type says; the message names the place."""


_HINTS: dict[type, dict[str, Any]] = {}


def to_jsonable(value: object) -> Any:
    """Return `value` with NamedTuples as objects and tuples as arrays; fields keep their order."""
    fields = getattr(value, "_fields", None)
    if fields is not None:
        return {name: to_jsonable(getattr(value, name)) for name in fields}
    if isinstance(value, (tuple, list)):
        return [to_jsonable(item) for item in value]
    if isinstance(value, dict):
        return {key: to_jsonable(item) for key, item in value.items()}
    return value


def from_jsonable(kind: type[T], value: object) -> T:
    """Return `value` as a `kind`. Unknown fields are ignored (a newer limosa may have written them).

    Raises: DecodeError: a field is missing without a default, or has another type.
    """
    return _decode(kind, value, kind.__name__)  # type: ignore[no-any-return]


def _decode(kind: Any, value: object, where: str) -> Any:
    if hasattr(kind, "_fields"):
        return _decode_record(kind, value, where)
    origin = get_origin(kind)
    if origin is tuple:
        return _decode_tuple(get_args(kind), value, where)
    if origin is dict:
        if not isinstance(value, dict):
            raise DecodeError(f"{where}: an object is needed")
        item_kind = get_args(kind)[1]
        return {str(key): _decode(item_kind, item, f"{where}.{key}") for key, item in value.items()}
    if origin is Literal:
        if value not in get_args(kind):
            raise DecodeError(f"{where}: {value!r} is none of {', '.join(map(str, get_args(kind)))}")
        return value
    if origin in (Union, UnionType):
        if value is None and NoneType in get_args(kind):
            return None
        (only,) = (option for option in get_args(kind) if option is not NoneType)
        return _decode(only, value, where)
    return _decode_scalar(getattr(kind, "__supertype__", kind), value, where)


def _decode_record(kind: Any, value: object, where: str) -> Any:
    if not isinstance(value, dict):
        raise DecodeError(f"{where}: an object is needed")
    hints = _HINTS.get(kind)
    if hints is None:
        hints = _HINTS[kind] = get_type_hints(kind)
    found = {name: _decode(hints[name], value[name], f"{where}.{name}") for name in kind._fields if name in value}
    missing = [name for name in kind._fields if name not in found and name not in kind._field_defaults]
    if missing:
        raise DecodeError(f"{where}: {', '.join(missing)} is missing")
    return kind(**found)


def _decode_tuple(kinds: tuple[Any, ...], value: object, where: str) -> Any:
    if not isinstance(value, (list, tuple)):
        raise DecodeError(f"{where}: an array is needed")
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(_decode(kinds[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    if len(kinds) != len(value):
        raise DecodeError(f"{where}: {len(kinds)} items are needed, not {len(value)}")
    return tuple(
        _decode(kind, item, f"{where}[{index}]") for index, (kind, item) in enumerate(zip(kinds, value, strict=True))
    )


def _decode_scalar(kind: Any, value: object, where: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise DecodeError(f"{where}: {kind.__name__} is needed, not {type(value).__name__}")
    return value
