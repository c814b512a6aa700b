"""The base of every record: `typing.NamedTuple` to the type checker and in use, but made in a tenth of the time.

Python's own compiles a `__new__` for each class and checks each annotation, a quarter of a millisecond a class: for the
hundred that `run` knows, as much as everything else that it does by itself (docs/adr/0002).
"""

from collections.abc import Iterable, Mapping
from operator import itemgetter

from limosa.model.hints import TYPE_CHECKING, Any, Final

__all__ = ["NamedTuple"]

_MOST_FIELDS: Final = 64
_ITEMS: Final = tuple(property(itemgetter(index)) for index in range(_MOST_FIELDS))


class _Values(tuple[Any, ...]):
    """What instances have."""

    __slots__ = ()
    _fields: tuple[str, ...] = ()
    _field_defaults: Mapping[str, Any] = {}

    def __new__(cls, *values: Any, **named: Any) -> "_Values":
        """Return an instance. Raises: TypeError: a field is missing, unknown or given twice."""
        if named or len(values) != len(cls._fields):
            values = _completed(cls, values, named)
        return tuple.__new__(cls, values)

    @classmethod
    def _make(cls, values: Iterable[Any]) -> "_Values":
        return cls(*values)

    def _replace(self, /, **named: Any) -> "_Values":
        values = [named.pop(field, value) for field, value in zip(self._fields, self, strict=True)]
        if named:
            raise ValueError(f"{type(self).__name__} has no field {', '.join(named)}")
        return tuple.__new__(type(self), values)

    def _asdict(self) -> dict[str, Any]:
        return dict(zip(self._fields, self, strict=True))

    def __repr__(self) -> str:
        fields = zip(self._fields, self, strict=True)
        return f"{type(self).__name__}({', '.join(f'{field}={value!r}' for field, value in fields)})"

    def __getnewargs__(self) -> tuple[Any, ...]:
        return tuple(self)


def _completed(kind: type[_Values], values: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
    fields = kind._fields
    if len(values) > len(fields):
        raise TypeError(f"{kind.__name__} has {len(fields)} fields, not {len(values)}")
    defaults = kind._field_defaults
    rest = []
    for field in fields[len(values) :]:
        if field in named:
            rest.append(named.pop(field))
        elif field in defaults:
            rest.append(defaults[field])
        else:
            raise TypeError(f"{kind.__name__} needs {field}")
    if named:
        raise TypeError(f"{kind.__name__} has no field {', '.join(named)}, or it is given twice")
    return (*values, *rest)


if TYPE_CHECKING:
    from typing import NamedTuple
else:

    class _Maker(type):
        def __new__(cls, name, bases, body):
            """Return the class. Raises: TypeError: a field with a default comes before one without."""
            if not bases:
                return type.__new__(cls, name, bases, body)
            fields = tuple(body.get("__annotations__", ()))
            defaults = {field: body[field] for field in fields if field in body}
            if tuple(defaults) != fields[len(fields) - len(defaults) :]:
                raise TypeError(f"{name}: a field without a default follows one that has it")
            if len(fields) > len(_ITEMS):
                raise ValueError(f"{name} has more than {len(_ITEMS)} fields")
            body.update(zip(fields, _ITEMS, strict=False))
            body.update(_fields=fields, _field_defaults=defaults, __match_args__=fields, __slots__=())
            return type.__new__(type, name, (_Values,), body)

    class NamedTuple(metaclass=_Maker):
        """`class Name(NamedTuple): field: Type = default`."""
