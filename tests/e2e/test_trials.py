"""Commits that are tried before somebody needs them, and commits that are made and forgotten at their times."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import _residue
from tests.e2e.conftest import LIMOSA, Limosa

pytestmark = pytest.mark.privileged

SERVER = """
import socket, threading, time
listener = socket.create_server(("", 7000))
open("/root/note", "w").write("kept")
def serve():
    while True:
        connection, _ = listener.accept()
        connection.sendall(b"here")
        connection.close()
threading.Thread(target=serve, daemon=True).start()
while True:
    time.sleep(0.05)
"""
ASK = "import socket; c = socket.create_connection(({!r}, 7000), 3); assert c.recv(9) == b'here'"


def residue(root: str) -> set[str]:
    """Return what a trial could leave: mounts, cgroups, network interfaces, files of containers, records."""
    found = {one for kind, names in _residue().items() for one in names if kind != "mounts" or root in one}
    for place in ("storage/containers", "storage/snapshots", "storage/staging", "containers", "dumps", "run/crun"):
        if os.path.isdir(f"{root}/{place}"):
            found |= {f"{place}/{name}" for name in os.listdir(f"{root}/{place}")}
    return found


def tried(limosa: Limosa, *options: str, status: int = 0) -> list[dict[str, Any]]:
    said = limosa("verify", "--json", "--trial", *options, status=status)
    found: list[dict[str, Any]] = json.JSONDecoder().raw_decode(said)[0]["trials"]
    return found


def test_a_trial_runs_apart_and_leaves_nothing(limosa: Limosa, python_rootfs: str) -> None:
    limosa("image", "import", python_rootfs, "python")
    limosa("run", "-d", "--name", "one", "-p", "18095:7000", "--restart", "always", "python", "python3", "-c", SERVER)
    limosa("exec", "one", "sh", "-c", "while ! [ -s /root/note ]; do sleep 0.05; done")
    limosa("run", "-d", "--name", "other", "python", "python3", "-c", SERVER)
    other = limosa.records()["other"]["addresses"]["ipv4"].partition("/")[0]
    limosa("checkpoint", "one")
    before, identity = residue(limosa.root), limosa.records()["one"]

    inside = ASK.format("127.0.0.1")
    probe = f'python3 -c "{inside}" && test "$(cat /root/note)" = kept && echo spoilt >/root/note'
    (verdict,) = tried(limosa, "--probe", probe, "one")
    assert (verdict["outcome"], verdict["container"]) == ("works", "one"), verdict
    assert residue(limosa.root) == before
    assert limosa("exec", "one", "cat", "/root/note") == "kept", "files were copied"
    assert limosa.records()["one"] == identity, "the original was not touched"
    assert len(json.loads(limosa("log", "--json"))) == 1

    limosa("exec", "other", "python3", "-c", inside)
    limosa("exec", "one", "python3", "-c", ASK.format(other))
    reach = f'python3 -c "{ASK.format(other)}"'
    (verdict,) = tried(limosa, "--within", "0", "--probe", reach, "one", status=1)
    assert verdict["outcome"] == "fails", "its network leads nowhere"
    assert verdict["why"].startswith("the probe ended with")
    said = limosa("verify", "--trial", "--run", "0", "one")
    assert "works" in said and "0 damages" in said
    assert residue(limosa.root) == before

    limosa("rm", "-f", "one")
    limosa("recover")
    before = residue(limosa.root)
    assert [one["outcome"] for one in tried(limosa)] == ["works"], "from the store alone"
    assert residue(limosa.root) == before


def test_what_ends_or_cannot_be_apart_does_not_work(limosa: Limosa, python_rootfs: str) -> None:
    limosa("image", "import", python_rootfs, "python")
    limosa("run", "-d", "--name", "short", "--network", "none", "python", "python3", "-c", "import time; time.sleep(4)")
    limosa("checkpoint", "short")
    (verdict,) = tried(limosa, "--run", "8", "short", status=1)
    assert verdict["why"] == "its first process ended with 0 within 8 s"
    limosa("run", "-d", "--name", "own", "-v", "data:/data", "python", "sleep", "1000")
    limosa("checkpoint", "own")
    (verdict,) = tried(limosa, "own")
    assert verdict["outcome"] == "works", "a volume that is in the commit is copied like its files"
    limosa("rm", "-f", "own")
    limosa("forget", "own")
    os.mkdir(f"{limosa.root}/outside")
    limosa("run", "-d", "--name", "shared", "-v", f"{limosa.root}/outside:/data", "python", "sleep", "1000")
    limosa("checkpoint", "shared")
    (verdict,) = tried(limosa, "shared", status=1)
    assert verdict["outcome"] == "untried"
    limosa("forget", "shared")
    assert "LIM-CLI-003" in limosa("verify", "--probe", "true", status=2)
    packs = f"{limosa.root}/commits/packs"
    for pack in os.listdir(packs):
        with open(f"{packs}/{pack}", "r+b") as file:
            for place in range(4096, os.stat(f"{packs}/{pack}").st_size, 65536):
                file.seek(place)
                file.write(b"damage")
    limosa("rm", "-f", "short", "shared")
    limosa("recover")  # its snapshot goes too
    said = limosa("verify", "--trial", "short", status=1)
    assert "fails" in said and "it cannot be restored" in said and "damaged" in said
    assert list(limosa.records()) == []


def test_commits_are_thinned_out_by_a_rule(limosa: Limosa, python_rootfs: str) -> None:
    limosa("image", "import", python_rootfs, "python")
    limosa("run", "-d", "--name", "one", "python", "sleep", "1000")
    by_hand = limosa("checkpoint", "one").strip()
    tagged = limosa("checkpoint", "one", "--tag", "good").strip()
    made = [limosa("checkpoint", "--keep", "last=2", "one").strip() for _ in range(4)]
    there = [commit["commit_id"] for commit in json.loads(limosa("log", "--json"))]
    assert there == [by_hand, tagged, *made[-2:]], "it forgets only what was made so"
    assert limosa("verify").endswith("0 damages\n")
    judged = json.loads(limosa("forget", "--keep", "last=1", "--dry-run", "--json", "one"))
    assert [(one["commit_id"], one["kept"]) for one in judged] == [
        (made[-1], True),
        (made[-2], False),
        (tagged, True),
        (by_hand, False),
    ]
    assert [commit["commit_id"] for commit in json.loads(limosa("log", "--json"))] == there
    assert limosa("forget", "--keep", "last=1", "one").count("forgotten") == 2
    assert [commit["commit_id"] for commit in json.loads(limosa("log", "--json"))] == [tagged, made[-1]]
    limosa("exec", "-d", "one", "sh", "-c", "touch /root/begun; sleep 2; touch /root/done")
    limosa("exec", "one", "sh", "-c", "while ! [ -e /root/begun ]; do sleep 0.02; done")
    limosa("checkpoint", "--keep", "last=1", "one")
    limosa("exec", "one", "test", "-e", "/root/done")  # it was waited for, like a health check
    limosa("rewind", "--discard", "one", "good")
    limosa("stop", "-t", "0", "one")
    assert limosa("checkpoint", "--if-running", "--keep", "last=1", "one") == ""
    assert "LIM-CONT-002" in limosa("checkpoint", "--keep", "last=1", "one", status=1)


@pytest.fixture
def no_systemd() -> Iterator[None]:
    """Hide systemd where there is one: tests have a mount namespace of their own."""
    hidden = os.path.isdir("/run/systemd/system")
    if hidden:
        subprocess.run(["mount", "-t", "tmpfs", "none", "/run/systemd"], check=True)
    yield
    if hidden:
        subprocess.run(["umount", "/run/systemd"], check=True)


@pytest.mark.usefixtures("no_systemd")
def test_without_systemd_a_schedule_is_refused_with_a_way_out(limosa: Limosa, python_rootfs: str) -> None:
    limosa("image", "import", python_rootfs, "python")
    limosa("run", "-d", "--name", "one", "python", "sleep", "1000")
    refused = limosa("checkpoint", "--every", "10m", "--keep", "hourly=24,daily=7", "one", status=1)
    assert "LIM-TIMER-001" in refused and "cron" in refused
    assert limosa.records()["one"]["schedule"] is None
    assert "LIM-CLI-002" in limosa("checkpoint", "--every", "10m", "one", status=2)
    assert limosa("checkpoint", "--every", "list").split() == ["CONTAINER", "EVERY", "KEEP", "LAST"]
    limosa("checkpoint", "--every", "off", "one")


def test_systemd_calls_it_again_and_again(limosa: Limosa, debian_12_rootfs: str) -> None:
    """The units as the adapter writes them, in a systemd that runs: that of a container."""
    from limosa.adapters.systemd_timers import SystemdTimers
    from limosa.model.ids import ContainerId

    limosa("image", "import", debian_12_rootfs, "debian")
    limosa("create", "--init", "box", "debian")
    limosa("start", "box")
    subprocess.run(
        [LIMOSA, "--root", limosa.root, "exec", "box", "systemctl", "is-system-running", "--wait"],
        check=False, stdout=subprocess.DEVNULL, timeout=240,
    )  # fmt: skip
    rootfs = f"/proc/{limosa.records()['box']['init_pid']}/root"
    program = '#!/bin/sh\necho "$@" >>/root/calls\n'
    limosa(
        "exec", "-i", "box", "sh", "-c", "cat >/usr/local/bin/limosa; chmod 755 /usr/local/bin/limosa", stdin=program
    )
    one = ContainerId("a" * 24)
    timers = SystemdTimers("limosa", "/srv/100% $HOME", "/usr/local/bin/limosa", f"{rootfs}/etc/systemd/system", rootfs)

    def told(*argv: str) -> None:
        limosa("exec", "box", "systemctl", *argv)

    timers._systemctl = told  # type: ignore[method-assign]
    timers.install(one, 1, ("checkpoint", "--if-running", "--keep", "hourly=24", one))
    deadline = time.monotonic() + 60
    while (said := limosa("exec", "box", "sh", "-c", "cat /root/calls || true")).count("\n") < 3:
        assert time.monotonic() < deadline, limosa("exec", "box", "systemctl", "status", "limosa*")
        time.sleep(0.5)
    assert said.splitlines()[0] == f"--root /srv/100% $HOME checkpoint --if-running --keep hourly=24 {one}"
    timers.remove(one)
    units = limosa("exec", "box", "sh", "-c", "systemctl list-unit-files --no-legend 'limosa*' || true")
    assert units.strip() == ""
