"""What the port promises without a packet being sent: the same tests for the real adapter and for the fake."""

import os
import subprocess
from collections.abc import Callable, Iterator

import laboratory
import pytest
from tests.fakes.network import FakeNetworks

from limosa.adapters.bridge_network.adapter import BridgeNetworks
from limosa.linux import namespaces, sysctl
from limosa.model.container import NetworkRequest, PublishedPort
from limosa.model.errors import LimosaError
from limosa.model.ids import ContainerId
from limosa.ports.network import Network, Networks

ONE, TWO, THREE = (ContainerId(digit * 24) for digit in "123")
DEFAULT = NetworkRequest()


@pytest.fixture(params=[pytest.param("real", marks=pytest.mark.privileged), "fake"])
def networks(request: pytest.FixtureRequest, tmp_path: object) -> Iterator[Networks]:
    if request.param == "fake":
        yield FakeNetworks(f"{tmp_path}/fake")
        return
    host = laboratory.Host()
    try:
        with host:
            yield BridgeNetworks(f"{tmp_path}/root")
    finally:
        host.close()


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Callable[[], int]:
    """Start a container's process and return its pid."""

    def started() -> int:
        guest = laboratory.Guest()
        request.addfinalizer(guest.kill)
        return guest.pid

    return started


def refused(code: str, action: Callable[[], object]) -> LimosaError:
    with pytest.raises(LimosaError) as caught:
        action()
    assert caught.value.code == code, caught.value
    return caught.value


def test_the_default_network_is_always_there(networks) -> None:
    (network,) = networks.all()
    assert network.name == "default" and network.ipv4_subnet and network.ipv6_subnet.startswith("fd")
    assert networks.all() == [network]


def test_who_only_looks_makes_nothing(networks) -> None:
    one = ContainerId("7" * 24)
    assert networks.recorded() == [] and networks.attachment(one) is None
    addresses = networks.reserve(one, "one", NetworkRequest(), (PublishedPort(18123, 80),))
    assert [network.name for network in networks.recorded()] == ["default"] and networks.recorded() == networks.all()
    assert networks.attachment(one) == networks.attachments()[0]
    assert networks.attachment(one).addresses == addresses and networks.attachment(one).ports[0].host_port == 18123
    networks.forget(one)
    assert networks.attachment(one) is None


def test_networks_get_subnets_of_their_own_and_names_are_taken_once(networks) -> None:
    made = [networks.create(Network(name)) for name in ("b", "a")]
    assert [one.name for one in networks.all()] == ["a", "b", "default"]
    assert len({one.ipv4_subnet for one in networks.all()} | {one.ipv6_subnet for one in networks.all()}) == 6
    refused("LIM-NET-001", lambda: networks.create(Network("a")))
    refused("LIM-NET-001", lambda: networks.create(Network("none")))
    refused("LIM-NET-001", lambda: networks.create(Network("c", ipv4_subnet=made[0].ipv4_subnet)))
    refused("LIM-NET-008", lambda: networks.create(Network("c", ipv4_subnet="10.1.2.3/24")))
    networks.remove("b")
    refused("LIM-NET-003", lambda: networks.remove("b"))
    assert networks.create(Network("c", ipv4_subnet=made[0].ipv4_subnet)).ipv4_subnet == made[0].ipv4_subnet


def test_a_network_in_use_is_not_removed(networks) -> None:
    networks.create(Network("a"))
    networks.reserve(ONE, "one", NetworkRequest("a"), ())
    refused("LIM-NET-002", lambda: networks.remove("a"))
    networks.forget(ONE)
    networks.remove("a")


def test_addresses_are_kept_until_they_are_given_back(networks) -> None:
    first = networks.reserve(ONE, "one", DEFAULT, ())
    second = networks.reserve(TWO, "two", DEFAULT, ())
    assert len({*first, *second}) == 6
    assert networks.reserve(ONE, "one", DEFAULT, ()) == first
    networks.disconnect(ONE)
    assert networks.reserve(ONE, "renamed", DEFAULT, ()) == first
    assert {(one.container_name, one.addresses) for one in networks.attachments()} == {
        ("renamed", first),
        ("two", second),
    }
    networks.forget(ONE)
    networks.forget(ONE)
    assert [one.container_id for one in networks.attachments()] == [TWO]
    third = networks.reserve(THREE, "three", DEFAULT, ())
    assert third.ipv4 != first.ipv4, "an address that was given back is not the next one handed out"


def test_fixed_addresses(networks) -> None:
    networks.create(Network("a", ipv4_subnet="10.1.2.0/24", ipv6_subnet="fd01:2::/64"))
    fixed = NetworkRequest("a", "10.1.2.77", "fd01:2::77", "02:AA:bb:cc:dd:ee")
    assert networks.reserve(ONE, "one", fixed, ()) == ("10.1.2.77/24", "fd01:2::77/64", "02:aa:bb:cc:dd:ee")
    assert networks.reserve(ONE, "one", fixed, ()).ipv4 == "10.1.2.77/24"
    for taken in ({"ipv4": "10.1.2.77"}, {"ipv6": "fd01:2::77"}, {"mac": "02:aa:bb:cc:dd:ee"}, {"ipv4": "10.1.2.1"}):
        refused("LIM-NET-004", lambda: networks.reserve(TWO, "two", NetworkRequest("a", **taken), ()))  # noqa: B023
    for wrong in ({"ipv4": "10.1.3.1"}, {"ipv4": "10.1.2.255"}, {"ipv4": "x"}, {"mac": "01:00:00:00:00:01"}):
        refused("LIM-NET-008", lambda: networks.reserve(TWO, "two", NetworkRequest("a", **wrong), ()))  # noqa: B023
    refused("LIM-NET-003", lambda: networks.reserve(TWO, "two", NetworkRequest("nowhere"), ()))
    assert [one.container_id for one in networks.attachments()] == [ONE], "a refusal reserves nothing"


