"""Commits by name: what may be forgotten, tagged and copied, and what an error says of what there is then."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.commit_store import FakeCommitStore
from tests.fakes.oci_images import FakeImages

from limosa.engine import commits, copies, restore, transfers
from limosa.engine.host import Host
from limosa.model import codec
from limosa.model.commit import CommitId, CommitRecord
from limosa.model.commit_store import Commit, Manifest, container_ref
from limosa.model.container import FIRST_HOST_ID, ContainerConfig, ContainerRecord, CopyRequest
from limosa.model.errors import LimosaError
from limosa.model.ids import ContainerId

RUNNING = ContainerRecord(ContainerId("a" * 24), ContainerConfig("web", "python"), "running", 1, FIRST_HOST_ID)


class OneContainer:
    def __init__(self, record: ContainerRecord) -> None:
        self._record = record

    def find(self, reference: str) -> ContainerRecord:
        if reference != self._record.config.name and not self._record.container_id.startswith(reference):
            raise LimosaError("LIM-NAME-003", f"there is no container {reference!r}")
        return self._record

    def all(self) -> list[ContainerRecord]:
        return [self._record]


class NoFiles:
    """Storage and volumes that have nothing."""

    def prepare(self) -> None: ...
    def drop_snapshot(self, container_id: str, label: str) -> None: ...
    def drop_snapshots(self, label: str) -> None: ...


def host_of(record: ContainerRecord = RUNNING) -> Host:
    builders: dict[str, Any] = {
        "store": FakeCommitStore,
        "containers": lambda: OneContainer(record),
        "storage": NoFiles,
        "volumes": NoFiles,
    }
    return Host(builders, lambda: 1, os.urandom, lambda: "boot")


def committed(host: Host, number: int) -> list[CommitRecord]:
    """Return so many commits of the container, each the parent of the next."""
    parents: tuple[Any, ...] = ()
    for index in range(number):
        attributes = json.dumps(codec.to_jsonable(CommitRecord(RUNNING, ("", "", ""), message=str(index)))).encode()
        with host.store.writing() as writer:
            made = writer.put_commit(Commit(parents, Manifest(), index, attributes))
            host.store.set_ref(container_ref(RUNNING.container_id), made, when_ns=index, why="checkpoint")
        parents = (made,)
    return commits.every(host)


def test_a_tag_anywhere_in_a_history_keeps_all_of_it() -> None:
    host = host_of()
    history = committed(host, 3)
    commits.tag(host, history[0], "good")
    told: list[CommitRecord] = []
    with pytest.raises(LimosaError) as refused:
        commits.forget_all(host, history, told.append)
    assert (refused.value.code, refused.value.state) == ("LIM-COMM-004", "nothing changed")
    assert told == []
    assert commits.every(host) == history
    commits.untag(host, "good")
    commits.forget_all(host, [*history, history[1]], told.append)
    assert told == history[::-1], "each once, the latest first"
    assert commits.every(host) == []


@pytest.mark.parametrize("tag", ["web", RUNNING.container_id[:6]])
def test_a_tag_is_nothing_that_means_a_container(tag: str) -> None:
    host = host_of()
    (commit,) = committed(host, 1)
    with pytest.raises(LimosaError) as refused:
        commits.tag(host, commit, tag)
    assert refused.value.code == "LIM-COMM-025"
    assert '"web"' in refused.value.cause
    with pytest.raises(LimosaError) as refused:
        commits.require_free_tag(host, tag)
    assert refused.value.code == "LIM-COMM-025", "before a commit is made for it"
    assert commits.tags(host) == {}


def test_a_tag_is_no_beginning_of_an_id() -> None:
    host = host_of()
    first, second = committed(host, 2)
    with pytest.raises(LimosaError) as refused:
        commits.tag(host, second, first.commit_id[:7])
    assert refused.value.code == "LIM-COMM-025"
    assert first.commit_id[:12] in refused.value.cause
    commits.tag(host, second, "good")
    commits.tag(host, second, "good")
    assert commits.find(host, "tags/good") == commits.find(host, "good") == second


def test_a_paused_container_is_not_copied_from_what_it_was() -> None:
    host = host_of(RUNNING._replace(phase="paused"))
    committed(host, 1)
    with pytest.raises(LimosaError) as refused:
        copies.source(host, "web", [CopyRequest()])
    assert refused.value.code == "LIM-CONT-002"
    assert refused.value.summary == 'cannot fork "web": it is paused'
    assert refused.value.hint == "limosa unpause web"


def test_a_stopped_container_means_its_latest_commit() -> None:
    host = host_of(RUNNING._replace(phase="stopped"))
    latest = committed(host, 2)[-1]
    assert copies.source(host, "web", [CopyRequest()]) == latest


def test_a_fork_that_fails_says_which_copies_run(monkeypatch: pytest.MonkeyPatch) -> None:
    host = host_of()
    (commit,) = committed(host, 1)

    @contextmanager
    def brought(*_: object) -> Iterator[None]:
        yield None

    def fork_one(
        host: Host, commit: CommitRecord, images: object, wanted: CopyRequest, *_: object, **__: object
    ) -> Any:
        if wanted.name == "three":
            raise LimosaError("LIM-NET-005", "the port is taken", exit_status=7)
        return RUNNING._replace(config=RUNNING.config._replace(name=wanted.name))

    monkeypatch.setattr(restore, "brought", brought)
    monkeypatch.setattr(copies, "_fork_one", fork_one)
    requests = [CopyRequest(name) for name in ("one", "two", "three")]
    for make, states in ((copies.fork, ("runs", "run")), (copies.make_ahead, ("stands ready", "stand ready"))):
        told: list[ContainerRecord] = []
        with pytest.raises(LimosaError) as failed:
            make(host, commit, requests, told.append)
        assert [record.config.name for record in told] == ["one", "two"]
        assert failed.value.state == f"one, two {states[1]}; nothing is left of the copy that failed"
        assert (failed.value.code, failed.value.exit_status) == ("LIM-NET-005", 7)
        with pytest.raises(LimosaError) as failed:
            make(host, commit, [requests[0], requests[2]])
        assert failed.value.state.startswith(f"one {states[0]};")
        with pytest.raises(LimosaError) as failed:
            make(host, commit, requests[2:])
        assert failed.value.state == "nothing changed"


def test_an_image_that_commits_need_is_sent_without_a_name(tmp_path: Path) -> None:
    here, there = (
        Host({"oci_images": lambda at=at: FakeImages(at)}, lambda: 1, os.urandom, lambda: "b")
        for at in (str(tmp_path / "here"), str(tmp_path / "there"))
    )
    for name in ("here", "there", "rootfs"):
        (tmp_path / name).mkdir()
    made = here.oci_images.import_archive(str(tmp_path / "rootfs"), "python", lambda *_: None)
    commit = CommitRecord(RUNNING._replace(layers=made.layers), ("", "", ""), commit_id=CommitId("c" * 64))
    here.oci_images.remove("python", frozenset(made.layers))
    name = f"localhost/committed:{made.digest[7:19]}"
    assert transfers.share_images(here, there, [commit], lambda *_: None) == [name]
    assert transfers.has_layers(there, made.layers)
    here.oci_images.prune(frozenset())
    with pytest.raises(LimosaError) as refused:
        transfers.images_of(here, {made.layers: commit})
    assert refused.value.code == "LIM-COMM-020"
