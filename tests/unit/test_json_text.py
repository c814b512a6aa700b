"""JSON without `json`: the same values, the same texts, the same errors."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa.model import json_text

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(VALUES)
def test_texts_are_those_of_json(value: object) -> None:
    assert json_text.dumps(value) == json.dumps(value)
    assert json_text.dumps(value, compact=True) == json.dumps(value, separators=(",", ":"))
    assert json_text.dumps(value, indent=1) == json.dumps(value, indent=1)
    assert json_text.dumps(value, indent=2) == json.dumps(value, indent=2)


@given(VALUES)
def test_values_are_those_of_json(value: object) -> None:
    for text in (json.dumps(value), json.dumps(value, indent=1), f" {json.dumps(value, ensure_ascii=False)}\n"):
        assert json_text.loads(text) == json.loads(text)
    assert json_text.loads(json.dumps(value).encode()) == value


@given(st.text(alphabet='{}[]",:019.eE+-tnul \\\n', max_size=12))
def test_what_json_refuses_is_refused(text: str) -> None:
    try:
        wanted = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError):
            json_text.loads(text)
    else:
        assert json_text.loads(text) == wanted


def test_tuples_and_named_numbers_are_written() -> None:
    assert json_text.dumps((1, ("a",)), indent=1) == json.dumps([1, ["a"]], indent=1)
    assert json_text.loads("[NaN, Infinity, -Infinity]")[1:] == [float("inf"), float("-inf")]


@pytest.mark.parametrize("indent", [0, 1])
def test_what_is_not_jsons_is_an_error(indent: int) -> None:
    with pytest.raises(TypeError, match="bytes is not JSON's"):
        json_text.dumps({"a": [b"x"]}, indent=indent)


@pytest.mark.parametrize("text", [b"\xff", "", "[1] 2", '{"a": }', "[1"])
def test_a_damaged_text_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError):
        json_text.loads(text)
