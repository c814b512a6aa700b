"""Copies made ahead stand still until a fork takes them, are told apart like others, and nobody's are removed."""

import json
import subprocess
import time

import pytest

from tests.e2e.conftest import LIMOSA, Limosa
from tests.waiting import eventually

pytestmark = pytest.mark.privileged

# Counts in memory and says so in a file, whose number is therefore never above its own.
COUNTER = """
import os, time
number = 0
while True:
    number += 1
    with open("/tmp/number.new", "w") as file:
        file.write(str(number))
    os.rename("/tmp/number.new", "/tmp/number")
    time.sleep(0.01)
"""


@pytest.fixture
def commit(limosa: Limosa, python_rootfs: str) -> str:
    """A commit of a counter that runs on."""
    limosa.has_image("python", python_rootfs)
    limosa("run", "-d", "--name", "one", "python", "python3", "-c", COUNTER)
    eventually(lambda: number(limosa, "one") > 3)
    return limosa("checkpoint", "one").strip()


def number(limosa: Limosa, name: str) -> int:
    return int(limosa("exec", name, "sh", "-c", "cat /tmp/number || echo 0"))


def warm(limosa: Limosa) -> dict[str, str]:
    """Return the ids of the copies that wait, by name."""
    return {one["name"]: one["container_id"] for one in json.loads(limosa("pool", "ls", "--json"))}


def test_a_fork_takes_what_was_made_ahead_then_makes_others(limosa: Limosa, commit: str) -> None:
    assert limosa("fork", "--warm", "2", commit) == f"{commit}\n"
    waiting = warm(limosa)
    assert len(waiting) == 2
    records = limosa.records()
    assert all(records[name]["warm_of"] == commit and records[name]["phase"] == "paused" for name in waiting)
    listed = {one["config"]["name"] for one in json.loads(limosa("ps", "--json"))}
    assert listed == {"one"}, "nobody has them yet"
    assert f"warm, of {commit[:12]}" in limosa("ps", "-a")
    copied = number(limosa, "one")
    files = [f"{json.loads(limosa('inspect', name))[0]['rootfs']}/tmp/number" for name in waiting]
    then = [open(path, encoding="ascii").read() for path in files]  # noqa: SIM115
    time.sleep(0.5)
    assert [open(path, encoding="ascii").read() for path in files] == then, "they stand still"  # noqa: SIM115
    assert number(limosa, "one") > copied

    assert limosa("fork", "--name", "named", commit) == "named\n"
    assert limosa.records()["named"]["container_id"] in waiting.values()
    two = limosa("fork", "-n", "2", commit).split()
    taken = [name for name in two if limosa.records()[name]["container_id"] in waiting.values()]
    assert len(taken) == 1 and not warm(limosa)
    for name in ("named", *two):
        before = number(limosa, name)
        eventually(lambda name=name, before=before: number(limosa, name) > before)  # type: ignore[misc]
        assert limosa("exec", "one", "getent", "hosts", name), "others find it by its name"
    names = ("one", "named", *two)
    addresses = {limosa.records()[name]["addresses"]["ipv4"] for name in names}
    generations = {limosa("exec", name, "cat", "/run/.limosa-generation") for name in names}
    assert len(addresses) == len(generations) == 4
    again = limosa("checkpoint", "named").strip()
    parents = {one["commit_id"]: one["parent"] for one in json.loads(limosa("log", "--json"))}
    assert parents[again] == commit
    limosa("kill", "named")
    assert limosa("wait", "named") == "137\n"
    limosa("restore", again)
    assert not limosa.records()["named"]["warm_of"]


def test_what_nobody_took_is_removed(limosa: Limosa, commit: str) -> None:
    limosa("fork", "--warm", "3", commit)
    ended, started, left = sorted(warm(limosa))
    limosa("kill", ended)
    eventually(lambda: ended not in limosa.records())
    assert limosa("start", started) == f"{started}\n"
    eventually(lambda: number(limosa, started) > 0)
    assert set(warm(limosa)) == {left}
    assert limosa("pool", "rm", commit) == f"{left}\n"
    assert set(limosa.records()) == {"one", started}
    assert limosa("pool", "rm", "--all") == ""


def test_one_is_taken_once(limosa: Limosa, commit: str) -> None:
    limosa("fork", "--warm", "2", commit)
    waiting = warm(limosa)
    argv = [LIMOSA, "--root", limosa.root, "fork", commit]
    forks = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    names = [fork.communicate(timeout=120)[0].strip() for fork in forks]
    assert all(fork.returncode == 0 for fork in forks)
    assert len(set(names)) == 4 and set(waiting) <= set(names) and not warm(limosa)
    assert {limosa.records()[name]["phase"] for name in names} == {"running"}


def test_what_cannot_be_known_ahead_is_refused_or_made_anew(limosa: Limosa, commit: str) -> None:
    assert "LIM-CLI-003" in limosa("fork", "--warm", "2", "--name", "a", commit, status=2)
    assert "LIM-CLI-003" in limosa("fork", "--warm", "2", "-p", "80", commit, status=2)
    assert "LIM-CLI-003" in limosa("pool", "rm", status=2)
    limosa("fork", "--warm", "1", "--hook", "touch /tmp/hooked", commit)
    limosa("fork", "--name", "publishing", "-p", "80", commit)
    assert len(warm(limosa)) == 1, "it publishes nothing"
    assert "LIM-NAME-002" in limosa("fork", "--name", "one", commit, status=1)
    assert len(warm(limosa)) == 1
    (name,) = limosa("fork", commit).split()
    assert not warm(limosa)
    limosa("exec", name, "test", "-e", "/tmp/hooked")
