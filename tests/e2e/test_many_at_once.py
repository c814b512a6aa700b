"""Fifty commands at once on one host: names, ids, addresses, ports and ranges are handed out once."""

import subprocess

import pytest

from tests.e2e.conftest import LIMOSA, Limosa

pytestmark = [pytest.mark.privileged, pytest.mark.timeout(600)]
MANY = 50


def at_once(limosa: Limosa, commands: list[tuple[str, ...]]) -> list[str]:
    """Start every command, then wait for all; each must succeed. Returns what each printed."""
    running = [
        subprocess.Popen(
            [LIMOSA, "--root", limosa.root, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command in commands
    ]
    printed = []
    failures = []
    for number, one in enumerate(running):
        out, errors = one.communicate(timeout=500)
        printed.append(out)
        if one.returncode != 0:
            failures.append(f"{number}: {one.returncode}\n{errors}")
    assert not failures, "\n".join(failures)
    return printed


def test_fifty_runs_at_once_all_succeed(limosa: Limosa, postgresql_rootfs: str) -> None:
    limosa.has_image("box", postgresql_rootfs)
    command = ("run", "--rm", "-p", "80", "box", "sh", "-c", "ip -o -4 address show dev eth0; cat /proc/self/uid_map")
    printed = at_once(limosa, [command] * MANY)
    addresses = {one.split("inet ")[1].split("/")[0] for one in printed}
    ranges = {one.splitlines()[-1].split()[1] for one in printed}
    # Whoever had ended by then gave its own back, so fewer than fifty of each are right; at one time none is twice,
    # which the kernel and the records would have refused.
    assert len(addresses) > 1
    assert len(ranges) > 1
    assert limosa.records() == {}


def test_fifty_creates_and_removals_at_once(limosa: Limosa, postgresql_rootfs: str) -> None:
    limosa.has_image("box", postgresql_rootfs)
    names = [f"box-{number}" for number in range(MANY)]
    at_once(limosa, [("create", "--name", name, "-p", "80", "box", "true") for name in names])
    records = limosa.records()
    assert sorted(records) == sorted(names)
    assert len({one["addresses"]["ipv4"] for one in records.values()}) == MANY
    assert len({one["first_host_id"] for one in records.values()}) == MANY
    assert len({one["config"]["ports"][0]["host_port"] for one in records.values()}) == MANY
    at_once(limosa, [("rm", name) for name in names])
    assert limosa.records() == {}
    assert limosa("recover").strip() == "nothing to recover"
