"""A silent container: nothing comes out of it, nobody is answered, and what is sent to it is there afterwards."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import laboratory
import pytest
from laboratory import ask, until

from limosa.adapters.bridge_network.adapter import BridgeNetworks
from limosa.linux import namespaces
from limosa.model.container import NetworkRequest
from limosa.ports.network import Network

pytestmark = pytest.mark.privileged

LAN = Network("lan", kind="uplink", uplink="up0", ipv4_subnet="198.51.100.64/27")
REQUEST = NetworkRequest("lan", ipv6="2001:db8:1::70")
OUT4 = "198.51.100.9"
_TCP_INFO, _TOTAL_RETRANS_BYTES = 11, 100  # linux/tcp.h: tcpi_total_retrans


@contextmanager
def overhearing(host: laboratory.Host, mac: str) -> Iterator[list[bytes]]:
    """Give the frames of one sender that come to a host while the block runs."""
    heard: list[bytes] = []
    with host:
        listener = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
    try:
        yield heard
        listener.setblocking(False)
        try:
            while True:
                frame = listener.recv(1 << 18)
                if frame[6:12].hex(":") == mac:
                    heard.append(frame)
        except BlockingIOError:
            pass
    finally:
        listener.close()


def plain(address: str) -> str:
    return address.partition("/")[0]


@pytest.mark.parametrize("kind", ["bridge", "uplink", "routed"])
def test_who_is_connected_in_silence_neither_speaks_nor_answers_until_it_may(site, kind) -> None:
    """To what comes for a connection whose socket is not restored yet the kernel would answer by a reset."""
    request = NetworkRequest()
    if kind != "bridge":
        request = NetworkRequest("net", ipv4="198.51.100.80", ipv6="2001:db8:1::80")
        site.networks.create(Network("net", kind=kind, uplink="up0"))
    container_id, one, addresses = site.guest("one", request)
    site.networks.disconnect(container_id)
    asker = None if kind == "bridge" else site.outside.namespace
    with overhearing(site.outside, addresses.mac) as heard:
        site.networks.connect(container_id, one.pid, silent=True)
        assert ask(asker, plain(addresses.ipv4), 80, timeout_s=0.3) is None
        refused = connecting(asker, plain(addresses.ipv4), 0.3)
    assert refused == "nothing", "a closed port of who may speak refuses at once"
    assert heard == []
    assert "fe80:" in one.sh("ip -6 addr show dev eth0"), "programs may be bound to it"
    site.networks.unsilence(container_id, one.pid)
    assert connecting(asker, plain(addresses.ipv4), 3) == "refused"
    assert connecting(asker, plain(addresses.ipv6), 3) == "refused"


def connecting(namespace: int | None, address: str, timeout_s: float) -> str:
    """Say what comes back to somebody who connects to a closed port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with namespaces.entered(namespace) if namespace is not None else nullcontext():
        client = socket.socket(family, socket.SOCK_STREAM)
    with client:
        client.settimeout(timeout_s)
        try:
            client.connect((address, 81))
        except ConnectionRefusedError:
            return "refused"
        except OSError:
            return "nothing"
    return "connected"


@pytest.mark.parametrize("address", ["ipv4", "ipv6"])
def test_what_is_sent_to_a_silent_container_arrives_when_it_speaks_again(site, address) -> None:
    site.networks.create(LAN)
    container_id, one, addresses = site.guest("one", REQUEST)
    datagrams = site.serve(one.namespace, 7000, socket.SOCK_DGRAM)
    site.serve(one.namespace, 80)
    where = plain(getattr(addresses, address))
    assert ask(site.outside.namespace, where, 7000, socket.SOCK_DGRAM)
    with site.outside:
        stream, datagram = (socket.socket(socket.AF_INET6 if ":" in where else socket.AF_INET, kind)
                            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM))  # fmt: skip
    with stream, datagram:
        site.networks.hold(container_id)
        site.networks.silence(container_id)
        datagram.sendto(b"?", (where, 7000))
        stream.setblocking(False)
        assert stream.connect_ex((where, 80))
        assert not until(lambda: datagrams.seen > 1, 0.2)
        site.networks.unsilence(container_id, one.pid)
        stream.settimeout(10)
        assert stream.recv(100)
        assert retransmissions(stream) == 0
        datagram.settimeout(10)
        assert datagram.recv(100)
    assert not until(lambda: datagrams.seen != 2, 0.3), "once"
    site.networks.forget(container_id)
    assert "promiscuity 0" in laboratory.sh("ip -d link show type bridge")


