"""A host with the image of all the programs, and one with that of a few, which the tests of one file share."""

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Limosa, _rootfs
from tests.e2e.matrix.programs import FEW_PACKAGES, PACKAGES
from tests.e2e.shared_host import clean, kept_host


@pytest.fixture(scope="module")
def programs_host() -> Iterator[Limosa]:
    with kept_host({"programs": _rootfs("bookworm", PACKAGES)}) as host:
        yield host


@pytest.fixture
def programs(programs_host: Limosa) -> Iterator[Limosa]:
    """A host with the image `programs`, and no container at the start of a test."""
    yield programs_host
    clean(programs_host)


@pytest.fixture(scope="module")
def few_host() -> Iterator[Limosa]:
    with kept_host({"programs": _rootfs("bookworm", FEW_PACKAGES)}) as host:
        yield host


@pytest.fixture
def few(few_host: Limosa) -> Iterator[Limosa]:
    """The same with the programs only that are not slow."""
    yield few_host
    clean(few_host)
