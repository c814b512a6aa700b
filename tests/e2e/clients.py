"""Hosts of one group, and clients on a third that hold a connection to a container while it moves between them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.e2e.several_hosts import LimosaHost, Segment

ADDRESS = "10.77.0.50"
REDIS = ("redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", "", "--dir", "/tmp")

# A client that asks without a pause, checks every answer, and prints the longest time between two answers at the end.
# It has patience: after a cut of half a minute its own kernel may ask again half a minute later.
CLIENT = """
import json, signal, socket, sys, time
going = True
def end(number, frame):
    global going
    going = False
signal.signal(signal.SIGTERM, end)
connection = socket.create_connection((sys.argv[1], 7000), timeout=120)
lines = connection.makefile("rw")
number, longest, last, count = 0, 0.0, time.monotonic(), 0
print("connected", flush=True)
while going:
    number += 1
    lines.write(f"{number}\\n")
    lines.flush()
    before, (count, echo) = count, [int(word) for word in lines.readline().split()]
    assert echo == number and before in (0, count - 1), (number, echo, before, count)
    now = time.monotonic()
    longest, last = max(longest, now - last), now
    time.sleep(0.002)
print(json.dumps({"answers": number, "longest_s": longest}), flush=True)
"""

# Sets keys of 2560 bytes of digests each.
FILL = (
    "for i = 1, tonumber(ARGV[1]) do local t = {} for j = 1, 64 do t[j] = redis.sha1hex(i .. ':' .. j) end "
    "redis.call('SET', 'key:' .. i, table.concat(t)) end return redis.call('DBSIZE')"
)

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


def prepare(found: Segment, rootfs: str = "", name: str = "python") -> None:
    """Give hosts a and b one key, the network `lan`, and names for each other; a gets the image."""
    for host in (found.a, found.b):
        host("network", "create", "--uplink", "uplink", "--subnet", "10.77.0.0/24", "lan")
    found.a("host", "add", "--init", "b", "root@10.77.0.2")
    found.b("host", "add", "a", "root@10.77.0.1")
    if rootfs:
        found.a("image", "import", rootfs, name)


@contextmanager
def client(host: LimosaHost, program: str = CLIENT, address: str = ADDRESS) -> Iterator[dict[str, Any]]:
    """Let a client on a host talk to the container; what it said at its end is in the dictionary afterwards."""
    argv = [*host.prefix, sys.executable, "-c", program, address]
    said: dict[str, Any] = {}
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "connected\n", process.communicate()[1]
        yield said
        process.terminate()
        out, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        said.update(json.loads(out))
    finally:
        process.kill()
        process.wait()


def wait_for_port(host: LimosaHost, address: str, port: int = 7000) -> None:
    probe = f"import socket; socket.create_connection(({address!r}, {port}), 1).close()"
    for _ in range(100):
        if (
            subprocess.run([*host.prefix, sys.executable, "-c", probe], capture_output=True, check=False).returncode
            == 0
        ):
            return
        time.sleep(0.1)
    raise AssertionError(f"nobody listens at {address}")


def left_of(host: LimosaHost) -> list[str]:
    """Return what a host has of containers and migrations."""
    journal = f"{host.root}/migrations"
    entries = os.listdir(journal) if os.path.isdir(journal) else []
    return [*host.records(), *entries]


def filling(mib: int) -> tuple[str, ...]:
    """Return the command of redis that gives it so much that does not compress away."""
    return ("EVAL", FILL, "0", str(mib * 1024 * 1024 // 2560))


def fill(host: LimosaHost, mib: int) -> None:
    """Give the redis in a container so much."""
    host("exec", "db", "redis-cli", *filling(mib), timeout=300)
