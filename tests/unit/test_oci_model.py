"""References, and values that strangers wrote."""

import argparse
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa.cli import image_change
from limosa.cli.image_import import changed
from limosa.model import oci
from limosa.model.errors import LimosaError
from limosa.model.oci import RootfsConfig

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis", "docker.io/library/redis:latest"),
        ("redis:7", "docker.io/library/redis:7"),
        ("team/web", "docker.io/team/web:latest"),
        ("index.docker.io/redis", "docker.io/library/redis:latest"),
        ("localhost/web", "localhost/web:latest"),
        ("127.0.0.1:5000/web:1.2", "127.0.0.1:5000/web:1.2"),
        ("[::1]:5000/web", "[::1]:5000/web:latest"),
        (f"registry.example/a/b/c@{DIGEST}", f"registry.example/a/b/c@{DIGEST}"),
        (f"redis:7@{DIGEST}", f"docker.io/library/redis@{DIGEST}"),
    ],
)
def test_references(text: str, expected: str) -> None:
    assert str(oci.parse_reference(text)) == expected
    assert oci.parse_reference(expected) == oci.parse_reference(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "Redis", "a b", "a//b", "/a", "a/", "a:", "a:b:c", "a@sha256:12", "a@", "-a", "a..b", "../a", "a\n"),
        *("a:" + "t" * 129, "a" * 300),
    ],
)
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(LimosaError) as refused:
        oci.parse_reference(text)
    assert refused.value.code == "LIM-IMG-008"


@given(st.text(alphabet=string.ascii_letters + string.digits + ":/@.-_[]\n\0 ", max_size=40))
def test_a_reference_reads_back_or_is_refused(text: str) -> None:
    try:
        parsed = oci.parse_reference(text)
    except LimosaError:
        return
    assert oci.parse_reference(str(parsed)) == parsed
    assert ".." not in str(parsed).split("/")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["config", "rootfs", "diff_ids", "layers", "Env", "Cmd", "Labels", "size", "digest", "schemaVersion"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_values_of_strangers_are_read_or_refused(value: object) -> None:
    for parse in (oci.parse_manifest, oci.parse_config, oci.parse_descriptor):
        try:
            parse(value)
        except ValueError:
            pass


def test_a_configuration_reads_back() -> None:
    run = RootfsConfig(("e",), ("c",), (("A", "b=c"),), "/w", "1:2", "SIGINT", ("80/tcp",), ("/data",), (("k", "v"),))
    parsed = oci.parse_config(oci.config_json(run, "amd64", "2026-01-01T00:00:00Z", (oci.checked_digest(DIGEST),)))
    assert parsed.run == run
    assert parsed.diff_ids == (DIGEST,)


def test_changes_of_an_import() -> None:
    said = ['CMD ["a", "b c"]', "ENTRYPOINT=run it", "ENV A=1", "ENV B='x y'", "LABEL k=v", "USER web"]
    said += ["EXPOSE 80 53/udp", "VOLUME /data", "WORKDIR /w", "STOPSIGNAL=SIGINT"]
    assert changed([image_change.instruction(text) for text in said]) == RootfsConfig(
        entrypoint=("/bin/sh", "-c", "run it"),
        cmd=("a", "b c"),
        env=(("A", "1"), ("B", "x y")),
        cwd="/w",
        user="web",
        stop_signal="SIGINT",
        exposed_ports=("80/tcp", "53/udp"),
        volumes=("/data",),
        labels=(("k", "v"),),
    )
    assert changed([]) == RootfsConfig()
    for bad in ("RUN x", "CMD", 'CMD ["a"', "CMD [1]", "ENV 'a"):
        with pytest.raises(argparse.ArgumentTypeError):
            image_change.instruction(bad)


@given(st.text(alphabet="abZ09._-:/[]é\n ", max_size=10))
def test_what_needs_no_grammar_is_of_it(text: str) -> None:
    for grammar, separators in ((oci._HOST, ".-"), (oci._COMPONENT, "._-"), (oci._TAG, "._-")):
        assert oci._fits(grammar, text, separators) == (re.match(grammar, text) is not None)


@given(st.text(alphabet="sha256:0afg", max_size=12))
def test_abbreviated_digests(text: str) -> None:
    found = re.match(r"(?:sha256:)?([0-9a-f]{4,64})\Z", text)
    assert oci.abbreviated_digest(text) == (found.group(1) if found else "")
