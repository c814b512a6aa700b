"""Programs whose memory never stays where it is come back from each commit, with every page where it was."""

import os
from typing import Final

import pytest

from tests.e2e.conftest import Limosa
from tests.waiting import eventually

pytestmark = pytest.mark.privileged
PROGRAM: Final = os.path.join(os.path.dirname(__file__), "inside_moving_memory.py")
_COMMITS: Final = 5
_PATIENCE_S: Final = 60


def goes_on(limosa: Limosa) -> None:
    """It moves its memory about, and finds what it wrote: it ends if it does not."""
    before = steps(limosa)
    eventually(lambda: steps(limosa) > before + 60, _PATIENCE_S)


def steps(limosa: Limosa) -> int:
    assert limosa.records()["one"]["phase"] == "running", limosa.logs("one")
    return int(limosa("exec", "one", "cat", "/srv/done"))


@pytest.mark.parametrize("kinds", ["anonymous,noreserve,growsdown,droppable", "file,memfd"])
def test_memory_that_moves_comes_back(limosa: Limosa, python_rootfs: str, kinds: str) -> None:
    limosa.has_image("python", python_rootfs)
    limosa("create", "--name", "one", "python", "python3", "-u", "/srv/moving_memory.py", kinds)
    limosa("cp", PROGRAM, "one:/srv/moving_memory.py")
    limosa("start", "one")
    limosa("exec", "one", "sh", "-c", "while ! [ -e /srv/done ]; do sleep 0.05; done")
    commits = []
    for _ in range(_COMMITS):
        goes_on(limosa)
        commits.append(limosa("checkpoint", "one").strip())
    limosa("rewind", "one", commits[1])
    goes_on(limosa)
    commits.append(limosa("checkpoint", "one").strip())  # upon one that is not the latest
    for commit in commits:
        limosa("rewind", "one", commit)
        goes_on(limosa)
