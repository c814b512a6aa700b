"""Pools for the storage tests, each in a root of its own that must be empty, unmounted and detached afterwards."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator

import pytest
from residue import await_detached, left_in
from tests.fakes.storage import FakeStorage

from limosa.adapters.btrfs_pool import BtrfsPool
from limosa.linux import mount
from limosa.model.ids import ContainerId
from limosa.ports.storage import Storage

GIB = 1 << 30


@pytest.fixture
def root() -> Iterator[str]:
    """A root whose pool is found empty, closed and detached at the end."""
    path = tempfile.mkdtemp(prefix="limosat-", dir="/var/tmp")
    os.chmod(path, 0o711)
    pool = BtrfsPool(path)
    try:
        yield path
        if os.path.ismount(f"{path}/storage"):
            for container_id in pool.present():
                pool.destroy(container_id)
            assert left_in(path) == []
        pool.close()
        assert mount.mount_points(path) == []
        await_detached(path)
        assert set(os.listdir(path)) <= {"pool.btrfs", "pool.lock", "storage"}
    finally:
        for point in mount.mount_points(path):
            mount.umount(point, lazy=True)
        shutil.rmtree(path)


@pytest.fixture
def pool(root: str) -> BtrfsPool:
    """The real adapter, prepared."""
    made = BtrfsPool(root)
    made.prepare()
    return made


@pytest.fixture(params=[pytest.param("real", marks=pytest.mark.privileged), "fake"])
def storage(request: pytest.FixtureRequest, tmp_path: object) -> Storage:
    """The real adapter and the fake, one after the other."""
    if request.param == "real":
        real: BtrfsPool = request.getfixturevalue("pool")
        return real
    fake = FakeStorage(f"{tmp_path}/fake")
    fake.prepare()
    return fake


@pytest.fixture(params=[None, GIB], ids=["no limit", "disk"])
def disk_bytes(request: pytest.FixtureRequest) -> int | None:
    """Both kinds of container."""
    kind: int | None = request.param
    return kind


@pytest.fixture
def new_id() -> Callable[[], ContainerId]:
    """Return ids that no container has."""
    return lambda: ContainerId(os.urandom(12).hex())
