"""Names, ids and capabilities: what is accepted and what is refused."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa.model import capabilities, ids
from limosa.model.container import Security
from limosa.model.errors import LimosaError


@pytest.mark.parametrize("name", ["web", "a", "A1_b.c-d", "x" * 63])
def test_good_names(name: str) -> None:
    assert ids.checked_name(name) == name


@pytest.mark.parametrize("name", ["", "-a", ".a", "a/b", "../x", "a b", "ü", "x" * 64, "a\n"])
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(LimosaError) as caught:
        ids.checked_name(name)
    assert (caught.value.code, caught.value.exit_status) == ("LIM-NAME-001", 2)


@given(st.binary(min_size=12, max_size=12))
def test_an_id_looks_like_one(seed: bytes) -> None:
    made = ids.container_id(seed)
    assert ids.looks_like_id(made)
    assert ids.looks_like_id(ids.short(made))
    assert ids.checked_name(made) == made


@pytest.mark.parametrize("text", ["sha256:" + "a" * 63, "sha256:" + "A" * 64, "a" * 64, "sha256:" + "a" * 64 + "\n"])
def test_bad_digests_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="digest"):
        ids.checked_digest(text)


def test_an_app_container_has_dockers_capabilities_and_no_more() -> None:
    found = capabilities.effective("app", Security())
    assert "CAP_CHOWN" in found
    assert not {"CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_SYS_MODULE"} & set(found)


def test_no_container_may_load_modules_unless_asked() -> None:
    assert "CAP_SYS_MODULE" not in capabilities.effective("system", Security())
    assert "CAP_SYS_MODULE" in capabilities.effective("app", Security(privileged=True))


def test_add_wins_over_drop() -> None:
    assert capabilities.effective("app", Security(cap_drop=("ALL",), cap_add=("net_admin",))) == ("CAP_NET_ADMIN",)


def test_a_capability_that_does_not_exist_is_a_usage_error() -> None:
    with pytest.raises(LimosaError) as caught:
        capabilities.effective("app", Security(cap_add=("FLY",)))
    assert caught.value.exit_status == 2


def test_an_error_says_what_state_why_and_what_to_do() -> None:
    text = str(LimosaError("LIM-X-001", "cannot do it", state="as before", cause="no reason", hint="do that"))
    assert text.splitlines() == [
        "error[LIM-X-001]: cannot do it",
        "  state: as before",
        "  cause: no reason",
        "  hint:  do that",
    ]


def test_every_capability_has_its_number() -> None:
    assert sorted(capabilities.BY_NUMBER) == sorted(capabilities.ALL)
    assert capabilities.BY_NUMBER.index("CAP_SYS_ADMIN") == 21
    assert capabilities.BY_NUMBER.index("CAP_CHECKPOINT_RESTORE") == 40
    assert capabilities.held(("CAP_CHOWN", "CAP_SYS_RESOURCE"), 0b1) == ("CAP_CHOWN",)


@given(st.text(alphabet="aZ9_.-é \n", max_size=6) | st.text(alphabet="a.", min_size=60, max_size=66))
def test_what_a_name_is(text: str) -> None:
    assert ids.is_name(text) == (re.match(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}\Z", text) is not None)
