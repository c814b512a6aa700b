"""Fixtures of the cgroups' contract: the adapter for this machine's layout, the one for v2, and the fake."""

import os
from collections.abc import Iterator

import pytest
from cgroup_laboratory import Laboratory
from tests.fakes.cgroups import FakeCgroups

from limosa.adapters import cgroups
from limosa.adapters.cgroups.unified import UnifiedCgroups


@pytest.fixture
def group_name() -> Iterator[str]:
    """A name for the test's own group, of which nothing may be left in any hierarchy."""
    name = f"limosat-{os.urandom(4).hex()}"
    yield name
    left = [f"{here}/{name}" for here, below, _ in os.walk("/sys/fs/cgroup") if name in below]
    assert left == []


@pytest.fixture
def machine(tmp_path, group_name: str) -> Iterator[Laboratory]:
    """The adapter that limosa uses on this machine."""
    laboratory = Laboratory(cgroups.open_cgroups(group_name, os.fspath(tmp_path)), real=True)
    yield laboratory
    laboratory.close()


@pytest.fixture
def v2(tmp_path, group_name: str) -> Iterator[Laboratory]:
    """The adapter for v2: where v1 has the controllers, v2 beside it, which freezes and kills but limits nothing."""
    laboratory = Laboratory(UnifiedCgroups(group_name, os.fspath(tmp_path)), real=True)
    yield laboratory
    laboratory.close()


@pytest.fixture
def fake() -> Laboratory:
    """The fake that the engine's tests use."""
    return Laboratory(FakeCgroups(), real=False)


@pytest.fixture(
    params=[
        pytest.param("machine", marks=pytest.mark.privileged),
        pytest.param("v2", marks=pytest.mark.privileged),
        "fake",
    ]
)
def laboratory(request: pytest.FixtureRequest) -> Laboratory:
    """Each of them in turn: what is said here holds for all."""
    found: Laboratory = request.getfixturevalue(request.param)
    return found
