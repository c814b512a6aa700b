"""The nftables table of one limosa host: its text, and the elements of one container.

Rules never change; what a network or a container adds are elements of sets and maps, one transaction each. Elements
of a container carry its id as comment, so that `recover` finds them. docs/adr/0004 explains each chain, and why the
sets that are no concatenation are declared by `typeof`.
"""

from collections.abc import Iterable

from limosa.linux.nftables import Nft, NftError
from limosa.model.container import Addresses, PublishedPort
from limosa.model.hints import Any, Final
from limosa.model.ids import ContainerId
from limosa.model.value import NamedTuple
from limosa.ports.network import Network

PORT_MAPS: Final = ("ports4", "ports6", "addressed4", "addressed6")

_TABLE: Final = """\
table inet {table} {{
  set nat_bridges {{ typeof oifname; }}
  set internal_bridges {{ typeof iifname; }}
  set same_bridge {{ type ifname . ifname; }}
  set local4 {{ type ipv4_addr . ifname; flags interval; }}
  set local6 {{ type ipv6_addr . ifname; flags interval; }}
  set sources4 {{ typeof ip saddr; flags interval; }}
  set sources6 {{ typeof ip6 saddr; flags interval; }}
  map ports4 {{ type inet_proto . inet_service : ipv4_addr . inet_service; }}
  map ports6 {{ type inet_proto . inet_service : ipv6_addr . inet_service; }}
  map addressed4 {{ type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }}
  map addressed6 {{ type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }}
  chain publish {{
    dnat ip to ip daddr . meta l4proto . th dport map @addressed4
    dnat ip6 to ip6 daddr . meta l4proto . th dport map @addressed6
    meta nfproto ipv4 dnat ip to meta l4proto . th dport map @ports4
    meta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @ports6
  }}
  chain martians {{
    type filter hook prerouting priority raw; policy accept;
    iifname != "lo" ip daddr 127.0.0.0/8 drop
    iifname != "lo" ip saddr 127.0.0.0/8 drop
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    meta l4proto {{ tcp, udp }} fib daddr type local jump publish
  }}
  chain output {{
    type nat hook output priority -100; policy accept;
    meta l4proto {{ tcp, udp }} fib daddr type local jump publish
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    ct state established,related accept
    ct status dnat accept
    iifname . oifname @same_bridge accept
    iifname @internal_bridges reject with icmpx admin-prohibited
    oifname @nat_bridges drop
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ct status dnat ip saddr . oifname @local4 masquerade
    ct status dnat ip6 saddr . oifname @local6 masquerade
    ip saddr 127.0.0.0/8 oifname != "lo" masquerade
    ip6 saddr ::1 oifname != "lo" masquerade
    ip saddr @sources4 oifname != @nat_bridges masquerade
    ip6 saddr @sources6 oifname != @nat_bridges masquerade
  }}
}}
"""


class Publication(NamedTuple):
    """The ports of one container that lead to its addresses."""

    container_id: ContainerId
    addresses: Addresses
    ports: tuple[PublishedPort, ...]


def table_commands(table: str, networks: Iterable[tuple[Network, str]], publications: Iterable[Publication]) -> str:
    """Return the commands that make the whole table, in place of the one that is there."""
    parts = [f"add table inet {table}", f"delete table inet {table}", _TABLE.format(table=table)]
    parts += [network_commands(table, "add", network, bridge) for network, bridge in networks]
    parts += [port_commands(table, "add", publication) for publication in publications]
    return "\n".join(part for part in parts if part)


def network_commands(table: str, verb: str, network: Network, bridge: str) -> str:
    """Return the commands that add or delete the elements of one network; nothing for those without translation."""
    if network.kind != "bridge":
        return ""
    name = f'"{bridge}"'
    elements = [("nat_bridges", name), ("same_bridge", f"{name} . {name}")]
    elements += [("local4", f"{network.ipv4_subnet} . {name}")] if network.ipv4_subnet else []
    elements += [("local6", f"{network.ipv6_subnet} . {name}")] if network.ipv6_subnet else []
    if network.internal:
        elements.append(("internal_bridges", name))
    else:
        elements += [("sources4", network.ipv4_subnet)] if network.ipv4_subnet else []
        elements += [("sources6", network.ipv6_subnet)] if network.ipv6_subnet else []
    return "\n".join(f"{verb} element inet {table} {where} {{ {value} }}" for where, value in elements)


