"""NamedTuples survive JSON, and damaged JSON is an error that names the place."""

import json
import typing
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa.model import codec
from limosa.model.container import ContainerConfig, ContainerRecord, Limits, Mount, PublishedPort
from limosa.model.ids import ContainerId

NAMES = st.text(min_size=1, max_size=8)


@given(
    name=NAMES,
    args=st.lists(NAMES, max_size=3),
    memory=st.none() | st.integers(0, 1 << 50),
    cpus=st.none() | st.floats(0.01, 64),
    port=st.integers(1, 65535),
)
def test_a_record_survives_json(name: str, args: list[str], memory: int | None, cpus: float | None, port: int) -> None:
    config = ContainerConfig(
        name=name,
        oci_image="localhost/x",
        args=tuple(args),
        limits=Limits(memory_bytes=memory, cpus=cpus),
        ports=(PublishedPort(port, 80),),
        mounts=(Mount("tmpfs", "", "/tmp"),),
    )
    record = ContainerRecord(ContainerId("0" * 24), config, "running", 1, 1 << 20)
    text = json.dumps(codec.to_jsonable(record))
    assert codec.from_jsonable(ContainerRecord, json.loads(text)) == record


@pytest.mark.parametrize(
    ("damage", "place"),
    [
        ({"phase": "flying"}, "ContainerRecord.phase"),
        ({"created_ns": "1"}, "ContainerRecord.created_ns"),
        ({"created_ns": True}, "ContainerRecord.created_ns"),
        ({"layers": "sha256:…"}, "ContainerRecord.layers"),
        ({"config": {"name": "x"}}, "ContainerRecord.config"),
    ],
)
def test_damage_is_named(damage: dict[str, object], place: str) -> None:
    record = ContainerRecord(ContainerId("0" * 24), ContainerConfig("x", "y"), "running", 1, 0)
    value = {**codec.to_jsonable(record), **damage}
    with pytest.raises(codec.DecodeError, match=place.replace(".", r"\.")):
        codec.from_jsonable(ContainerRecord, value)


def test_fields_of_a_newer_limosa_are_ignored() -> None:
    class Small(NamedTuple):
        number: int
        name: str = ""

    assert codec.from_jsonable(Small, {"number": 3, "later": [1]}) == Small(3, "")


def test_hints_of_typing_mean_the_same() -> None:
    class Mixed(NamedTuple):
        side: typing.Literal["source", "target"]
        number: typing.NewType("Number", int)  # type: ignore[valid-type]

    assert codec.from_jsonable(Mixed, {"side": "target", "number": 3}) == Mixed("target", 3)
    with pytest.raises(codec.DecodeError, match="side"):
        codec.from_jsonable(Mixed, {"side": "both", "number": 3})
