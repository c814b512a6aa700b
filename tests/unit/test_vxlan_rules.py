"""What hosts that share a segment have to agree about without asking each other, and what has to differ."""

import pytest

from limosa.adapters.bridge_network import reservation
from limosa.model import network as rules
from limosa.model.errors import LimosaError
from limosa.ports.network import Network

HOSTS = ("192.0.2.1", "198.51.100.2", "203.0.113.3")
NETWORK = Network("lan", ipv4_subnet="10.9.0.0/24", vxlan_hosts=HOSTS)


def test_the_number_is_one_for_all_hosts_and_another_for_every_other_network() -> None:
    found = {rules.vxlan_number(name, hosts) for name in ("lan", "dmz") for hosts in (HOSTS, HOSTS[:2])}
    assert len(found) == 4
    assert all(0 < number < 1 << 24 for number in found)


def test_each_host_has_a_gateway_of_its_own_and_begins_in_its_own_part() -> None:
    gateways = [rules.nth_address("10.9.0.0/24", place) for place in range(3)]
    assert gateways == ["10.9.0.1", "10.9.0.2", "10.9.0.3"]
    begin = [reservation._first_cursor(NETWORK._replace(ipv4_gateway=gateway), "10.9.0.0/24") for gateway in gateways]
    assert begin == [0, 84, 168]
    assert reservation._first_cursor(NETWORK._replace(vxlan_hosts=()), "10.9.0.0/24") == 0


def test_a_subnet_that_has_no_room_for_all_hosts_is_refused() -> None:
    assert rules.nth_address("10.9.0.0/30", 1) == "10.9.0.2"
    with pytest.raises(LimosaError, match="too small"):
        rules.nth_address("10.9.0.0/30", 2)


def test_the_names_of_bridge_and_port_differ_and_fit_an_interface() -> None:
    bridge = rules.bridge_name("00000001", "lan")
    assert rules.vxlan_name(bridge) != bridge and len(rules.vxlan_name(bridge)) <= 15
