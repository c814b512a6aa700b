"""What a commit says of itself may be a stranger's: names that become paths are checked before anything is done."""

import json
from typing import Any

import pytest

from limosa.engine import commits, transfers
from limosa.model import codec
from limosa.model.commit import CommitRecord
from limosa.model.commit_store import Commit, Manifest, ObjectId
from limosa.model.container import FIRST_HOST_ID, ContainerConfig, ContainerRecord, Mount, NetworkRequest, Security
from limosa.model.errors import LimosaError
from limosa.model.ids import ContainerId

CONTAINER = ContainerRecord(ContainerId("a" * 24), ContainerConfig("web", "python"), "running", 1, FIRST_HOST_ID)
ID = ObjectId(b"i" * 32)


def described(changes: dict[str, Any], container: dict[str, Any]) -> CommitRecord:
    said = codec.to_jsonable(CommitRecord(CONTAINER, ("", "", "")))
    said.update(changes)
    said["container"].update(container)
    return commits.described(ID, Commit((), Manifest(), 7, json.dumps(said).encode()))


def test_a_commit_is_understood() -> None:
    assert described({"snapshot": "b" * 24}, {}).container == CONTAINER


@pytest.mark.parametrize(
    ("changes", "container"),
    [
        ({"snapshot": "../../etc"}, {}),
        ({"snapshot": "a/b"}, {}),
        ({}, {"container_id": "../" * 8}),
        ({}, {"container_id": "a" * 23}),
        ({}, {"layers": ["sha256:../../../etc"]}),
        ({}, {"config": {"name": "../web", "oci_image": "python"}}),
        ({}, {"config": {}}),
        ({"streams": []}, {}),
    ],
)
def test_a_commit_that_would_lead_elsewhere_is_refused(changes: dict[str, Any], container: dict[str, Any]) -> None:
    with pytest.raises(LimosaError) as refused:
        described(changes, container)
    assert refused.value.code == "LIM-COMM-003"


@pytest.mark.parametrize(
    "container",
    [
        CONTAINER._replace(first_host_id=0),
        CONTAINER._replace(first_host_id=1000),
        CONTAINER._replace(config=CONTAINER.config._replace(hooks=(("poststart", "true"),))),
        CONTAINER._replace(config=CONTAINER.config._replace(mounts=(Mount("bind", "/", "/mnt"),))),
        CONTAINER._replace(config=CONTAINER.config._replace(security=Security(privileged=True))),
        CONTAINER._replace(config=CONTAINER.config._replace(security=Security(cap_add=("SYS_ADMIN",)))),
        CONTAINER._replace(config=CONTAINER.config._replace(security=Security(seccomp="unconfined"))),
        CONTAINER._replace(config=CONTAINER.config._replace(network=NetworkRequest("host"))),
        CONTAINER._replace(config=CONTAINER.config._replace(devices=("fuse",))),
    ],
)
def test_what_reaches_out_of_its_container_is_named(container: ContainerRecord) -> None:
    assert len(transfers.reaching_out(container)) == 1
    assert transfers.reaching_out(CONTAINER) == []
