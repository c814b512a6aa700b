"""A client's connection outlives a migration however long each of its steps takes, and one that fails at the last step.

Where the container's address answers while a socket of it is not there, the kernel answers by a reset; where a process
ends whose socket is there, its peer is told. Between two steps that follow each other at once nobody sees that.
"""

import json
import os
import time
from collections.abc import Iterator

import pytest

from tests.e2e.clients import client, left_of
from tests.e2e.several_hosts import Segment
from tests.fault.migration import slow_limosa
from tests.fault.migration.stage import staged

pytestmark = [pytest.mark.privileged]
STEPS = [f"{name} {when}" for name in (*slow_limosa.DEEDS, *slow_limosa.MOMENTS) for when in ("before", "after")]
CHOSEN = ("connect after", "unsilence before")


@pytest.fixture(scope="module")
def stage(python_rootfs: str) -> Iterator[Segment]:
    with staged(python_rootfs, "slow") as found:
        yield found


@pytest.mark.parametrize("step", CHOSEN)
def test_a_slow_step_resets_nobody(stage: Segment, step: str) -> None:
    moved_slowly(stage, step)


@pytest.mark.slow
@pytest.mark.parametrize("step", [step for step in STEPS if step not in CHOSEN])
def test_any_slow_step_resets_nobody(stage: Segment, step: str) -> None:
    moved_slowly(stage, step)


@pytest.mark.parametrize("step", ["kill before", "disconnect before"])
def test_what_fails_when_all_sockets_are_there_ends_without_a_word(stage: Segment, step: str) -> None:
    (here,) = (host for host in (stage.a, stage.b) if host.records())
    there = stage.b if here is stage.a else stage.a
    with client(stage.c):
        ask(stage, slow=step)
        os.rename(stage.fault, f"{stage.fault}.once")
        ask(stage, slow=step, fails="locks")
        told = here("migrate", "web", there.name, status=1, timeout=120)
        assert "LIM-MIG-010" in told and "a lock cannot be had" in told
        os.unlink(stage.fault)
        assert (here.records()["web"]["phase"], left_of(there)) == ("running", [])
        time.sleep(0.5)


def moved_slowly(stage: Segment, step: str) -> None:
    """Move the container while one step takes long; its client checks each answer and keeps one connection."""
    (here,) = (host for host in (stage.a, stage.b) if host.records())
    there = stage.b if here is stage.a else stage.a
    with client(stage.c) as said:
        ask(stage, slow=step)
        here("migrate", "web", there.name, timeout=120)
        os.unlink(stage.fault)
        time.sleep(0.5)
    assert left_of(here) == []
    seen = there("exec", "web", "cat", "/var/seen").split()
    assert seen[-said["answers"] :] == [str(number) for number in range(1, said["answers"] + 1)]


def ask(stage: Segment, **asked: str) -> None:
    with open(f"{stage.fault}.new", "w", encoding="utf-8") as file:
        json.dump(asked, file)
    os.rename(f"{stage.fault}.new", stage.fault)
