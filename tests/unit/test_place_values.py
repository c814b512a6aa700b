"""Values that only the kernel would refuse, and late."""

import argparse
from collections.abc import Callable

import pytest

from limosa.cli import arguments, place_values, values


@pytest.mark.parametrize(
    ("value", "good", "bad"),
    [
        (place_values.directory, ("/", "/srv/a b", ""), ("srv", "./x", "~")),
        (place_values.hostname, ("web", "web-1.example", "9", ""), ("a b", "-web", ".web", "x" * 65, "bücher")),
        (place_values.signal, ("TERM", "sigint", "9", "RTMIN+3", ""), ("FOO", "0", "65", "SIG")),
        (place_values.some_bytes, ("1", "64m"), ("0", "0k", "x")),
        (place_values.whole_seconds, ("0", "10"), ("-1", "1.5", "", "x")),
        (values.container_filter, ("status=exited", "status=running", "name=x"), ("status=foo", "foo=1")),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_taken(value: Callable[[str], object], good: tuple[str, ...], bad: tuple[str, ...]) -> None:
    for text in good:
        value(text)
    for text in bad:
        with pytest.raises((argparse.ArgumentTypeError, type(arguments.wrong("")))):
            value(text)
