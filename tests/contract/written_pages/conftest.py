"""The implementations that this kernel has, and an actor for each test."""

import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from page_laboratory import Actor, Committer

from limosa.adapters.written_pages import by_digest, by_soft_dirty, by_userfaultfd
from limosa.keeper import descriptors

HOLDER = (sys.executable, "-I", "-S", os.path.abspath(descriptors.__file__))


KINDS: dict[str, Callable[[str], Any]] = {
    "userfaultfd": lambda place: by_userfaultfd.UserfaultfdPages(lambda _: place, HOLDER),
    "ahead": lambda place: by_userfaultfd.UserfaultfdPages(lambda _: place, HOLDER, worth_bytes=0),
    "kept": lambda place: by_userfaultfd.UserfaultfdPages(lambda _: place, HOLDER, worth_bytes=0),
    "soft-dirty": lambda place: by_soft_dirty.SoftDirtyPages(lambda _: place),
    "digest": lambda _: by_digest.ComparedPages(),
}


@pytest.fixture(
    params=["userfaultfd", "ahead", "kept", pytest.param("soft-dirty", marks=pytest.mark.needs("soft-dirty")), "digest"]
)
def make_tracker(request: pytest.FixtureRequest) -> Callable[[str], Any]:
    return KINDS[request.param]


@pytest.fixture
def tracker(make_tracker: Callable[[str], Any], tmp_path: Any) -> Any:
    return make_tracker(str(tmp_path))


@pytest.fixture
def actor() -> Iterator[Actor]:
    made = Actor()
    yield made
    made.end()


@pytest.fixture
def committer(request: pytest.FixtureRequest, tracker: Any, tmp_path: Any, actor: Actor) -> Committer:
    asked = getattr(request.node, "callspec", None)  # a file with a tracker of its own asks for none
    keeps = asked is not None and asked.params.get("make_tracker") == "kept"
    return Committer(tracker, str(tmp_path), actor, keeps=keeps)
