"""redis moves between two hosts with its data, its address and a client's connection; the counter misses no beat."""

import json
import time
from collections.abc import Iterator

import pytest

from tests.e2e.several_hosts import LimosaHost, Segment, segment
from tests.e2e.test_migrate import client, left_of, prepare, wait_for_port

pytestmark = pytest.mark.privileged
ADDRESS = "10.77.0.80"
SERVER = ("redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", "", "--dir", "/tmp")

# Increments a counter without a pause over one connection, and checks each answer.
COUNTER = """
import json, signal, socket, sys, time
going = True
def end(number, frame):
    global going
    going = False
signal.signal(signal.SIGTERM, end)
connection = socket.create_connection((sys.argv[1], 6379), timeout=30)
answers = connection.makefile("rb")
connection.sendall(b"DEL beat\\r\\n")
answers.readline()
number, longest, last = 0, 0.0, time.monotonic()
print("connected", flush=True)
while going:
    number += 1
    connection.sendall(b"INCR beat\\r\\n")
    assert answers.readline() == b":%d\\r\\n" % number, number
    now = time.monotonic()
    longest, last = max(longest, now - last), now
    time.sleep(0.002)
print(json.dumps({"answers": number, "longest_s": longest}), flush=True)
"""


@pytest.fixture(scope="module")
def hosts(redis_rootfs: str) -> Iterator[Segment]:
    with segment("abc") as found:
        prepare(found, redis_rootfs, "redis")
        yield found


def fill(host: LimosaHost, mib: int) -> None:
    """Give redis so much that does not compress away."""
    script = "for i = 1, tonumber(ARGV[1]) do local t = {} for j = 1, 64 do t[j] = redis.sha1hex(i .. ':' .. j) end "
    script += "redis.call('SET', 'key:' .. i, table.concat(t)) end return redis.call('DBSIZE')"
    host("exec", "db", "redis-cli", "EVAL", script, "0", str(mib * 1024 * 1024 // 2560), timeout=300)


def answer(host: LimosaHost, *command: str) -> str:
    return host("exec", "db", "redis-cli", *command).strip()


def test_redis_moves_and_its_client_counts_on(hosts: Segment) -> None:
    a, b, c = hosts.a, hosts.b, hosts.c
    a("run", "-d", "--name", "db", "--network", "lan", "--ip", ADDRESS, "redis", *SERVER)
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
