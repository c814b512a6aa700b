"""What goes through the interfaces and rules that the adapter makes: real packets between real namespaces."""

import os
import socket
import time

import laboratory
import pytest
from laboratory import ask

from limosa.adapters.bridge_network.adapter import BridgeNetworks
from limosa.linux import arp
from limosa.linux.netlink import RouteSocket
from limosa.linux.netlink_link import find_link, links
from limosa.model.container import NetworkRequest, PublishedPort
from limosa.model.errors import LimosaError
from limosa.ports.network import Network

pytestmark = pytest.mark.privileged

TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM
HOST4, HOST6, OUT4, OUT6 = "198.51.100.1", "2001:db8:1::1", "198.51.100.9", "2001:db8:1::9"


def plain(address: str) -> str:
    return address.partition("/")[0]


@pytest.mark.parametrize("kind", [TCP, UDP])
def test_host_and_neighbours_reach_a_container_at_once_over_both_families(site, kind) -> None:
    _, one, addresses = site.guest("one")
    _, two, _ = site.guest("two")
    site.serve(one.namespace, 7000, kind)
    for address in (plain(addresses.ipv4), plain(addresses.ipv6)):
        assert ask(None, address, 7000, kind)
        assert ask(two.namespace, address, 7000, kind)
        assert ask(one.namespace, address, 7000, kind)
    assert ask(one.namespace, "127.0.0.1", 7000, kind)  # lo is up


def test_a_container_reaches_the_outside_with_the_hosts_address(site) -> None:
    _, one, _ = site.guest("one")
    site.serve(site.outside.namespace, 7000)
    assert ask(one.namespace, OUT4, 7000) == HOST4
    assert ask(one.namespace, OUT6, 7000) == HOST6


@pytest.mark.parametrize(("protocol", "kind"), [("tcp", TCP), ("udp", UDP)])
def test_a_published_port_is_reached_from_everywhere(site, protocol, kind) -> None:
    published = (PublishedPort(8080, 80, protocol),)
    _, one, _ = site.guest("one", ports=published)
    _, two, _ = site.guest("two")
    site.networks.create(Network("other"))
    _, three, _ = site.guest("three", NetworkRequest("other"))
    site.serve(one.namespace, 80, kind)
    out = site.outside.namespace
    assert ask(out, HOST4, 8080, kind) == OUT4, "from outside, and the server sees who it is"
    assert ask(out, HOST6, 8080, kind) == OUT6
    assert ask(None, HOST4, 8080, kind), "from the host by its address"
    assert ask(None, HOST6, 8080, kind)
    assert ask(None, "127.0.0.1", 8080, kind), "from the host by localhost"
    assert ask(two.namespace, HOST4, 8080, kind), "from a neighbour"
    assert ask(two.namespace, HOST6, 8080, kind)
    assert ask(one.namespace, HOST4, 8080, kind), "from itself"
    assert ask(one.namespace, HOST6, 8080, kind)
    assert ask(three.namespace, HOST4, 8080, kind), "from another network, as from outside"


def test_localhost_over_ipv6_does_not_lead_into_a_container(site) -> None:
    """The kernel routes nothing from or to ::1 over another interface; clients fall back to 127.0.0.1."""
    _, one, _ = site.guest("one", ports=(PublishedPort(8080, 80),))
    site.serve(one.namespace, 80)
    assert ask(None, "::1", 8080, timeout_s=0.5) is None


def test_a_port_published_on_localhost_is_not_reached_from_outside(site) -> None:
    _, one, _ = site.guest("one", ports=(PublishedPort(8080, 80, "udp", "127.0.0.1"), PublishedPort(8081, 80, "udp")))
    server = site.serve(one.namespace, 80, UDP)
    assert ask(None, "127.0.0.1", 8080, UDP)
    assert ask(site.outside.namespace, HOST4, 8080, UDP, 0.3) is None
    with RouteSocket() as route:
        target = find_link(route, "up0").mac
    with site.outside:
        with RouteSocket() as route:
            source = find_link(route, "eth0").mac
        frames = arp.packet_socket()
    with frames:
        before = server.seen
        frames.sendto(laboratory.udp_frame(source, target, OUT4, HOST4, 8081), ("eth0", 0))
        assert laboratory.until(lambda: server.seen == before + 1), "such frames do arrive"
        frames.sendto(laboratory.udp_frame(source, target, OUT4, "127.0.0.1", 8080), ("eth0", 0))
        frames.sendto(laboratory.udp_frame(source, target, "127.0.0.1", HOST4, 8081), ("eth0", 0))
        time.sleep(0.3)
        assert server.seen == before + 1, "but not those to or from the host's loopback"


