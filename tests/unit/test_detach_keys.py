"""The keys that let go of a terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa.model.detach import KeyMatcher, keys
from limosa.model.errors import LimosaError


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("ctrl-p,ctrl-q", b"\x10\x11"),
        ("a,b", b"ab"),
        ("ctrl-@", b"\0"),
        ("ctrl-[", b"\x1b"),
        ("", b""),
        ("ctrl-A", b"\1"),
    ],
)
def test_keys_as_docker_writes_them(text: str, wanted: bytes) -> None:
    assert keys(text) == wanted


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-ab", "ab", "a,,b", "ctrl-1", "é", ","])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(LimosaError) as refused:
        keys(text)
    assert refused.value.code == "LIM-CLI-002"


def test_a_beginning_is_held_back_and_then_passed_on() -> None:
    matcher = KeyMatcher(b"\x10\x11")
    assert matcher.feed(b"ls\x10") == (b"ls", False)
    assert matcher.feed(b"x") == (b"\x10x", False)
    assert matcher.feed(b"\x10") == (b"", False)
    assert matcher.feed(b"\x10") == (b"\x10", False)
    assert matcher.feed(b"\x11rest") == (b"", True)


@given(st.lists(st.binary(max_size=4)), st.binary(min_size=1, max_size=3))
def test_whatever_the_pieces_the_keys_are_found_where_they_are_and_nothing_is_lost(
    pieces: list[bytes], wanted: bytes
) -> None:
    matcher, passed, found = KeyMatcher(wanted), b"", False
    for piece in pieces:
        out, found = matcher.feed(piece)
        passed += out
        if found:
            break
    typed = b"".join(pieces)
    assert found == (wanted in typed)
    if found:
        assert passed == typed[: typed.index(wanted)]
    else:
        assert typed.startswith(passed)
        assert len(typed) - len(passed) < len(wanted)


def test_no_keys_hold_nothing_back() -> None:
    assert KeyMatcher(b"").feed(b"\x10\x11") == (b"\x10\x11", False)
