"""A limosa host that the tests of one file share, since unpacking an image takes longer than most of them.

A test file imports `shared` and `box`: `box` has the image `pg`, no container and no volume at the start of a test.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import _residue
from tests.e2e.conftest import Limosa


@contextmanager
def kept_host(rootfs: dict[str, str]) -> Iterator[Limosa]:
    """Give a host with images of these names, for the time of a `with` block; nothing may be left at its end."""
    before = _residue()
    root = tempfile.mkdtemp(prefix="limosat-", dir="/var/tmp")
    os.chmod(root, 0o711)
    host = Limosa(root)
    try:
        for name, path in rootfs.items():
            host.has_image(name, path)
        yield host
    finally:
        clean(host)
        host("recover")
        shutil.rmtree(root)
    left = {kind: sorted(after - before[kind]) for kind, after in _residue().items() if after - before[kind]}
    assert not left, f"the tests left {left}"


@pytest.fixture(scope="module")
def shared(postgresql_rootfs: str) -> Iterator[Limosa]:
    with kept_host({"pg": postgresql_rootfs}) as host:
        yield host


@pytest.fixture
def box(shared: Limosa) -> Iterator[Limosa]:
    yield shared
    clean(shared)


def clean(host: Limosa) -> None:
    names = list(host.records())
    if names:
        host("rm", "--force", *names)
    host("volume", "prune")
