"""A container that cannot move with its processes is stopped and started on the other host; it says why before."""

import json
from collections.abc import Iterator

import pytest

from tests.e2e.clients import left_of, prepare, wait_for_port
from tests.e2e.several_hosts import LimosaHost, Segment, segment
from tests.e2e.test_migrate import SERVER

pytestmark = pytest.mark.privileged
ADDRESS = "10.77.0.90"
# It holds an io_uring, which criu cannot dump, and counts in a file how often it was started and asked to end.
RING = """
import ctypes, signal, sys
ring = ctypes.CDLL(None, use_errno=True).syscall(425, 8, ctypes.create_string_buffer(120))
assert ring >= 0, ctypes.get_errno()
open("/var/starts", "a").write("start\\n")
def end(number, frame):
    open("/var/starts", "a").write("end\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
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


def run_ring(host: LimosaHost, *options: str) -> None:
    network = ("--network", "lan", "--ip", ADDRESS, "--seccomp", "unconfined")
    host("run", "-d", "--name", "web", *network, *options, "python", "python3", "-c", RING + SERVER)
    wait_for_port(host, ADDRESS)


def starts(host: LimosaHost) -> list[str]:
    return host("exec", "web", "cat", "/var/starts").split()


def test_why_is_said_and_it_is_stopped_and_started_there(hosts: Segment) -> None:
    a, b, c = hosts.a, hosts.b, hosts.c
    a("volume", "create", "notes", "--commit", "include")
    run_ring(a, "-v", "notes:/notes")
    a("exec", "web", "sh", "-c", "echo kept >/notes/word; head -c 3000000 /dev/urandom >/var/much")
    refused = a("migrate", "web", "b", status=1)
    assert "LIM-MIG-012" in refused and "io_uring" in refused and "--fallback" in refused
    assert "stops live" in a("migrate", "--check", "web", "b", status=1)
    assert "it is started there" in a("migrate", "--check", "--fallback", "restart", "web", "b")
    assert starts(a) == ["start"], "nothing of that stopped it"
    there = json.loads(a("migrate", "--json", "--fallback", "near-live", "web", "b"))
    assert left_of(a) == []
    wait_for_port(c, ADDRESS)
    assert starts(b) == ["start", "end", "start"], "it was asked to end, and started once"
    assert b("exec", "web", "cat", "/notes/word") == "kept\n"
    assert b.records()["web"]["addresses"]["ipv4"] == f"{ADDRESS}/24"
    assert there["way"] == "near-live" and "io_uring" in there["why"][0]
    assert there["frozen_bytes"] < sum(one["sent_bytes"] for one in there["rounds"]) / 10, "rounds went before"
    assert there["downtime"]["stop_s"] == 10
    print(there)

    told = b("migrate", "--fallback", "restart", "web", "a")
    assert "restart, away" in told
    assert left_of(b) == []
    assert starts(a) == ["start", "end", "start", "end", "start"]
    assert a("exec", "web", "cat", "/notes/word") == "kept\n"

    for verb in (("fork", "web~1"), ("rewind", "web", "web~1")):
        assert "LIM-COMM-023" in a(*verb, status=1), "no processes come back from a commit of files"
    shown = a("show", "web~1")
    assert "what comes back from it is started" in shown
    a("rm", "-f", "web")
    a("restore", "web")
    wait_for_port(c, ADDRESS)
    assert starts(a)[-1] == "start" and a.records()["web"]["phase"] == "running"
    a("rm", "-f", "web")
    for host in (a, b):
        host("volume", "rm", "notes")


def test_what_stands_in_the_way_of_every_move_is_not_gone_around(hosts: Segment) -> None:
    a, b = hosts.a, hosts.b
    run_ring(a)
    b("image", "import", hosts.rootfs, "python")
    b("run", "-d", "--name", "web", "--network", "none", "python", "sleep", "1000")
    refused = a("migrate", "--fallback", "near-live", "web", "b", status=1)
    assert "the name 'web' is in use" in refused and "io_uring" in refused
    assert starts(a) == ["start"]
    b("rm", "-f", "web")
    a("rm", "-f", "web")


def test_one_that_cannot_be_started_there_is_started_here_again(hosts: Segment) -> None:
    a, b = hosts.a, hosts.b
    # The hook fails on the other host alone, whose /run is its own.
    b.do("touch", "/run/refuses")
    run_ring(a, "--hook", "prestart=/bin/test ! -e /run/refuses")
    before = json.loads(a("log", "--json"))
    refused = a("migrate", "--fallback", "near-live", "web", "b", status=1)
    assert "LIM-MIG-010" in refused and "prestart hook failed" in refused
    assert left_of(b) == []
    wait_for_port(hosts.c, ADDRESS)
    assert starts(a) == ["start", "end", "start"]
    assert a("migrations", "--json").strip() == "[]"
    assert json.loads(a("log", "--json")) == before, "its commits of files are taken back"
    b.do("rm", "/run/refuses")
    a("rm", "-f", "web")