def test_a_host_port_is_had_by_one_container(networks) -> None:
    networks.reserve(ONE, "one", DEFAULT, (PublishedPort(18080, 80),))
    error = refused("LIM-NET-005", lambda: networks.reserve(TWO, "two", DEFAULT, (PublishedPort(18080, 81),)))
    assert "'one'" in error.cause
    networks.reserve(TWO, "two", DEFAULT, (PublishedPort(18080, 80, "udp"),))
    refused("LIM-NET-005", lambda: networks.set_ports(TWO, (PublishedPort(18080, 80),)))
    assert networks.set_ports(ONE, (PublishedPort(18081, 80),)) == (PublishedPort(18081, 80),)
    networks.set_ports(TWO, (PublishedPort(18080, 80),))
    networks.forget(TWO)
    (free,) = networks.set_ports(ONE, (PublishedPort(0, 80),))
    assert free.host_port > 1024
    assert networks.attachments()[0].ports == (free,)
    refused("LIM-NET-006", lambda: networks.reserve(TWO, "two", NetworkRequest("host"), (PublishedPort(1, 1),)))
    refused("LIM-NET-003", lambda: networks.set_ports(TWO, ()))


def test_connecting_twice_and_disconnecting_twice_is_the_same_as_once(networks, start) -> None:
    networks.reserve(ONE, "one", DEFAULT, (PublishedPort(18080, 80),))
    refused("LIM-NET-003", lambda: networks.connect(TWO, start()))
    networks.prepare(ONE)
    networks.connect(ONE, pid := start())
    networks.connect(ONE, pid)
    assert networks.present() == [ONE]
    networks.disconnect(ONE)
    networks.disconnect(ONE)
    assert networks.present() == []
    networks.connect(ONE, start())
    networks.forget(ONE)
    networks.tidy()
    assert networks.present() == [] and networks.attachments() == []


def test_no_network_and_the_hosts_network_have_no_addresses(networks, start) -> None:
    for container_id, name in ((ONE, "none"), (TWO, "host")):
        assert networks.reserve(container_id, name, NetworkRequest(name), ()) == ("", "", "")
        networks.connect(container_id, start())
        assert os.path.exists(networks.hosts_file(container_id))
        networks.disconnect(container_id)
        networks.forget(container_id)
    assert networks.present() == []


def names_in(path: str) -> dict[str, list[str]]:
    with open(path) as file:
        lines = [line.split() for line in file.read().splitlines()]
    return {words[0]: words[1:] for words in lines if words}


def test_hosts_files_name_the_running_containers_of_the_network(networks, start) -> None:
    networks.create(Network("a"))
    one = networks.reserve(ONE, "one", DEFAULT, (), "one.example")
    two = networks.reserve(TWO, "two", DEFAULT, ())
    networks.reserve(THREE, "three", NetworkRequest("a"), ())
    files = [networks.hosts_file(each) for each in (ONE, TWO, THREE)]
    inodes = [os.stat(path).st_ino for path in files]
    ip_one, ip_two = (each.ipv4.partition("/")[0] for each in (one, two))
    assert names_in(files[0])[ip_one] == ["one.example", "one"], "itself, before it runs"
    assert ip_two not in names_in(files[0])
    networks.connect(ONE, start())
    networks.connect(TWO, start(), names_later=True)
    assert ip_two not in names_in(files[0])
    networks.refresh_names(TWO)
    networks.connect(THREE, start())
    assert names_in(files[0])[ip_two] == ["two"]
    assert set(names_in(files[1])[ip_one]) == {"one", "one.example"}
    assert names_in(files[1])[two.ipv6.partition("/")[0]] == ["two"]
    assert not {ip_one, ip_two} & set(names_in(files[2])), "but not those of another network"
    networks.disconnect(TWO)
    assert ip_two not in names_in(files[0])
    networks.forget(TWO)
    assert [os.stat(files[index]).st_ino for index in (0, 2)] == [inodes[0], inodes[2]], "written in place"
    assert not os.path.exists(files[1])


def test_resolv_conf_is_a_file_with_servers_that_a_container_can_reach(networks) -> None:
    networks.reserve(ONE, "one", DEFAULT, ())
    with open(networks.resolv_conf(ONE)) as file:
        servers = [line.split()[1] for line in file if line.startswith("nameserver")]
    assert not [server for server in servers if server.startswith("127.") or server == "::1"]


def test_a_bare_namespace_gets_its_loopback_and_parameters(networks, start) -> None:
    pid = start()
    networks.furnish(pid, (("net.core.somaxconn", "77"), ("kernel.shmmax", "5")))
    if isinstance(networks, FakeNetworks):
        assert networks.calls == [("furnish", str(pid))]
        return
    with namespaces.entered(namespaces.open_network(pid)):
        assert sysctl.read("net/core/somaxconn") == "77"
        said = subprocess.run(["ip", "-o", "link", "show", "lo"], capture_output=True, text=True, check=True).stdout
        assert "LOWER_UP" in said
    refused("LIM-NET-010", lambda: networks.furnish(pid, (("net.core.somaxconn", "many"),)))
