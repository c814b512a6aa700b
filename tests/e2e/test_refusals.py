"""What limosa says where it cannot work: who may not, no room, a kernel without what it needs. Nothing is left."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import LIMOSA, Limosa

pytestmark = pytest.mark.privileged


def said(*argv: str, status: int) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stderr


def test_not_root() -> None:
    # An unmapped user of a user namespace of its own: no file on the way has to be opened to strangers.
    refused = said("unshare", "--user", LIMOSA, "ps", status=1)
    assert "error[LIM-HOST-001]: limosa needs root" in refused
    assert "hint:" in refused


def test_a_kernel_facility_that_is_missing(limosa: Limosa) -> None:
    limosa("template", "build", "-q", "busybox")
    hidden = 'umount --recursive /sys/fs/cgroup && exec "$@"'
    hide = ("unshare", "--mount", "--propagation", "private", "sh", "-c", hidden, "sh")
    run = (LIMOSA, "--root", limosa.root, "run", "--rm", "--network", "none", "busybox", "true")
    refused = said(*hide, *run, status=125)
    assert "LIM-CGRP-005" in refused
    assert "no cgroup hierarchy is mounted" in refused
    assert "hint:" in refused
    limosa("recover")
    assert limosa.records() == {}


@pytest.fixture
def closed(no_residue: None) -> Iterator[Limosa]:
    """A host below a directory that lets only its owner in, as /root does."""
    del no_residue
    place = tempfile.mkdtemp(prefix="limosat-", dir="/var/tmp")
    host = Limosa(f"{place}/root")
    try:
        yield host
        host("recover")
    finally:
        shutil.rmtree(place)


def test_a_root_that_a_containers_root_cannot_enter(closed: Limosa, tmp_path: Path) -> None:
    closed("template", "build", "-q", "busybox")
    run = ("run", "--rm", "--network", "none")
    place = os.path.dirname(closed.root)
    for argv, status, code in (
        ((*run, "busybox", "true"), 125, "LIM-RUN-010"),
        (("image", "build", "-t", "built", str(tmp_path)), 1, "LIM-IMG-005"),
    ):
        (tmp_path / "Containerfile").write_text("FROM busybox\nRUN true\n")
        said = closed(*argv, status=status)
        assert code in said
        assert f"cause: {place} lets only its owner in" in said
        assert f"chmod o+x {place}" in said
    assert closed.records() == {}
    assert closed(*run, "--privileged", "busybox", "echo", "ran") == "ran\n", "its root is the host's"
    os.chmod(place, 0o711)
    assert closed(*run, "busybox", "echo", "ran") == "ran\n"


@pytest.fixture
def small(no_residue: None) -> Iterator[Limosa]:
    """A host on a file system of its own that has room for an image and little more."""
    del no_residue
    root = tempfile.mkdtemp(prefix="limosat-", dir="/var/tmp")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m,mode=711", "small", root], check=True)
    host = Limosa(root)
    try:
        yield host
        if host.records():
            host("rm", "--force", *host.records())
        host("recover")
    finally:
        subprocess.run(["umount", "--recursive", root], check=True)
        os.rmdir(root)


def test_a_disk_that_is_full(small: Limosa) -> None:
    small("template", "build", "-q", "busybox")
    small("create", "--name", "first", "busybox", "true")
    with open(f"{small.root}/ballast", "wb") as file:
        free = os.statvfs(small.root)
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - (32 << 20))
    refused = small("create", "--name", "second", "busybox", "true", status=1)
    assert "LIM-STOR-002" in refused
    assert "hint:" in refused
    assert list(small.records()) == ["first"]
    os.unlink(f"{small.root}/ballast")
    small("create", "--name", "second", "busybox", "true")