def test_what_is_not_published_is_not_reached_from_outside(site) -> None:
    _, one, addresses = site.guest("one", ports=(PublishedPort(8080, 80),))
    site.serve(one.namespace, 80)
    site.serve(one.namespace, 81)
    with site.outside:
        laboratory.sh(f"ip route add {addresses.ipv4.rsplit('.', 1)[0]}.0/24 via {HOST4}")
        laboratory.sh(f"ip -6 route add {plain(addresses.ipv6)}/128 via {HOST6}")
    out = site.outside.namespace
    assert ask(out, HOST4, 8080)
    assert ask(out, plain(addresses.ipv4), 81, timeout_s=0.3) is None
    assert ask(out, plain(addresses.ipv6), 81, timeout_s=0.3) is None
    assert ask(None, plain(addresses.ipv4), 81)


def test_ports_change_while_the_container_runs(site) -> None:
    container_id, one, _ = site.guest("one", ports=(PublishedPort(8080, 80),))
    site.serve(one.namespace, 80)
    out = site.outside.namespace
    assert ask(out, HOST4, 8080)
    site.networks.set_ports(container_id, (PublishedPort(8081, 80),))
    assert ask(out, HOST4, 8080, timeout_s=0.3) is None
    assert ask(out, HOST4, 8081)
    (chosen,) = site.networks.set_ports(container_id, (PublishedPort(0, 80),))
    assert chosen.host_port and ask(out, HOST4, chosen.host_port)
    with pytest.raises(LimosaError) as refused, laboratory.listening("tcp", 8082):
        site.networks.set_ports(container_id, (PublishedPort(8082, 80),))
    assert refused.value.code == "LIM-NET-005"
    assert ask(out, HOST4, chosen.host_port), "the ports are as before"


def test_networks_are_isolated_from_each_other_and_an_internal_one_from_the_outside(site) -> None:
    site.networks.create(Network("other"))
    site.networks.create(Network("closed", internal=True))
    _, one, first = site.guest("one")
    _, two, second = site.guest("two", NetworkRequest("other"))
    _, three, third = site.guest("three", NetworkRequest("closed"))
    _, four, _ = site.guest("four", NetworkRequest("closed"))
    for guest in (one, two, three):
        site.serve(guest.namespace, 80)
    site.serve(site.outside.namespace, 7000)
    quick = {"timeout_s": 0.3}
    for source, target in ((one, second), (two, first), (three, first), (one, third)):
        for address in (plain(target.ipv4), plain(target.ipv6)):
            assert ask(source.namespace, address, 80, **quick) is None
    assert ask(two.namespace, OUT4, 7000) == HOST4
    assert ask(three.namespace, OUT4, 7000, **quick) is None
    assert ask(three.namespace, OUT6, 7000, **quick) is None
    assert ask(four.namespace, plain(third.ipv4), 80)


def test_the_mtu_is_that_of_the_way_out(site) -> None:
    laboratory.sh("ip link set up0 mtu 1400")
    _, one, _ = site.guest("one")
    assert " mtu 1400 " in one.sh("ip link show eth0")


def test_a_flushed_ruleset_is_made_again(site) -> None:
    container_id, one, _ = site.guest("one", ports=(PublishedPort(8080, 80),))
    site.serve(one.namespace, 80)
    site.serve(site.outside.namespace, 7000)
    laboratory.sh("nft flush ruleset")
    assert ask(one.namespace, OUT4, 7000, timeout_s=0.3) is None
    site.guest("two")
    assert ask(one.namespace, OUT4, 7000) == HOST4, "by the next container that starts"
    assert ask(site.outside.namespace, HOST4, 8080)
    laboratory.sh("nft flush ruleset")
    site.networks.set_ports(container_id, (PublishedPort(8081, 80),))
    assert ask(site.outside.namespace, HOST4, 8081)


