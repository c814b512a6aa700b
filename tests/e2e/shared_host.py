"""A limosa host that the tests of one file share, since unpacking an image takes longer than most of them.

A test file imports `shared` and `box`: `box` has the image `pg`, no container and no volume at the start of a test.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest

from tests.conftest import _residue
from tests.e2e.conftest import Limosa


@pytest.fixture(scope="module")
def shared(postgresql_rootfs: str) -> Iterator[Limosa]:
    before = _residue()
    root = tempfile.mkdtemp(prefix="limosat-", dir="/var/tmp")
    os.chmod(root, 0o711)
    host = Limosa(root)
    try:
        host.has_image("pg", postgresql_rootfs)
        yield host
    finally:
        clean(host)
        host("recover")
        shutil.rmtree(root)
    left = {kind: sorted(after - before[kind]) for kind, after in _residue().items() if after - before[kind]}
    assert not left, f"the tests left {left}"


@pytest.fixture
def box(shared: Limosa) -> Iterator[Limosa]:
    yield shared
    clean(shared)


def clean(host: Limosa) -> None:
    names = list(host.records())
    if names:
        host("rm", "--force", *names)
    host("volume", "prune")
