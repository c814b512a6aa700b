"""Copies of one container beside it: the same address inside each, another one for everybody else."""

import os
import socket

import laboratory
import pytest
from laboratory import ask

from limosa.adapters.bridge_network import translator
from limosa.adapters.bridge_network.adapter import BridgeNetworks
from limosa.linux import mount
from limosa.model.container import Addresses, NetworkRequest, PublishedPort

pytestmark = pytest.mark.privileged

TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM
HOST4, OUT4, OUT6 = "198.51.100.1", "198.51.100.9", "2001:db8:1::9"


def plain(address: str) -> str:
    return address.partition("/")[0]


@pytest.fixture
def copies(site):
    """A container and two copies of it: (namespace, outer addresses) each."""
    _, original, addresses = site.guest("original")
    made = [(original.namespace, addresses)]
    for number in (1, 2):
        container_id = site.new_id()
        outer = site.networks.reserve(
            container_id, f"copy{number}", NetworkRequest(), (PublishedPort(8080 + number, 7000),), inner=addresses
        )
        process = laboratory.Guest()
        site._guests.append(process)
        site.networks.connect(container_id, process.pid)
        made.append((process.namespace, outer))
    yield made
    for attachment in site.networks.attachments():
        site.networks.forget(attachment.container_id)
    assert not translator.Translators(f"{site.root}/networks").present()
    assert not mount.mount_points(f"{site.root}/networks/translators")


@pytest.mark.parametrize("kind", [TCP, UDP])
def test_each_answers_at_its_own_outer_address(site, copies, kind) -> None:
    for number, (namespace, _) in enumerate(copies):
        site.serve(namespace, 7000, kind, name=f"number{number}")
    _, neighbour, _ = site.guest("neighbour")
    for number, (namespace, outer) in enumerate(copies):
        for address in (plain(outer.ipv4), plain(outer.ipv6)):
            assert (ask(None, address, 7000, kind) or "").startswith(f"number{number} "), "from the host"
            answer = ask(neighbour.namespace, address, 7000, kind) or ""
            assert answer.startswith(f"number{number} "), "from a neighbour"
            assert (ask(namespace, address, 7000, kind) or "").startswith(f"number{number} "), "from itself"
        for other, (_, theirs) in enumerate(copies):
            if number and other and other != number:
                assert (ask(namespace, plain(theirs.ipv4), 7000, kind) or "").startswith(f"number{other} ")


def test_a_copy_has_the_originals_address_inside_and_its_own_outside(site, copies) -> None:
    original = plain(copies[0][1].ipv4)
    _, neighbour, theirs = site.guest("neighbour")
    site.serve(neighbour.namespace, 7000)
    site.serve(site.outside.namespace, 7000)
    for namespace, outer in copies[1:]:
        with laboratory.namespaces.entered(namespace):
            assert f"inet {original}/" in laboratory.sh("ip -4 addr show dev eth0")
        assert ask(namespace, plain(theirs.ipv4), 7000) == plain(outer.ipv4), "a neighbour sees the outer address"
        assert ask(namespace, plain(theirs.ipv6), 7000) == plain(outer.ipv6)
        assert ask(namespace, OUT4, 7000) == HOST4, "and the world outside the host's"
        assert ask(namespace, OUT6, 7000)


def test_published_ports_of_a_copy_lead_to_it(site, copies) -> None:
    for number, (namespace, _) in enumerate(copies[1:], 1):
        site.serve(namespace, 7000, name=f"number{number}")
        for client in (None, site.outside.namespace):
            assert (ask(client, HOST4, 8080 + number) or "").startswith(f"number{number} ")


def test_names_inside_are_the_inner_address_and_outside_the_outer_one(site, copies) -> None:
    by_name = {one.container_name: one for one in site.networks.attachments()}

    def hosts(name: str) -> str:
        with open(site.networks.hosts_file(by_name[name].container_id), encoding="ascii") as file:
            return file.read()

    original = plain(copies[0][1].ipv4)
    assert f"{original}\tcopy1\n" in hosts("copy1")
    assert f"{plain(copies[1][1].ipv4)}\tcopy1\n" in hosts("original")
    assert f"{plain(copies[2][1].ipv4)}\tcopy2\n" in hosts("copy1")
    assert "original" not in hosts("copy1"), "it would be the copy itself"


def test_a_killed_commands_translation_is_found_and_taken_away(site, copies) -> None:
    container_id = next(one.container_id for one in site.networks.attachments() if one.container_name == "copy1")
    again = BridgeNetworks(site.root)
    assert container_id in again.present()
    again.disconnect(container_id)
    again.disconnect(container_id)
    assert not mount.mount_points(f"{site.root}/networks/translators/{container_id}")


def test_after_a_reboot_the_file_of_a_namespace_is_no_obstacle(site) -> None:
    container_id = site.new_id()
    inner = Addresses("10.9.9.9/24", "", "02:00:00:00:00:09")
    outer = site.networks.reserve(container_id, "copy", NetworkRequest(), (), inner=inner)
    os.makedirs(f"{site.root}/networks/translators", exist_ok=True)
    with open(f"{site.root}/networks/translators/{container_id}", "w", encoding="ascii"):
        pass
    process = laboratory.Guest()
    site._guests.append(process)
    site.networks.connect(container_id, process.pid)
    site.serve(process.namespace, 7000)
    assert ask(None, plain(outer.ipv4), 7000)
    site.networks.forget(container_id)


def test_only_connections_that_leave_a_copy_are_aborted(site) -> None:
    """Both ends inside: it stays, over IPv4, IPv6 and a dual-stack socket. One end outside: the program is told."""
    _, one, addresses = site.guest("one")
    with laboratory.namespaces.entered(one.namespace):
        listener = socket.create_server(("::", 7000), family=socket.AF_INET6, dualstack_ipv6=True)
        inside = [socket.create_connection((address, 7000)) for address in ("127.0.0.1", "::1")]
    accepted = [listener.accept()[0] for _ in inside]
    from_outside = socket.create_connection((plain(addresses.ipv4), 7000))
    accepted_outside = listener.accept()[0]
    assert site.networks.abort_outside(one.pid) == 1
    for client, server in zip(inside, accepted, strict=True):
        client.sendall(b"still here")
        assert server.recv(10) == b"still here"
    with pytest.raises(ConnectionAbortedError):
        accepted_outside.recv(1)
    for opened in (*inside, *accepted, accepted_outside, from_outside, listener):
        opened.close()