def test_a_neighbour_learns_where_an_address_is_now(site) -> None:
    """The same address and MAC on the same bridge, but another port: what a migration or a restore looks like."""
    _, two, _ = site.guest("two")
    container_id, one, addresses = site.guest("one")
    site.serve(one.namespace, 80, name="first")
    assert ask(two.namespace, plain(addresses.ipv4), 80)
    with two_listens(two) as frames:
        site.networks.disconnect(container_id)
        again = laboratory.Guest()
        try:
            site.networks.connect(container_id, again.pid)
            kinds = frames.kinds(addresses.mac)
        finally:
            again.kill()
    assert {"arp", "na"} <= kinds


class two_listens:
    """Every frame that arrives at a guest's eth0 with a certain sender."""

    def __init__(self, guest: laboratory.Guest) -> None:
        from limosa.linux import namespaces

        with namespaces.entered(guest.namespace):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))

    def __enter__(self) -> "two_listens":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def kinds(self, mac: str) -> set[str]:
        found = set()
        self._socket.settimeout(0.5)
        try:
            while True:
                frame = self._socket.recv(2000)
                if frame[6:12].hex(":") != mac:
                    continue
                if frame[12:14] == b"\x08\x06" and frame[28:32] == frame[38:42]:
                    found.add("arp")
                if frame[12:14] == b"\x86\xdd" and frame[20] == 58 and frame[54] == 136:
                    found.add("na")
        except TimeoutError:
            return found


def test_a_silenced_container_keeps_its_interface_and_speaks_again(site) -> None:
    container_id, one, addresses = site.guest("one", ports=(PublishedPort(8080, 80),))
    site.serve(one.namespace, 80)
    before = one.sh("ip route; ip -6 route show | grep default; ip -o addr show dev eth0")
    site.networks.silence(container_id)
    assert ask(None, plain(addresses.ipv4), 80, timeout_s=0.3) is None
    site.networks.unsilence(container_id, one.pid)
    site.networks.unsilence(container_id, one.pid)
    assert ask(None, plain(addresses.ipv4), 80)
    assert ask(None, plain(addresses.ipv6), 80)
    assert ask(site.outside.namespace, HOST4, 8080)
    assert one.sh("ip route; ip -6 route show | grep default; ip -o addr show dev eth0") == before


def test_a_routed_container_has_an_address_of_the_segment_that_can_move_to_another_host(site, tmp_path) -> None:
    """A client outside keeps its TCP connection's address pair: it only learns another MAC address."""
    site.networks.create(Network("lan", kind="routed", uplink="up0"))
    request = NetworkRequest("lan", ipv4="198.51.100.50", ipv6="2001:db8:1::50")
    container_id, one, addresses = site.guest("one", request)
    assert (addresses.ipv4, addresses.ipv6) == ("198.51.100.50/32", "2001:db8:1::50/128")
    site.serve(one.namespace, 80)
    site.serve(site.outside.namespace, 7000)
    out = site.outside.namespace
    assert ask(out, "198.51.100.50", 80) == OUT4
    assert ask(out, "2001:db8:1::50", 80) == OUT6
    assert ask(one.namespace, OUT4, 7000) == "198.51.100.50", "no translation on the way out"
    assert ask(one.namespace, OUT6, 7000) == "2001:db8:1::50"
    assert ask(None, "198.51.100.50", 80) == HOST4
    site.networks.silence(container_id)
    assert ask(out, "198.51.100.50", 80, timeout_s=0.3) is None
    site.networks.unsilence(container_id, one.pid)
    assert ask(out, "198.51.100.50", 80) == OUT4
    assert ask(out, "2001:db8:1::50", 80) == OUT6
    site.networks.disconnect(container_id)
    assert "proxy" not in laboratory.sh("ip neigh show proxy; ip -6 neigh show proxy")
    assert ask(out, "198.51.100.50", 80, timeout_s=0.3) is None


