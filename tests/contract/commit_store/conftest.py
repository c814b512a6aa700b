"""Stores for the tests, and one way to write commits into any of them."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import scenes
from tests.fakes.commit_store import FakeCommitStore

from limosa.adapters.commit_store import native
from limosa.adapters.commit_store.parts import create
from limosa.adapters.commit_store.store import DirectoryStore

KEY = b"k" * 32


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of pages.c, compiled."""
    made = native.library(str(tmp_path_factory.mktemp("native")), shutil.which("cc") or "")
    assert made, "tests need a C compiler"
    return made


@pytest.fixture(scope="module", params=["python", "native"])
def pages_in(request: pytest.FixtureRequest, library: str) -> Iterator[None]:
    """What stores that are opened for the tests sort pages in."""
    scenes.library = library if request.param == "native" else ""
    yield
    scenes.library = ""


@pytest.fixture(params=["real", "fake"])
def make(request: pytest.FixtureRequest, tmp_path: Any) -> Callable[..., Any]:
    """Return a function that makes a store, empty and with the given key."""

    def made(name: str = "store", key: bytes = KEY) -> Any:
        if request.param == "fake":
            return FakeCommitStore(key)
        root = f"{tmp_path}/{name}"
        create(root, key)
        return scenes.opened(root)

    return made


@pytest.fixture
def store(make: Callable[..., Any]) -> Any:
    return make()


@pytest.fixture
def real(tmp_path: Any) -> DirectoryStore:
    """The real adapter, empty."""
    create(f"{tmp_path}/store", KEY)
    return scenes.opened(f"{tmp_path}/store")
