"""A client's connection outlives a migration however long each of its steps takes, and one that fails at the last step.

Where the container's address answers while a socket of it is not there, the kernel answers by a reset; where a process
ends whose socket is there, its peer is told. Between two steps that follow each other at once nobody sees that.
"""

import json
import os
import sys
import time
from collections.abc import Iterator

import pytest

from tests.e2e.clients import client, left_of, prepare, wait_for_port
from tests.e2e.several_hosts import Segment, segment
from tests.e2e.test_migrate import SERVER, run_server
from tests.fault.migration import slow_limosa

pytestmark = [pytest.mark.privileged]
STEPS = [f"{name} {when}" for name in (*slow_limosa.DEEDS, *slow_limosa.MOMENTS) for when in ("before", "after")]
CHOSEN = ("connect after", "unsilence before")


@pytest.fixture(scope="module")
def stage(python_rootfs: str) -> Iterator[Segment]:
    program = os.path.abspath("tests/fault/migration/slow_limosa.py")
    command = f"/var/tmp/limosat-slow-{os.getpid()}"
    with open(command, "w", encoding="utf-8") as file:
        file.write(f'#!/bin/sh\nPYTHONPATH={os.getcwd()} exec {sys.executable} {program} "$@"\n')
    os.chmod(command, 0o755)
    try:
        with segment("abc", f"LIMOSA_SLOW={command}.slow", command) as found:
            found.fault = f"{command}.slow"
            prepare(found, python_rootfs)
            run_server(found.a)
            yield found
    finally:
        for path in (command, f"{command}.slow", f"{command}.slow.once"):
            if os.path.exists(path):
                os.unlink(path)


@pytest.mark.parametrize("step", CHOSEN)
def test_a_slow_step_resets_nobody(stage: Segment, step: str) -> None:
    moved_slowly(stage, step)


@pytest.mark.slow
@pytest.mark.parametrize("step", [step for step in STEPS if step not in CHOSEN])
def test_any_slow_step_resets_nobody(stage: Segment, step: str) -> None:
    moved_slowly(stage, step)


@pytest.mark.parametrize("step", ["kill before", "disconnect before"])
def test_what_fails_when_all_sockets_are_there_ends_without_a_word(stage: Segment, step: str) -> None:
    (here,) = (host for host in (stage.a, stage.b) if "web" in host.records())
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


def test_clients_of_a_published_port_are_not_reset_when_the_other_host_cannot(stage: Segment) -> None:
    """While it comes back its port leads nowhere, and not to the host, which has no such connection."""
    a, b = stage.a, stage.b
    for host in (a, b):
        host("network", "create", "--subnet", "10.99.0.0/24", "--subnet", "fd00:99::/64", "nat")
    network = ("--network", "nat", "--ip", "10.99.0.50", "-p", "7000:7000")
    a("run", "-d", "--name", "nat", *network, "python", "python3", "-c", SERVER)
    wait_for_port(stage.c, a.address)
    with client(stage.c, address=a.address):
        ask(stage, slow="connect before")
        os.rename(stage.fault, f"{stage.fault}.once")
        ask(stage, fails="locks")
        assert "a lock cannot be had" in a("migrate", "nat", "b", status=1, timeout=120)
        os.unlink(stage.fault)
        time.sleep(0.5)
    a("rm", "-f", "nat")


def moved_slowly(stage: Segment, step: str) -> None:
    """Move the container while one step takes long; its client checks each answer and keeps one connection."""
    (here,) = (host for host in (stage.a, stage.b) if "web" in host.records())
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
