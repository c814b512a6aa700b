"""limosa's own NamedTuple does what Python's does, wherever limosa uses it."""

import copy
import pickle
import typing
from typing import Any

import pytest

from limosa.model import value
from limosa.model.container import ContainerRecord, PublishedPort


class Ours(value.NamedTuple):
    """A record."""

    first: int
    second: str = "two"
    third: tuple[int, ...] = ()

    @property
    def doubled(self) -> int:
        return 2 * self.first


class Pythons(typing.NamedTuple):
    """A record."""

    first: int
    second: str = "two"
    third: tuple[int, ...] = ()

    @property
    def doubled(self) -> int:
        return 2 * self.first


@pytest.mark.parametrize("kind", [Ours, Pythons])
def test_it_is_used_like_pythons(kind: Any) -> None:
    one = kind(1, third=(3,))
    assert one == (1, "two", (3,)) and hash(one) == hash((1, "two", (3,)))
    assert (one.first, one.second, one.third, one.doubled) == (1, "two", (3,), 2)
    assert one._replace(second="x", first=0) == (0, "x", (3,)) and type(one._replace()) is kind
    assert one._asdict() == {"first": 1, "second": "two", "third": (3,)}
    assert repr(one) == f"{kind.__name__}(first=1, second='two', third=(3,))"
    assert kind._make([1, "b", ()]) == (1, "b", ()) and type(kind._make([1, "b", ()])) is kind
    assert kind._fields == ("first", "second", "third") and kind._field_defaults == {"second": "two", "third": ()}
    for same in (pickle.loads(pickle.dumps(one)), copy.copy(one), copy.deepcopy(one)):
        assert same == one and type(same) is kind
    match one:
        case kind(first, second):
            assert (first, second) == (1, "two")
        case _:
            raise AssertionError
    assert kind.__doc__ == "A record." and not hasattr(one, "__dict__")
    assert typing.get_type_hints(kind)["third"] == tuple[int, ...]


@pytest.mark.parametrize("kind", [Ours, Pythons])
@pytest.mark.parametrize(("values", "named"), [((), {}), ((1, "2", (), 4), {}), ((1,), {"first": 1}), ((1,), {"x": 1})])
def test_wrong_fields_are_refused(kind: Any, values: tuple[Any, ...], named: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        kind(*values, **named)


@pytest.mark.parametrize("kind", [Ours, Pythons])
def test_what_is_no_field_is_not_replaced(kind: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="nosuch"):  # Python 3.13 raises the second
        kind(1)._replace(nosuch=1)
    with pytest.raises(AttributeError):
        kind(1).first = 2


def test_a_field_without_a_default_comes_first() -> None:
    with pytest.raises(TypeError):

        class Wrong(value.NamedTuple):
            first: int = 1
            second: str

    assert PublishedPort(1, 2) < PublishedPort(2, 1)


def test_there_is_room_for_every_field() -> None:
    assert len(ContainerRecord._fields) < value._MOST_FIELDS

    with pytest.raises(ValueError, match="fields"):
        value.NamedTuple.__class__("Many", (value.NamedTuple,), {"__annotations__": dict.fromkeys(map(str, range(99)))})  # type: ignore[misc,call-overload]
