"""What a Containerfile starts from."""

import pytest

from limosa.model.containerfile import base_images


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM debian:13\nRUN true\n", ("debian:13",)),
        ("# a comment\nfrom debian AS build\nFROM build\n", ("debian",)),
        ("FROM scratch\nCOPY x /\n", ()),
        ("ARG TAG=12\nFROM debian:${TAG}\n", ("debian:13",)),
        ("ARG OTHER=12\nFROM debian:$OTHER\n", ("debian:12",)),
        ("ARG A='x' B=\"y\"\nFROM $A\nFROM $B\n", ("x", "y")),
        ("ARG EMPTY\nFROM ${EMPTY:-debian}${EMPTY:+:no}\n", ("debian",)),
        ("FROM --platform=linux/amd64 \\\n  # in between\n  debian \\\n  as one\nFROM one\n", ("debian",)),
        ("FROM a\nCOPY --chown=1:2 --from=b /x /y\nCOPY --from=0 /x /z\n", ("a", "b")),
        ("FROM a AS s\nFROM c\nCOPY --from=S /x /y\nRUN --mount=type=bind,from=d,target=/d true\n", ("a", "c", "d")),
        ("FROM a\nRUN echo FROM b\nRUN true # --from=x\n", ("a",)),
        ("FROM a\nARG TAG=9\nFROM b:$TAG\n", ("a", "b:")),
        ("", ()),
    ],
)
def test_base_images(text: str, expected: tuple[str, ...]) -> None:
    assert base_images(text, {"TAG": "13"}) == expected
