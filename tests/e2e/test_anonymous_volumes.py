"""What an image declares as volumes, and volumes without a name: where their files are, and when they go."""

import json

import pytest

from tests.e2e.conftest import Limosa
from tests.waiting import eventually

pytestmark = pytest.mark.privileged
QUIET = ("--network", "none")


@pytest.fixture
def declaring(limosa: Limosa, busybox_rootfs: str) -> Limosa:
    """A host with an image that declares /data and /etc as volumes."""
    limosa("image", "import", "--change", 'VOLUME=["/data","/etc"]', busybox_rootfs, "bb")
    return limosa


def volumes(limosa: Limosa) -> list[str]:
    return [one["name"] for one in json.loads(limosa("volume", "ls", "--json"))]


def test_declared_volumes_are_the_containers_own_files_and_in_its_commits(declaring: Limosa) -> None:
    declaring("run", "-d", "--name", "box", *QUIET, "bb", "sleep", "1000")
    declaring("exec", "box", "sh", "-c", "mkdir -p /data; echo before >/data/file")
    commit = declaring("checkpoint", "box").strip()
    declaring("exec", "box", "sh", "-c", "echo after >/data/file")
    declaring("fork", "--name", "copy", commit)
    assert declaring("exec", "copy", "cat", "/data/file") == "before\n"
    declaring("rewind", "box", commit)
    assert declaring("exec", "box", "cat", "/data/file") == "before\n"
    assert volumes(declaring) == []


def test_declared_volumes_become_anonymous_ones_where_that_is_asked_for(declaring: Limosa) -> None:
    begin = ("run", "-d", "--image-volume", "anonymous", *QUIET)
    declaring(*begin, "--name", "box", "bb", "sleep", "1000")
    made = volumes(declaring)
    assert len(made) == 2
    assert declaring("exec", "box", "cat", "/etc/group").startswith("root:"), "filled with what the image has there"
    declaring("exec", "box", "sh", "-c", "echo kept >/data/file")
    declaring("rm", "--force", "box")
    assert volumes(declaring) == made, "they outlive the container"
    kept = [declaring("run", "--rm", *QUIET, "-v", f"{name}:/seen", "bb", "ls", "/seen").split() for name in made]
    assert ["file"] in kept
    assert volumes(declaring) == made, "and one that has another's volume does not take it along"
    declaring("volume", "prune")

    declaring(*begin, "--name", "box", "-v", "named:/data", "bb", "sleep", "1000")
    assert len(volumes(declaring)) == 2, "what is mounted at a declared place is there instead"
    declaring("rm", "--force", "-v", "box")
    assert volumes(declaring) == ["named"]

    declaring(*begin, "--name", "first", "--tmpfs", "/etc", "bb", "sleep", "1000")
    (shared,) = [name for name in volumes(declaring) if name != "named"]
    declaring("run", "-d", "--name", "second", *QUIET, "-v", f"{shared}:/data", "bb", "sleep", "1000")
    declaring("rm", "--force", "-v", "first")
    assert shared in volumes(declaring), "another container has it"

    options = ("--rm", "--image-volume", "tmpfs", *QUIET)
    assert "tmpfs /data " in declaring("run", *options, "bb", "cat", "/proc/mounts")


def test_a_volume_without_a_name_goes_with_its_container(declaring: Limosa) -> None:
    declaring("run", "--rm", *QUIET, "-v", "/scratch", "bb", "sh", "-c", "grep ' /scratch ' /proc/mounts; id")
    assert volumes(declaring) == []
    assert "LIM-RUN-002" in declaring("run", "--rm", *QUIET, "-v", "/scratch", "bb", "nosuch", status=127)
    declaring("run", "-d", "--rm", "--name", "box", *QUIET, "-v", "/scratch", "bb", "sleep", "1000")
    assert len(volumes(declaring)) == 1
    declaring("stop", "-t", "0", "box")
    eventually(lambda: volumes(declaring) == [])
    declaring("create", "--name", "box", *QUIET, "-v", "/scratch", "bb", "true")
    assert "LIM-NAME-002" in declaring("create", "--name", "box", *QUIET, "-v", "/other", "bb", "true", status=1)
    assert len(volumes(declaring)) == 1, "nothing is left of the attempt"
    declaring("rm", "-v", "box")
    assert volumes(declaring) == []
