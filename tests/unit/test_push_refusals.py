"""What `push` and its kin refuse before anything is made at the other end."""

import argparse
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.oci_images import FakeImages

from limosa import wiring
from limosa.cli import fetch, host, migrate, push
from limosa.engine import commits
from limosa.engine.host import Host
from limosa.model.commit import CommitRecord
from limosa.model.container import FIRST_HOST_ID, ContainerConfig, ContainerRecord
from limosa.model.errors import EXIT_USAGE, LimosaError
from limosa.model.ids import ContainerId, Digest

LAYERS = (Digest("sha256:" + "1" * 64),)
CONTAINER = ContainerRecord(
    ContainerId("a" * 24), ContainerConfig("web", "python"), "running", 1, FIRST_HOST_ID, layers=LAYERS
)


class _Books:
    """The containers of the host, and the other hosts that it knows: none."""

    def all(self) -> dict[str, Any]:
        return {}

    def find(self, name: str) -> ContainerRecord:
        del name
        return CONTAINER


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that knows a commit, and whose image of it has lost its name."""
    builders = {"oci_images": lambda: FakeImages(str(tmp_path)), "host_book": _Books, "containers": _Books}
    monkeypatch.setattr(wiring, "host", lambda root: Host(builders, lambda: 1, bytes, lambda: "boot"))
    monkeypatch.setattr(commits, "find", lambda host, reference: CommitRecord(CONTAINER, ("", "", ""), "c" * 64))
    monkeypatch.chdir(tmp_path)


def refused(verb: Any, *argv: str) -> LimosaError:
    parser = argparse.ArgumentParser()
    verb.configure(parser)
    args = parser.parse_args(argv)
    args.root = ""
    with pytest.raises(LimosaError) as raised:
        verb.run(args)
    return raised.value


@pytest.mark.parametrize(
    ("verb", "argv"),
    [
        (push, ("--init", "--no-image", "web", "s3://bucket/x")),
        (push, ("web", "oci://registry.example/x")),
        (fetch, ("--init", "s3://bucket/x")),
        (migrate, ("web", "s3://bucket")),
        (host, ("add", "spare", "file:///mnt")),
    ],
    ids=lambda said: said.__name__.rpartition(".")[2] if hasattr(said, "run") else said[0],
)
def test_an_address_of_a_kind_that_is_not_known(tmp_path: Path, verb: Any, argv: tuple[str, ...]) -> None:
    error = refused(verb, *argv)
    assert (error.code, error.exit_status) == ("LIM-PEER-006", EXIT_USAGE)
    assert error.hint
    assert list(tmp_path.iterdir()) == []


def test_a_missing_image_leaves_no_store(tmp_path: Path) -> None:
    target = tmp_path / "new" / "store"
    assert refused(push, "--init", "web", str(target)).code == "LIM-COMM-020"
    assert list(tmp_path.iterdir()) == []
