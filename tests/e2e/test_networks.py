"""Networks by the command line: isolated from each other, names, IPv6, fixed addresses, internal ones, uplinks."""

import json
import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Limosa
from tests.e2e.shared_host import box, shared
from tests.waiting import eventually

__all__ = ["box", "shared"]
pytestmark = pytest.mark.privileged
SERVER = "import socket\ns = socket.create_server(('::', 80), family=socket.AF_INET6, dualstack_ipv6=True)\n"
SERVER += "while True: s.accept()[0].sendall(b'hello')"
ASK = "import socket, sys\nprint(socket.create_connection((sys.argv[1], 80), 3).recv(9).decode())"


@pytest.fixture
def net(box: Limosa) -> object:
    yield box
    for name in box.records():
        box("rm", "-f", name)
    for network in json.loads(box("network", "ls", "--json")):
        if network["name"] != "default":
            box("network", "rm", network["name"])


def ask(box: Limosa, client: str, where: str) -> str:
    """Return what the server says, or an empty string if `client` cannot reach it."""
    program = f"import socket, sys\ntry:\n    s = socket.create_connection(('{where}', 80), 2)\n"
    program += "except OSError:\n    sys.exit()\nprint(s.recv(9).decode())"
    return box("exec", client, "python3", "-c", program, timeout=30).strip()


def test_two_networks_are_isolated_and_names_are_their_own(net: Limosa) -> None:
    assert net("network", "create", "-l", "team=a", "--subnet", "10.119.1.0/24", "front") == "front\n"
    back = json.loads(net("network", "create", "--json", "back"))
    assert back["ipv4_subnet"]
    assert back["ipv6_subnet"].startswith("fd")
    for network in ("front", "back"):
        net("run", "-d", "--name", f"{network}-server", "--network", network, "pg", "python3", "-c", SERVER)
        net("run", "-d", "--name", f"{network}-client", "--network", network, "pg", "sleep", "1000")
    records = net.records()
    assert records["front-server"]["addresses"]["ipv4"].startswith("10.119.1.")
    for network, other in (("front", "back"), ("back", "front")):
        mine = records[f"{network}-server"]["addresses"]
        theirs = records[f"{other}-server"]["addresses"]
        client = f"{network}-client"
        assert ask(net, client, f"{network}-server") == "hello"
        for kind in ("ipv4", "ipv6"):
            assert ask(net, client, mine[kind].partition("/")[0]) == "hello"
            assert ask(net, client, theirs[kind].partition("/")[0]) == "", "the other network is out of reach"
        net("exec", client, "getent", "hosts", f"{other}-server", status=2)
    refused = net("network", "rm", "front", status=1)
    assert "LIM-NET-002" in refused
    assert "front-client, front-server" in refused
    (shown,) = json.loads(net("network", "inspect", "front"))
    assert shown["labels"] == [["team", "a"]]
    assert {one["container_name"] for one in shown["attachments"]} == {"front-server", "front-client"}
    assert [line.split()[0] for line in net("network", "ls").splitlines()[1:]] == ["back", "default", "front"]


def test_fixed_addresses_are_kept_and_checked(net: Limosa) -> None:
    net("network", "create", "--subnet", "10.119.2.0/24", "--subnet", "fd00:119:2::/64", "lan")
    fixed = ("--network", "lan", "--ip", "10.119.2.77", "--ip6", "fd00:119:2::77", "--mac", "02:00:00:00:00:77")
    net("run", "-d", "--name", "one", *fixed, "--hostname", "first.example", "pg", "sleep", "1000")
    said = net("exec", "one", "ip", "-brief", "address", "show", "eth0")
    assert "10.119.2.77/24" in said
    assert "fd00:119:2::77/64" in said
    assert "02:00:00:00:00:77" in net("exec", "one", "ip", "-brief", "link", "show", "eth0")
    assert net("exec", "one", "hostname").strip() == "first.example"
    net("run", "-d", "--name", "two", "--network", "lan", "pg", "sleep", "1000")
    assert net("exec", "two", "getent", "ahostsv4", "one").split()[0] == "10.119.2.77"
    lan = ("run", "--rm", "--network", "lan")
    assert "LIM-NET-004" in net(*lan, "--ip", "10.119.2.77", "pg", "true", status=125)
    assert "LIM-NET-004" in net(*lan, "--mac", "02:00:00:00:00:77", "pg", "true", status=125)
    assert "LIM-NET-008" in net(*lan, "--ip", "10.1.1.1", "pg", "true", status=2)
    assert "LIM-NET-008" in net(*lan, "--ip6", "10.119.2.9", "pg", "true", status=2)
    assert "LIM-NET-008" in net(*lan, "--mac", "03:00:00:00:00:77", "pg", "true", status=2)
    assert "LIM-NET-003" in net("run", "--rm", "--network", "nosuch", "pg", "true", status=125)
    net("stop", "-t", "0", "one")
    net("start", "one")
    assert "10.119.2.77/24" in net("exec", "one", "ip", "-brief", "address", "show", "eth0"), "kept across a stop"
    assert set(net.records()) == {"one", "two"}, "failed attempts leave nothing"


