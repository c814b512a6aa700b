"""JSON by the parts of Python's `json` that are written in C, without what is around them.

`json` loads `re`, which takes 7 ms with what it needs, to find spaces and to write indented texts (docs/adr/0002).
Values and errors are those of `json`: a ValueError says where a text is wrong.
"""

from _json import encode_basestring_ascii, make_encoder, make_scanner
from collections.abc import Iterator

from limosa.model.hints import Any, Final

_SPACES: Final = " \t\n\r"
_INFINITY: Final = float("inf")
_CONSTANTS: Final = {"NaN": float("nan"), "Infinity": _INFINITY, "-Infinity": -_INFINITY}


class _Reading:
    """What `json.JSONDecoder` tells the scanner by default."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = _CONSTANTS.__getitem__


_scan: Final = make_scanner(_Reading())  # type: ignore[arg-type]


def loads(text: str | bytes) -> Any:
    """Return the value of a JSON text. Raises: ValueError: it is none; UnicodeDecodeError is one, too."""
    words = (text if isinstance(text, str) else text.decode()).strip(_SPACES)
    try:
        value, end = _scan(words, 0)
    except StopIteration as missing:
        raise ValueError(f"no JSON value at character {missing.value}") from None
    if end != len(words):
        raise ValueError(f"more than one JSON value: another at character {end}")
    return value


def dumps(value: object, *, indent: int = 0, compact: bool = False) -> str:
    """Return `value` as JSON, in one line, or with each item on a line of its own, `indent` spaces deeper.

    `compact`: without a space. Raises: TypeError: something in it is not JSON's. Keys are strings when it is indented.
    """
    if indent:
        return "".join(_indented(value, " " * indent, "\n"))
    colon, comma = (":", ",") if compact else (": ", ", ")
    encode = make_encoder({}, _refuse, encode_basestring_ascii, None, colon, comma, False, False, True)
    return "".join(encode(value, 0))


def _refuse(value: object) -> Any:
    raise TypeError(f"{type(value).__name__} is not JSON's")


def _indented(value: object, step: str, line: str) -> Iterator[str]:
    if isinstance(value, dict) and value:
        between = "{" + line + step
        for key, item in value.items():
            yield between + encode_basestring_ascii(key) + ": "
            yield from _indented(item, step, line + step)
            between = "," + line + step
        yield line + "}"
    elif isinstance(value, list | tuple) and value:
        between = "[" + line + step
        for item in value:
            yield between
            yield from _indented(item, step, line + step)
            between = "," + line + step
        yield line + "]"
    else:
        yield dumps(value)