def test_two_hosts_on_one_segment_hand_over_a_routed_address(site, tmp_path) -> None:
    second = laboratory.beside(site.outside)
    with second:
        laboratory.sh("ip addr add 198.51.100.2/24 dev up0")
        there = BridgeNetworks(f"{tmp_path}/second")
    request = NetworkRequest("lan", ipv4="198.51.100.50")
    network = Network("lan", kind="routed", uplink="up0")
    site.networks.create(network)
    container_id, one, _ = site.guest("one", request)
    moved = laboratory.Guest()
    try:
        site.serve(one.namespace, 80, name="here")
        site.serve(moved.namespace, 80, name="there")
        assert ask(site.outside.namespace, "198.51.100.50", 80) == f"here {OUT4}"
        with second:
            there.create(network)
            there.reserve(container_id, "one", request, ())
            there.prepare(container_id)
        site.networks.silence(container_id)
        with second:
            there.connect(container_id, moved.pid)
        assert ask(site.outside.namespace, "198.51.100.50", 80, timeout_s=0.5) == f"there {OUT4}"
    finally:
        moved.kill()
        second.close()


def test_an_uplink_is_bridged_and_given_back(site, state_of_host) -> None:
    laboratory.sh("ip route add 203.0.113.0/24 via 198.51.100.9 metric 7")
    before = state_of_host()
    site.networks.create(Network("lan", kind="uplink", uplink="up0", ipv4_subnet="198.51.100.64/27"))
    site.serve(site.outside.namespace, 7000)
    assert ask(None, OUT4, 7000) == HOST4, "the host goes on talking"
    assert ask(None, OUT6, 7000) == HOST6
    assert "203.0.113.0/24 via 198.51.100.9" in laboratory.sh("ip route")
    container_id, one, addresses = site.guest("one", NetworkRequest("lan", ipv6="2001:db8:1::70"))
    assert addresses.ipv4 == "198.51.100.65/24", "of the pool, with the segment's prefix length"
    site.serve(one.namespace, 80)
    assert ask(site.outside.namespace, plain(addresses.ipv4), 80) == OUT4
    assert ask(site.outside.namespace, "2001:db8:1::70", 80) == OUT6
    assert ask(one.namespace, OUT4, 7000) == plain(addresses.ipv4)
    with pytest.raises(LimosaError) as refused:
        site.networks.remove("lan")
    assert refused.value.code == "LIM-NET-002"
    site.networks.forget(container_id)
    site.networks.remove("lan")
    assert ask(None, OUT4, 7000) == HOST4
    assert state_of_host() == before


def test_an_existing_bridge_is_used_as_it_is(site, state_of_host) -> None:
    laboratory.sh("ip link add br9 type bridge; ip link set br9 up; ip link set up0 master br9")
    laboratory.sh("ip addr flush dev up0; ip addr add 198.51.100.1/24 dev br9")
    site.networks.create(Network("lan", kind="uplink", uplink="br9"))
    before = state_of_host()
    container_id, one, _ = site.guest("one", NetworkRequest("lan", ipv4="198.51.100.80"))
    site.serve(one.namespace, 80)
    assert ask(site.outside.namespace, "198.51.100.80", 80) == OUT4
    site.networks.forget(container_id)
    site.networks.remove("lan")
    assert state_of_host() == before


def test_two_roots_share_a_host(site, tmp_path) -> None:
    second = BridgeNetworks(f"{tmp_path}/second")
    container_id, one, first = site.guest("one", ports=(PublishedPort(8080, 80),))
    other = laboratory.Guest()
    try:
        with pytest.raises(LimosaError) as refused:
            second.reserve(container_id, "twin", NetworkRequest(), (PublishedPort(8080, 80),))
        assert refused.value.code == "LIM-NET-005"
        addresses = second.reserve(container_id, "twin", NetworkRequest(), (PublishedPort(8081, 80),))
        second.connect(container_id, other.pid)
        assert addresses.ipv4 != first.ipv4
        site.serve(one.namespace, 80, name="one")
        site.serve(other.namespace, 80, name="two")
        assert ask(site.outside.namespace, HOST4, 8080) == f"one {OUT4}"
        assert ask(site.outside.namespace, HOST4, 8081) == f"two {OUT4}"
        second.forget(container_id)
        assert ask(site.outside.namespace, HOST4, 8080) == f"one {OUT4}"
        assert site.networks.present() == [container_id] and second.present() == []
    finally:
        other.kill()