def port_commands(table: str, verb: str, publication: Publication) -> str:
    """Return the commands that add or delete the elements of one container's ports."""
    comment = f'comment "{publication.container_id}"' if verb == "add" else ""
    lines = []
    for port in publication.ports:
        for where, key, target in port_elements(port, publication.addresses):
            lines.append(f"{verb} element inet {table} {where} {{ {key} {comment} : {target} }}")
    return "\n".join(lines)


def port_elements(port: PublishedPort, addresses: Addresses) -> list[tuple[str, str, str]]:
    """Return the map, key and value of each element that publishes `port`."""
    protocol_port = f"{port.protocol} . {port.host_port}"
    inner4, inner6 = (address.partition("/")[0] for address in (addresses.ipv4, addresses.ipv6))
    everywhere4 = port.host_address in ("", "0.0.0.0")  # noqa: S104 - compared, not bound
    everywhere6 = port.host_address in ("", "::")
    found = []
    if inner4 and everywhere4:
        found.append(("ports4", protocol_port, f"{inner4} . {port.container_port}"))
    if inner6 and everywhere6:
        found.append(("ports6", protocol_port, f"{inner6} . {port.container_port}"))
    if not everywhere4 and not everywhere6:
        inner, where = (inner6, "addressed6") if ":" in port.host_address else (inner4, "addressed4")
        if inner:
            found.append((where, f"{port.host_address} . {protocol_port}", f"{inner} . {port.container_port}"))
    return found


def exists(nft: Nft, table: str) -> bool:
    """Say whether the table is there. Raises: NftError."""
    return table in tables(nft)


def tables(nft: Nft) -> list[str]:
    """Return the names of the inet tables."""
    return [entry["table"]["name"] for entry in nft.run("list tables inet") if "table" in entry]


def drop(nft: Nft, table: str) -> None:
    """Remove the table; nothing happens if it is not there."""
    nft.run(f"add table inet {table}\ndelete table inet {table}")


def withdraw(nft: Nft, table: str, publication: Publication) -> None:
    """Remove the elements of one container's ports; nothing happens if they, or the table, are gone.

    Adding what is to be deleted, in the same transaction, makes that one command that cannot miss
    (`destroy element` needs Linux 6.3).
    """
    if not publication.ports:
        return
    commands = (port_commands(table, verb, publication) for verb in ("add", "delete"))
    try:
        nft.run("\n".join(commands))
    except NftError as error:
        if not error.missing:
            withdraw_found(nft, table, publication.container_id)


def withdraw_found(nft: Nft, table: str, container_id: ContainerId) -> None:
    """Remove every element that carries the container's id, by looking for them."""
    keys = [
        f"delete element inet {table} {where} {{ {key} }}"
        for where, key, owner, _port in published(nft, table)
        if owner == container_id
    ]
    if keys:
        nft.run("\n".join(keys))


def published(nft: Nft, table: str) -> list[tuple[str, str, str, PublishedPort]]:
    """Return map, key, container id and port of each element in a table's maps; nothing if there is no such table."""
    found = []
    for where in PORT_MAPS:
        try:
            answer = nft.run(f"list map inet {table} {where}")
        except NftError as error:
            if error.missing:
                return []
            raise
        for entry in answer:
            for key, value in entry.get("map", {}).get("elem", ()):
                found.append((where, *_decoded(key, value)))
    return found


def _decoded(key: dict[str, Any], value: dict[str, Any]) -> tuple[str, str, PublishedPort]:
    """Return key, comment and port of one element as JSON output has it."""
    element = key.get("elem", {"val": key})
    parts = element["val"]["concat"]
    address = str(parts[0]) if len(parts) == 3 else ""
    port = PublishedPort(int(parts[-1]), int(value["concat"][1]), _PROTOCOLS.get(parts[-2], "tcp"), address)
    return " . ".join(str(part) for part in parts), str(element.get("comment", "")), port


_PROTOCOLS: Final[dict[Any, Any]] = {"tcp": "tcp", "udp": "udp", 6: "tcp", 17: "udp"}
