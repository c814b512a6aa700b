"""One fault at each step of a migration, on each side, then recovery: exactly one container, with the right data.

The steps come from the code (fault/migration/points.py). A client on a third host holds one connection through all
of it, and checks that every answer is there, once and in order.
"""

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.clients import client, left_of
from tests.e2e.several_hosts import LimosaHost, Segment
from tests.fault.migration import points
from tests.fault.migration.points import Fault
from tests.fault.migration.stage import staged

pytestmark = [pytest.mark.privileged]
EVERY = points.every_fault()
# In each change: where the two could disagree about who runs it. All of them run in the full tier.
CHOSEN = {
    Fault("source", "write frozen", "after", "source"),
    Fault("source", "do end", "before", "source"),
    Fault("source", "do end", "after", "source"),
    Fault("source", "write given", "after", "both"),
    Fault("source", "ask prepare", "after", "target"),
    Fault("source", "ask go", "before", "link"),
    Fault("target", "write ready", "after", "target"),
    Fault("target", "write taken", "after", "target"),
    Fault("target", "do run", "after", "target"),
    Fault("target", "reply up", "before", "link"),
}


@pytest.fixture(scope="module")
def stage(python_rootfs: str) -> Iterator[Segment]:
    with staged(python_rootfs, "faulty") as found:
        yield found


def where_it_runs(stage: Segment) -> list[LimosaHost]:
    """Return the hosts on which the container's program is alive, by its processes and not by any record."""
    return [host for host in (stage.a, stage.b) if alive(host)]


def alive(host: LimosaHost) -> bool:
    records = host.records()
    if "web" not in records or records["web"]["init_pid"] == 0:
        return False
    pid = records["web"]["init_pid"]
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return False
    return fields[0] not in "Zt" and int(fields[19]) == records["web"]["init_start_ticks"]


def inject(stage: Segment, fault: Fault) -> None:
    with open(f"{stage.fault}.new", "w", encoding="utf-8") as file:
        json.dump({"side": fault.side, "point": fault.point, "when": fault.when, "what": fault.what}, file)
    os.rename(f"{stage.fault}.new", f"{stage.fault}")


@pytest.mark.parametrize("fault", [one for one in EVERY if one in CHOSEN], ids=str)
def test_after_a_fault_and_recovery_exactly_one_lives(stage: Segment, fault: Fault) -> None:
    suffer(stage, fault)


@pytest.mark.slow
@pytest.mark.parametrize("fault", [one for one in EVERY if one not in CHOSEN], ids=str)
def test_after_any_fault_and_recovery_exactly_one_lives(stage: Segment, fault: Fault) -> None:
    suffer(stage, fault)


@pytest.mark.parametrize(
    ("fault", "stays"),
    [
        (Fault("source", "write given", "after", "both"), False),
        (Fault("target", "write ready", "after", "both"), True),
        (Fault("target", "write taken", "after", "both"), False),
    ],
    ids=str,
)
def test_a_recovery_of_the_target_alone_asks_the_source(stage: Segment, fault: Fault, stays: bool) -> None:
    (here,) = where_it_runs(stage)
    there = stage.b if here is stage.a else stage.a
    inject(stage, fault)
    run_anyhow(here, "migrate", "web", there.name)
    os.unlink(f"{stage.fault}.fired")
    run_anyhow(there, "recover")
    assert where_it_runs(stage) == [here if stays else there]
    assert left_of(here) == (["web"] if stays else [])
    assert left_of(there) == ([] if stays else ["web"])


def test_what_was_chosen_are_steps_of_the_code() -> None:
    assert set(EVERY) >= CHOSEN


def suffer(stage: Segment, fault: Fault) -> None:
    """Break one migration, recover, and check what is there; the container lives on for the next one."""
    said: dict[str, Any]
    with client(stage.c) as said:
        after = broken_and_recovered(stage, fault)
        time.sleep(0.5)
    seen = after("exec", "web", "cat", "/var/seen").split()
    assert seen[-said["answers"] :] == [str(number) for number in range(1, said["answers"] + 1)]


def broken_and_recovered(stage: Segment, fault: Fault, *options: str) -> LimosaHost:
    """Break one migration, and return the host on which it runs after both were recovered: nothing else is left."""
    (here,) = where_it_runs(stage)
    there = stage.b if here is stage.a else stage.a
    inject(stage, fault)
    run_anyhow(here, "migrate", *options, "web", there.name)
    assert os.path.exists(f"{stage.fault}.fired"), "the fault never came about"
    os.unlink(f"{stage.fault}.fired")
    order = (here, there) if len(str(fault)) % 2 else (there, here)
    if fault.what == "link":
        for host in order:
            run_anyhow(host, "recover")
        lives = where_it_runs(stage)
        assert len(lives) <= 1
        waiting = [host for host in order if frozen_with_a_reason(host)]
        assert len(lives) == 1 or waiting, "nobody runs, and nobody says why"
        for host in order:
            host.do("ip", "link", "set", "uplink", "up")
        await_ssh(here, there)
    for host in (*order, *order):
        run_anyhow(host, "recover")
    (after,) = where_it_runs(stage)
    other = stage.b if after is stage.a else stage.a
    assert left_of(after) == ["web"]
    assert left_of(other) == []
    return after


def frozen_with_a_reason(host: LimosaHost) -> bool:
    return any(one["phase"] in ("ready", "given") for one in json.loads(host("migrations", "--json")))


def await_ssh(here: LimosaHost, there: LimosaHost) -> None:
    for _ in range(50):
        if run_anyhow(here, "host", "check", there.name) == 0 and run_anyhow(there, "host", "check", here.name) == 0:
            return
        time.sleep(0.2)
    raise AssertionError("the link did not heal")


def run_anyhow(host: LimosaHost, *arguments: str) -> int:
    """Run a command of the faulty limosa, which may be killed; return its status."""
    import subprocess

    argv = [*host.prefix, f"{host.place}/bin/limosa", "--root", host.root, *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=200, check=False)
    print(f"{host.name}: limosa {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.returncode
