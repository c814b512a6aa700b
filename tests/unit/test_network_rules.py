"""Address pools, names and files of the network: the pure parts."""

import ipaddress
import re
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa.adapters.bridge_network import name_files, rules
from limosa.adapters.bridge_network.host_ports import collide
from limosa.linux import arp, netlink
from limosa.model import network
from limosa.model.container import Addresses, PublishedPort
from limosa.model.errors import LimosaError
from limosa.model.ids import ContainerId

IDS = st.binary(min_size=12, max_size=12).map(lambda value: ContainerId(value.hex()))
TAGS = st.text("0123456789abcdef", min_size=8, max_size=8)


@given(TAGS, IDS, IDS)
def test_interface_names_fit_and_differ(tag: str, one: ContainerId, two: ContainerId) -> None:
    names = [network.veth_name(tag, one), network.veth_name(tag, two), network.bridge_name(tag, "default")]
    assert all(len(name) <= 15 for name in names)
    assert (names[0] == names[1]) == (one[:12] == two[:12])
    assert names[2] not in names[:2]


@given(IDS, st.integers(0, 1 << 41))
def test_a_derived_mac_address_is_one_that_an_interface_can_have(container_id: ContainerId, turn: int) -> None:
    mac = network.mac_of(container_id, turn)
    assert network.checked_mac(mac) == mac
    assert network.mac_of(container_id, turn + 1) != mac


def test_every_chosen_subnet_is_in_the_pool_and_overlaps_no_other() -> None:
    found = [ipaddress.ip_network(text) for text in network.ipv4_subnets(637)]
    assert len(found) == len(set(found)) == 640
    assert min(found)[0] == ipaddress.ip_address("10.88.0.0") and max(found)[-1] == ipaddress.ip_address(
        "10.127.255.255"
    )
    assert next(network.ipv4_subnets(0)) == "10.88.0.0/20"


def test_unique_local_subnets_depend_on_machine_host_and_name() -> None:
    found = {network.ipv6_subnet(*key) for key in (("m", "t", "a"), ("n", "t", "a"), ("m", "u", "a"), ("m", "t", "b"))}
    assert len(found) == 4
    assert all(ipaddress.ip_network(text).prefixlen == 64 and text.startswith("fd") for text in found)


@given(st.integers(0, 5000), st.sets(st.integers(1, 14)))
def test_addresses_are_handed_out_until_all_are_taken(cursor: int, numbers: set[int]) -> None:
    taken = {f"10.0.0.{number}" for number in numbers}
    free = {f"10.0.0.{number}" for number in range(1, 15)} - taken
    got = set()
    while (found := network.next_address("10.0.0.0/28", cursor, taken | got)) is not None:
        address, cursor = found
        assert address in free - got
        got.add(address)
    assert got == free


@pytest.mark.parametrize(
    ("subnet", "other", "expected"),
    [
        ("10.0.0.0/8", "10.255.0.0/16", True),
        ("10.0.0.0/24", "10.0.1.0/24", False),
        ("fd00::/64", "fd00::/8", True),
        ("0.0.0.0/0", "::/0", False),
        ("10.0.0.0/24", "10.0.0.77/24", True),
    ],
)
def test_overlap(subnet: str, other: str, expected: bool) -> None:
    assert (network.overlapping(subnet, [other]) == other) is expected
    assert network.overlapping(subnet, []) is None


@pytest.mark.parametrize("text", ["10.0.0.1/24", "10.0.0.0/31", "fd00::/64", "x", ""])
def test_a_subnet_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(LimosaError) as refused:
        network.checked_subnet(text, 4)
    assert refused.value.code == "LIM-NET-008"


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("", "", True),
        ("", "127.0.0.1", True),
        ("0.0.0.0", "::", False),
        ("0.0.0.0", "::1", False),
        ("::", "::1", True),
        ("127.0.0.1", "127.0.0.2", False),
    ],
)
def test_who_wants_the_same_port(one: str, other: str, expected: bool) -> None:
    first, second = PublishedPort(80, 1, "tcp", one), PublishedPort(80, 2, "tcp", other)
    assert collide(first, second) is collide(second, first) is expected
    assert not collide(first, second._replace(protocol="udp"))
    assert not collide(first, second._replace(host_port=81))


