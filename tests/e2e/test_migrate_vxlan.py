"""A container keeps its address and its connections between hosts on two segments, with a router between them."""

import json
import time
from collections.abc import Iterator

import pytest

from tests.e2e.clients import client, left_of, wait_for_port
from tests.e2e.several_hosts import LimosaHost, Segment, segment
from tests.e2e.test_migrate import run_server

pytestmark = pytest.mark.privileged
ADDRESS = "10.99.0.50"
HOSTS = "10.77.0.1,10.78.0.2,10.77.0.3"


@pytest.fixture(scope="module")
def shared(python_rootfs: str) -> Iterator[Segment]:
    with segment("abc", far="b") as found:
        for host in found.hosts.values():
            host("network", "create", "--vxlan", HOSTS, "--subnet", "10.99.0.0/24", "lan")
        found.a("host", "add", "--init", "b", "root@10.78.0.2")
        found.b("host", "add", "a", "root@10.77.0.1")
        for host in (found.a, found.c):
            host("image", "import", python_rootfs, "python")
        yield found


@pytest.fixture
def hosts(shared: Segment) -> Iterator[Segment]:
    """The hosts without containers, whatever became of the test before."""
    yield shared
    for host in shared.hosts.values():
        host.clear()


def links_of(host: LimosaHost) -> list[str]:
    return [one["ifname"] for one in json.loads(host.do("ip", "-j", "link")) if one["ifname"].startswith("lm")]


def test_a_container_moves_to_the_other_segment_and_back_with_its_connections(hosts: Segment) -> None:
    a, b, c = hosts.a, hosts.b, hosts.c
    # A host is on the segment while a container of its own is.
    c("run", "-d", "--name", "neighbour", "--network", "lan", "python", "sleep", "1000")
    run_server(a, "web", ADDRESS)
    assert "nothing stands in the way" in a("migrate", "--check", "web", "b")
    with client(c, address=ADDRESS) as said:
        time.sleep(0.5)
        there = json.loads(a("migrate", "--json", "web", "b"))
        time.sleep(0.5)
        assert left_of(a) == []
        assert b.records()["web"]["addresses"]["ipv4"] == f"{ADDRESS}/24"
        back = json.loads(b("migrate", "--json", "web", "a"))
        time.sleep(0.5)
    assert left_of(b) == []
    print(there, back, said)
    assert said["answers"] > 100
    seen = a("exec", "web", "cat", "/var/seen").split()
    assert seen == [str(number) for number in range(1, said["answers"] + 1)]
    a("rm", "-f", "web")
    c("rm", "-f", "neighbour")
    for host in (a, b, c):
        assert links_of(host) == []


def test_hosts_hand_out_addresses_of_their_own_part_and_neither_host_s_gateway(hosts: Segment) -> None:
    a, c = hosts.a, hosts.c
    for host in (a, c):
        host("run", "-d", "--name", "one", "--network", "lan", "python", "sleep", "1000")
    found = [host.records()["one"]["addresses"]["ipv4"].partition("/")[0] for host in (a, c)]
    assert found[0] != found[1]
    assert not {"10.99.0.1", "10.99.0.2", "10.99.0.3"} & set(found)
    wait = "import socket; s = socket.create_server(('', 7000)); s.accept()"
    a("exec", "-d", "one", "python3", "-c", wait)
    wait_for_port(c, found[0])
    assert "LIM-NET-009" in hosts.b(
        "network", "create", "--vxlan", "192.0.2.1,192.0.2.2", "--subnet", "10.98.0.0/24", "odd", status=1
    )
    for host in (a, c):
        host("rm", "-f", "one")
