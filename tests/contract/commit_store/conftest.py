"""Stores for the tests, and one way to write commits into any of them."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.fakes.commit_store import FakeCommitStore

from limosa.adapters.commit_store.parts import create
from limosa.adapters.commit_store.store import DirectoryStore

KEY = b"k" * 32


@pytest.fixture(params=["real", "fake"])
def make(request: pytest.FixtureRequest, tmp_path: Any) -> Callable[..., Any]:
    """Return a function that makes a store, empty and with the given key."""

    def made(name: str = "store", key: bytes = KEY) -> Any:
        if request.param == "fake":
            return FakeCommitStore(key)
        root = f"{tmp_path}/{name}"
        create(root, key)
        return DirectoryStore(root)

    return made


@pytest.fixture
def store(make: Callable[..., Any]) -> Any:
    return make()


@pytest.fixture
def real(tmp_path: Any) -> DirectoryStore:
    """The real adapter, empty."""
    create(f"{tmp_path}/store", KEY)
    return DirectoryStore(f"{tmp_path}/store")