def test_the_last_container_leaves_nothing_on_the_host(site, state_of_host) -> None:
    before = state_of_host()
    site.networks.create(Network("other"))
    ids = [site.guest("one", ports=(PublishedPort(8080, 80),))[0], site.guest("two", NetworkRequest("other"))[0]]
    assert sorted(site.networks.present()) == sorted(ids)
    for container_id in ids:
        site.networks.disconnect(container_id)
        site.networks.disconnect(container_id)
    assert site.networks.present() == []
    assert state_of_host() == before


def test_a_container_that_died_is_connected_again_at_once(site) -> None:
    container_id, one, _ = site.guest("one", ports=(PublishedPort(8080, 80),))
    for _ in range(5):
        one.kill()
        one = laboratory.Guest()
        try:
            site.networks.connect(container_id, one.pid)
            server = laboratory.Echo(one.namespace, 80)
            assert ask(site.outside.namespace, HOST4, 8080)
            server.close()
        except BaseException:
            one.kill()
            raise
    one.kill()
    assert os.path.exists(site.networks.hosts_file(container_id))


def test_a_udp_client_that_never_falls_silent_follows_the_ports(site) -> None:
    """A tracked flow keeps its first translation: without forgetting it, the client would never reach the container."""
    container_id, one, _ = site.guest("one")
    other_id, two, _ = site.guest("two")
    site.serve(one.namespace, 80, UDP, name="one")
    site.serve(two.namespace, 80, UDP, name="two")
    with site.outside:
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with client:
        client.settimeout(0.5)
        client.bind((OUT4, 5555))

        def answer() -> bytes:
            client.sendto(b"?", (HOST4, 8080))
            try:
                return client.recv(100)
            except OSError:
                return b""

        assert answer() == b""
        site.networks.set_ports(container_id, (PublishedPort(8080, 80, "udp"),))
        assert answer() == f"one {OUT4}".encode()
        site.networks.set_ports(container_id, ())
        assert answer() == b""
        site.networks.set_ports(other_id, (PublishedPort(8080, 80, "udp"),))
        assert answer() == f"two {OUT4}".encode()
        site.networks.disconnect(other_id)
        site.networks.set_ports(other_id, ())
        site.networks.set_ports(container_id, (PublishedPort(8080, 80, "udp"),))
        assert answer() == f"one {OUT4}".encode()


def test_the_bridge_of_one_that_goes_with_its_program_waits_for_the_next(site, state_of_host) -> None:
    """Making and removing it is the dearest part of a short run; whoever recovers an idle host takes it away."""
    site.networks.all()  # the default network is recorded
    before = state_of_host()
    container_id = site.new_id()
    addresses = site.networks.reserve(container_id, "one", NetworkRequest(), (PublishedPort(8080, 80),), passing=True)
    guest = laboratory.Guest()
    site.networks.connect(container_id, guest.pid)
    site.serve(guest.namespace, 80)
    assert ask(None, HOST4, 8080)
    site.networks.forget(container_id)
    guest.kill()
    assert site.networks.present() == [] and site.networks.attachments() == []
    assert "8080" not in laboratory.sh("nft list ruleset"), "the port is free"
    with RouteSocket() as route:
        assert [one.kind for one in links(route) if one.name not in ("lo", "up0")] == ["bridge"]
    again = site.networks.reserve(site.new_id(), "two", NetworkRequest(ipv4=addresses.ipv4.partition("/")[0]), ())
    assert again.ipv4 == addresses.ipv4, "so is the address"
    site.networks.tidy()
    assert state_of_host() == before
