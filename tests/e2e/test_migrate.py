"""A container moves to another host with its memory, files, address and open connections; nothing is left behind."""

import json
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.e2e.clients import ADDRESS, client, left_of, prepare, wait_for_port
from tests.e2e.several_hosts import LimosaHost, Segment, segment

pytestmark = pytest.mark.privileged

# A server that answers each line with the number of lines that it has seen on all its connections, and keeps them in a
# file and in memory.
SERVER = """
import socket, threading
seen, lock = [], threading.Lock()
def serve(one):
    with one, one.makefile("rw") as lines:
        for line in lines:
            with lock:
                seen.append(line)
                with open("/var/seen", "a") as file:
                    file.write(line)
                count = len(seen)
            lines.write(f"{count} {line}")
            lines.flush()
server = socket.create_server(("0.0.0.0", 7000))
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""


@pytest.fixture(scope="module")
def shared(python_rootfs: str) -> Iterator[Segment]:
    with segment("abc") as found:
        prepare(found, python_rootfs)
        found.rootfs = python_rootfs
        yield found


@pytest.fixture
def hosts(shared: Segment) -> Iterator[Segment]:
    """The hosts without containers and volumes, whatever became of the test before."""
    yield shared
    for host in (shared.a, shared.b):
        host.clear()


def run_server(host: LimosaHost, name: str = "web", address: str = ADDRESS) -> None:
    host("run", "-d", "--name", name, "--network", "lan", "--ip", address, "python", "python3", "-c", SERVER)
    wait_for_port(host, address)


def test_a_container_moves_with_its_connections_and_comes_back(hosts: Segment) -> None:
    a, b, c = hosts.a, hosts.b, hosts.c
    run_server(a)
    with client(c) as said:
        time.sleep(0.5)
        there = json.loads(a("migrate", "--json", "web", "b"))
        time.sleep(0.5)
        assert left_of(a) == []
        assert b.records()["web"]["phase"] == "running"
        back = json.loads(b("migrate", "--json", "web", "a"))
        time.sleep(0.5)
    assert left_of(b) == []
    record = a.records()["web"]
    assert record["phase"] == "running"
    assert record["addresses"]["ipv4"] == f"{ADDRESS}/24"
    assert said["answers"] > 100
    seen = a("exec", "web", "cat", "/var/seen").split()
    assert seen == [str(number) for number in range(1, said["answers"] + 1)]
    assert there["frozen_ns"] > 0
    print(there, back, said)
    a("rm", "-f", "web")


def test_hosts_that_do_not_fit_are_told_all_at_once_and_nothing_moves(hosts: Segment) -> None:
    a, b = hosts.a, hosts.b
    sleep = ("python", "sleep", "1000")
    a("volume", "create", "data", "--commit", "reference")
    a("run", "-d", "--name", "db", "-v", "data:/data", "--network", "lan", "--ip", "10.77.0.60", *sleep)
    b("image", "import", hosts.rootfs, "python")
    b("run", "-d", "--name", "db", "--network", "lan", "--ip", "10.77.0.60", *sleep)
    for command in (("migrate", "--check", "db", "b"), ("migrate", "db", "b")):
        told = a(*command, status=1)
        for words in ("the name 'db' is in use", "its address is in use", "no volume 'data'"):
            assert words in told
    assert a.records()["db"]["phase"] == b.records()["db"]["phase"] == "running"
    a("rm", "-f", "db")
    b("rm", "-f", "db")
    a("volume", "rm", "data")


def test_a_kept_container_is_stopped_and_another_name_is_taken(hosts: Segment) -> None:
    a, b = hosts.a, hosts.b
    a("run", "-d", "--name", "one", "--network", "lan", "--ip", "10.77.0.61", "python", "sleep", "1000")
    assert "nothing stands in the way" in a("migrate", "--check", "one", "b")
    a("migrate", "one", "b", "--keep", "--to-name", "two", "--precopy-rounds", "3", "--bandwidth", "50M")
    assert b.records()["two"]["phase"] == "running"
    assert a.records()["one"]["phase"] == "stopped"
    assert "moved to root@10.77.0.2" in a("ps", "-a")
    for command in (("start", "one"), ("restart", "one"), ("restore", "one"), ("rewind", "one", "one")):
        assert "LIM-MIG-005" in a(*command, status=1), "two would be alive"
    assert a("start", "--onboot") == ""
    a("fork", "--name", "copy", "one")
    copy = a.records()["copy"]["addresses"]["ipv4"]
    assert copy.partition("/")[0] not in {host.address for host in hosts.hosts.values()}, "a neighbour has it"
    a("rm", "-f", "copy")
    assert "has a container with the id" in b("migrate", "two", "a", "--to-name", "one", status=1)
    b("rm", "-f", "two")
    assert a("restore", "--although-moved", "one") == "one\n"
    a("exec", "one", "true")
    a("rm", "-f", "one")
    assert left_of(a) == left_of(b) == []


def test_a_volume_whose_files_are_in_commits_comes_along_and_goes_back(hosts: Segment) -> None:
    a, b = hosts.a, hosts.b
    a("volume", "create", "notes", "--commit", "include")
    counts = "n=0; while :; do n=$((n+1)); echo $n >>/notes/lines; sleep 0.05; done"
    network = ("--network", "lan", "--ip", "10.77.0.63")
    a("run", "-d", "--name", "writer", "-v", "notes:/notes", *network, "python", "sh", "-c", counts)
    seen = 0
    for here, there in ((a, b), (b, a)):
        here("migrate", "writer", there.name)
        assert "notes" in there("volume", "ls")
        lines = [int(line) for line in there("exec", "writer", "cat", "/notes/lines").split()]
        assert lines == list(range(1, len(lines) + 1)), "each line is there once"
        assert len(lines) > seen
        seen = len(lines)
    a("rm", "-f", "writer")
    a("volume", "rm", "notes")
    b("volume", "rm", "notes")


def test_a_migration_whose_target_refuses_goes_on_here_at_once(hosts: Segment) -> None:
    a, b = hosts.a, hosts.b
    run_server(a, "web", "10.77.0.62")
    with client(hosts.c, address="10.77.0.62") as said:
        # Its address is somebody else's there, but not of a container: only taking it finds that out.
        b.do("ip", "address", "add", "10.77.0.62/32", "dev", "lo")
        assert "LIM-MIG-010" in a("migrate", "web", "b", status=1)
        b.do("ip", "address", "del", "10.77.0.62/32", "dev", "lo")
        assert a.records()["web"]["phase"] == "running"
        assert left_of(b) == []
        assert a("migrations", "--json").strip() == "[]"
    assert said["answers"] > 10
    a("rm", "-f", "web")


def test_evacuate_moves_what_runs_the_most_important_last(hosts: Segment) -> None:
    a, b = hosts.a, hosts.b
    for number, label in ((1, "limosa.importance=5"), (2, "x=y"), (3, "limosa.importance=-1")):
        address = f"10.77.0.{70 + number}"
        network = ("--network", "lan", "--ip", address)
        a("run", "-d", "--name", f"c{number}", "-l", label, *network, "python", "sleep", "1000")
    b("image", "import", hosts.rootfs, "python")
    b("run", "-d", "--name", "c2", "--network", "none", "python", "sleep", "1000")
    argv = [*a.prefix, f"{a.place}/bin/limosa", "--root", a.root, "evacuate", "--parallel", "3", "--all", "b"]
    evacuation = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    at_work = 0
    while evacuation.poll() is None:
        at_work = max(at_work, sum(one["at_work"] for one in json.loads(a("migrations", "--json"))))
    told = evacuation.communicate()[0]
    assert evacuation.returncode == 1
    assert at_work >= 2, "several are on their way at a time"
    assert [line.split()[0] for line in told.splitlines() if " runs at b: " in line] == ["c3", "c1"]
    assert "the name 'c2' is in use" in told
    assert left_of(a) == ["c2"]
    assert {name for name, record in b.records().items() if record["phase"] == "running"} == {"c1", "c2", "c3"}
    a("rm", "-f", "c2")
    b("rm", "-f", "c1", "c2", "c3")
