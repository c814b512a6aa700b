"""redis moves between two hosts with its data, its address and a client's connection; the counter misses no beat."""

import json
import time
from collections.abc import Iterator

import pytest

from tests.e2e.clients import COUNTER, REDIS, client, fill, left_of, prepare, wait_for_port
from tests.e2e.several_hosts import LimosaHost, Segment, segment

pytestmark = pytest.mark.privileged
ADDRESS = "10.77.0.80"


@pytest.fixture(scope="module")
def shared(redis_rootfs: str) -> Iterator[Segment]:
    with segment("abc") as found:
        prepare(found, redis_rootfs, "redis")
        yield found


@pytest.fixture
def hosts(shared: Segment) -> Iterator[Segment]:
    """The hosts without containers and volumes, whatever became of the test before."""
    yield shared
    for host in (shared.a, shared.b):
        host.clear()


def answer(host: LimosaHost, *command: str) -> str:
    return host("exec", "db", "redis-cli", *command).strip()


def test_redis_moves_and_its_client_counts_on(hosts: Segment) -> None:
    a, b, c = hosts.a, hosts.b, hosts.c
    a("run", "-d", "--name", "db", "--network", "lan", "--ip", ADDRESS, "redis", *REDIS)
    wait_for_port(c, ADDRESS, 6379)
    fill(a, 64)
    size = int(answer(a, "DBSIZE"))
    with client(c, COUNTER, ADDRESS) as said:
        time.sleep(0.5)
        there = json.loads(a("migrate", "--json", "db", "b"))
        time.sleep(0.5)
        back = json.loads(b("migrate", "--json", "db", "a"))
        time.sleep(0.5)
    assert left_of(b) == []
    assert int(answer(a, "GET", "beat")) == said["answers"] > 100
    assert int(answer(a, "DBSIZE")) == size + 1
    assert answer(a, "GET", "key:77") != ""
    print(f"there {there}, back {back}, the client saw {said}")
    whole = sum(one["sent_bytes"] for one in there["rounds"])
    again = sum(one["sent_bytes"] for one in back["rounds"]) + back["frozen_bytes"]
    assert again <= whole / 10, "the way back sends only what has changed"
    assert there["frozen_bytes"] <= whole / 10, "what was sent while it ran is not sent again"
    a("rm", "-f", "db")


@pytest.mark.slow
def test_redis_moves_before_its_memory_is_there(hosts: Segment) -> None:
    a, b = hosts.a, hosts.b
    a("run", "-d", "--name", "db", "--network", "lan", "--ip", ADDRESS, "redis", *REDIS)
    wait_for_port(hosts.c, ADDRESS, 6379)
    fill(a, 64)
    size = answer(a, "DBSIZE")
    a("checkpoint", "--stop", "db")
    a("restore", "--lazy=demand", "db")
    a("migrate", "db", "b")
    assert answer(b, "DBSIZE") == size
    assert all(len(answer(b, "GET", f"key:{number}")) == 2560 for number in (1, 777, 20_000))
    b("rm", "-f", "db")