def test_an_internal_network_has_no_way_out(net: Limosa) -> None:
    net("network", "create", "--internal", "vault")
    net("network", "create", "open")
    net("run", "-d", "--name", "server", "--network", "vault", "pg", "python3", "-c", SERVER)
    net("run", "-d", "--name", "inside", "--network", "vault", "pg", "sleep", "1000")
    net("run", "-d", "--name", "outside", "--network", "open", "pg", "sleep", "1000")
    assert ask(net, "inside", "server") == "hello"
    assert ask(net, "outside", net.records()["server"]["addresses"]["ipv4"].partition("/")[0]) == ""


def test_what_cannot_be_a_network_is_refused(net: Limosa) -> None:
    net("network", "create", "--subnet", "10.119.3.0/24", "lan")
    assert "LIM-NET-001" in net("network", "create", "lan", status=1)
    assert "LIM-NET-001" in net("network", "create", "--subnet", "10.119.3.128/25", "other", status=1)
    assert "LIM-NET-008" in net("network", "create", "--subnet", "10.119.3.7/24", "other", status=2)
    assert "LIM-NET-008" in net("network", "create", "--subnet", "lots", "other", status=2)
    assert "LIM-NET-009" in net("network", "create", "--uplink", "nosuch0", "other", status=1)
    assert "LIM-CLI-003" in net("network", "create", "--internal", "--uplink", "lo", "other", status=2)
    assert "LIM-CLI-003" in net(
        "network", "create", "--subnet", "10.1.0.0/24", "--subnet", "10.2.0.0/24", "other", status=2
    )
    assert "LIM-NAME-001" in net("network", "create", "a/b", status=2)
    assert "LIM-NET-003" in net("network", "rm", "other", status=1)
    assert "LIM-NET-003" in net("network", "inspect", "other", status=1)


@pytest.fixture
def segment() -> Iterator[tuple[str, list[str]]]:
    """A segment of the host's own network: an interface here, and how to execute something as a neighbour."""
    with subprocess.Popen(["unshare", "--net", "sleep", "1000"]) as neighbour:
        try:
            mine = os.readlink("/proc/self/ns/net")
            eventually(lambda: os.readlink(f"/proc/{neighbour.pid}/ns/net") != mine)
            inside = ["nsenter", f"--target={neighbour.pid}", "--net"]
            ip = ["ip", "link", "add", "limosat0", "type", "veth", "peer", "name", "eth0", "netns", str(neighbour.pid)]
            subprocess.run(ip, check=True)
            subprocess.run(["ip", "addr", "add", "192.0.2.1/24", "dev", "limosat0"], check=True)
            subprocess.run(["ip", "link", "set", "limosat0", "up"], check=True)
            subprocess.run([*inside, *["ip", "addr", "add", "192.0.2.2/24", "dev", "eth0"]], check=True)
            subprocess.run([*inside, *["ip", "link", "set", "eth0", "up"]], check=True)
            yield "limosat0", inside
        finally:
            neighbour.kill()
    subprocess.run(["ip", "link", "del", "limosat0"], check=False, stderr=subprocess.DEVNULL)


@pytest.mark.parametrize("kind", [(), ("--routed",)], ids=["bridged", "routed"])
def test_an_uplink_gives_addresses_of_the_hosts_own_segment(
    net: Limosa, segment: tuple[str, list[str]], kind: tuple[str, ...]
) -> None:
    uplink, inside = segment
    net("network", "create", "--uplink", uplink, *kind, "--subnet", "192.0.2.0/24", "--gateway", "192.0.2.2", "lan")
    net("run", "-d", "--name", "web", "--network", "lan", "--ip", "192.0.2.77", "pg", "python3", "-c", SERVER)
    argv = [*inside, "python3", "-c", ASK, "192.0.2.77"]

    def answers() -> bool:  # it may not listen yet
        return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False).stdout == "hello\n"

    eventually(answers)
    net("rm", "-f", "web")
    net("network", "rm", "lan")
    assert (
        "192.0.2.1/24"
        in subprocess.run(
            ["ip", "-brief", "address", "show", uplink], capture_output=True, text=True, check=True
        ).stdout
    ), "the uplink has its own address again"