def test_a_port_is_published_where_its_address_says() -> None:
    addresses = Addresses("10.88.0.5/20", "fd00::5/64", "")
    elements = {
        where: [one[0] for one in rules.port_elements(PublishedPort(80, 8, "udp", where), addresses)]
        for where in ("", "0.0.0.0", "::", "127.0.0.1", "::1")
    }
    assert elements == {
        "": ["ports4", "ports6"],
        "0.0.0.0": ["ports4"],
        "::": ["ports6"],
        "127.0.0.1": ["addressed4"],
        "::1": ["addressed6"],
    }
    assert rules.port_elements(PublishedPort(80, 8), Addresses()) == []


def test_resolv_conf_loses_the_hosts_own_resolver() -> None:
    host = "# comment\nnameserver 127.0.0.53\noptions edns0\nsearch example\n"
    behind = "nameserver 192.0.2.53\nnameserver ::1\n"
    assert name_files.resolv_text(host, behind).splitlines() == [
        "# comment",
        "options edns0",
        "search example",
        "nameserver 192.0.2.53",
    ]
    mixed = "nameserver 127.0.0.1\nnameserver 192.0.2.1\n"
    assert name_files.resolv_text(mixed, behind) == "nameserver 192.0.2.1\n"


def test_a_file_is_rewritten_in_place(tmp_path) -> None:
    path = f"{tmp_path}/hosts"
    inodes = set()
    for text in ("one\n", "a longer text\n", "x\n", "y\n", ""):
        name_files.write_in_place(path, text)
        with open(path) as file:
            assert file.read() == text
            inodes.add(file.fileno() and __import__("os").fstat(file.fileno()).st_ino)
    assert len(inodes) == 1


@given(st.binary(max_size=300))
def test_attributes_of_anything_end(data: bytes) -> None:
    netlink.attributes(data)
    netlink.first_attribute(data, 0, 3)


@given(st.dictionaries(st.integers(1, 1000), st.binary(max_size=20), max_size=5))
def test_attributes_come_back(values: dict[int, bytes]) -> None:
    body = b"".join(netlink.attribute(kind, value) for kind, value in values.items())
    assert len(body) % 4 == 0
    assert netlink.attributes(body) == values
    for kind, value in values.items():
        assert netlink.first_attribute(body, 0, kind) == value


def test_announcements_name_the_address() -> None:
    mac = bytes.fromhex("020000000001")
    frame = arp.gratuitous_arp(mac, "192.0.2.7")
    assert len(frame) == 42 and frame[28:32] == frame[38:42] == socket.inet_aton("192.0.2.7")
    advertisement = arp.neighbour_advertisement(mac, "2001:db8::7")
    source, target, message = advertisement[22:38], advertisement[38:54], advertisement[54:]
    pseudo = source + target + len(message).to_bytes(4, "big") + (58).to_bytes(4, "big")
    assert arp.checksum(pseudo + message) == 0
    assert message[8:24] == socket.inet_pton(socket.AF_INET6, "2001:db8::7") and message[-6:] == mac


def test_no_set_crashes_another_version_of_the_library() -> None:
    """What nftables 1.1.3 makes of `type ifname` alone, 1.0.6 dies of as soon as it lists anything (ADR 4)."""
    text = rules.table_commands("limosa", [], [])
    declared = re.findall(r"^  (?:set|map) (\w+) \{ (\w+) ([^;:]+)", text, re.M)
    assert len(declared) == 11
    for name, keyword, key in declared:
        assert keyword == "typeof" or " . " in key, name