def retransmissions(stream: socket.socket) -> int:
    info = stream.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 256)
    return int.from_bytes(info[_TOTAL_RETRANS_BYTES : _TOTAL_RETRANS_BYTES + 4], "little")


def test_what_both_hosts_hold_of_a_container_that_moves_arrives_there(site, tmp_path) -> None:
    second = laboratory.beside(site.outside)
    site.networks.create(LAN)
    container_id, one, addresses = site.guest("one", REQUEST)
    where = plain(addresses.ipv4)
    here = site.serve(one.namespace, 7000, socket.SOCK_DGRAM, name="here")
    moved = laboratory.Guest()
    try:
        there = site.serve(moved.namespace, 7000, socket.SOCK_DGRAM, name="there")
        with second:
            laboratory.sh("ip addr add 198.51.100.2/24 dev up0")
            target = BridgeNetworks(f"{tmp_path}/second")
            target.create(LAN)
            target.reserve(container_id, "one", REQUEST._replace(ipv4=where, mac=addresses.mac), ())
        assert ask(site.outside.namespace, where, 7000, socket.SOCK_DGRAM) == f"here {OUT4}"
        with site.outside:
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with client:
            site.networks.hold(container_id)
            site.networks.silence(container_id)
            client.sendto(b"first", (where, 7000))
            with second:
                target.attract(container_id)
            client.sendto(b"second", (where, 7000))
            site.networks.forward_held(container_id)
            with second:
                target.connect(container_id, moved.pid, silent=True)
                assert there.seen == 0
                target.unsilence(container_id, moved.pid)
            client.settimeout(10)
            assert [client.recv(100) for _ in range(2)] == [f"there {OUT4}".encode()] * 2
        assert not until(lambda: there.seen != 2, 0.3), "each once"
        assert here.seen == 1
        with second:
            target.forget(container_id)
    finally:
        moved.kill()
        second.close()


@pytest.mark.parametrize("frozen", [True, False])
def test_who_has_connected_is_accepted_and_who_comes_later_waits_until_it_speaks_again(site, frozen) -> None:
    """Whom nobody has accepted is in no dump, and would be told a reset."""
    site.networks.create(LAN)
    container_id, one, addresses = site.guest("one", REQUEST)
    with namespaces.entered(one.namespace):
        server = socket.create_server(("0.0.0.0", 80))
    datagrams = site.serve(one.namespace, 7000, socket.SOCK_DGRAM)
    with site.outside:
        early, late = (socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(2))
    with server, early, late:
        early.connect((plain(addresses.ipv4), 80))
        assert not site.networks.settle_newcomers(container_id, one.pid, 0.05)
        server.accept()[0].close()
        assert site.networks.settle_newcomers(container_id, one.pid, 0.05)
        late.setblocking(False)
        late.connect_ex((plain(addresses.ipv4), 80))
        assert ask(site.outside.namespace, plain(addresses.ipv4), 7000, socket.SOCK_DGRAM)
        assert site.networks.settle_newcomers(container_id, one.pid, 0.05)
        if frozen:
            site.networks.hold(container_id)
            site.networks.silence(container_id)
        site.networks.unsilence(container_id, one.pid)
        server.settimeout(10)
        server.accept()[0].close()
        assert retransmissions(late) == 0
    assert not until(lambda: datagrams.seen != 1, 0.3), "what was let in is not given again"
    assert "newcomers" not in laboratory.sh("nft list tables")


def test_what_was_sent_again_is_counted(site) -> None:
    site.networks.create(LAN)
    container_id, one, addresses = site.guest("one", REQUEST)
    with namespaces.entered(one.namespace):
        server = socket.create_server(("0.0.0.0", 80))
    with site.outside:
        client = socket.create_connection((plain(addresses.ipv4), 80))
    with server, client, server.accept()[0] as accepted:
        client.sendall(b"first")
        assert accepted.recv(100) == b"first"
        assert site.networks.retransmitted(one.pid) == 0
        site.networks.hold(container_id)
        site.networks.silence(container_id)
        client.sendall(b"second")
        assert until(lambda: retransmissions(client) > 0, 10)
        site.networks.unsilence(container_id, one.pid)
        assert accepted.recv(100) == b"second"
        assert until(lambda: site.networks.retransmitted(one.pid) > 0)
    assert site.networks.retransmitted(one.pid) > 0
