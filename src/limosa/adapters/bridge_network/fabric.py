"""The host's side of networks: bridges, forwarding, and what an uplink lends to its bridge.

A bridge with NAT exists while a container is on it, and the table of rules while there is such a bridge or a
published port; the bridge of an uplink carries the host's own address and stays until the network is removed.
Everything is found by names that follow from the host's tag, so building and removing can be repeated after any
interruption. A bridge that is up is complete: that is the last step.
"""

import os

from limosa.linux import netlink_address as addr
from limosa.linux import netlink_link as link
from limosa.linux import sysctl
from limosa.linux.netlink import RouteSocket
from limosa.model import network as names
from limosa.model.container import Addresses
from limosa.model.errors import LimosaError
from limosa.model.hints import Final
from limosa.ports.network import Network

DEFAULT_MTU: Final = 1500
VXLAN_BYTES: Final = 50
"""What a VXLAN over IPv4 puts in front of each frame, and the frame's own head: RFC 7348."""
ROUTED_GATEWAY4: Final = "169.254.1.1"
ROUTED_GATEWAY6: Final = "fe80::1"
_KERNEL_MADE: Final = addr.RTPROT_KERNEL


def group_of(tag: str) -> int:
    """Return the link group that marks the interfaces of one limosa host."""
    return int(tag, 16) or 1


def host_routes(route: RouteSocket) -> list[str]:
    """Return the destinations that the host has routes for, without default routes."""
    found = addr.routes(route)
    return [f"{entry.destination}/{entry.prefix}" for entry in found if entry.destination and entry.prefix]


def default_uplink(route: RouteSocket) -> link.Link | None:
    """Return the interface of the host's default route (the preferred one), or None."""
    defaults = [entry for entry in addr.routes(route) if not entry.destination and entry.ifindex]
    if not defaults:
        return None
    best = min(defaults, key=lambda entry: (entry.family, entry.metric))
    return next((one for one in link.links(route) if one.ifindex == best.ifindex), None)


def existing_uplink(route: RouteSocket, name: str) -> link.Link:
    """Return the host interface called `name`. Raises: LimosaError LIM-NET-009."""
    found = link.find_link(route, name)
    if found is None:
        raise LimosaError(
            "LIM-NET-009",
            f"the host has no interface called {name!r}",
            hint="ip link shows what there is; limosa network rm and create change a network's uplink",
        )
    return found


def with_uplink(route: RouteSocket, network: Network) -> Network:
    """Return an uplink or routed network with the interface that it uses and the gateways that hold there.

    Raises: LimosaError LIM-NET-009: the interface is not there, or none is named and no default route tells.
    """
    uplink = existing_uplink(route, network.uplink) if network.uplink else default_uplink(route)
    if uplink is None:
        raise LimosaError(
            "LIM-NET-009",
            f"network {network.name!r} needs an interface of the host",
            cause="none is named and the host has no default route that tells",
            hint="--uplink INTERFACE",
        )
    if network.kind == "routed":
        return network._replace(uplink=uplink.name, ipv4_gateway=ROUTED_GATEWAY4, ipv6_gateway=ROUTED_GATEWAY6)
    mine = [one for one in addr.routes(route) if one.ifindex == uplink.ifindex and not one.destination]
    gateways = [one.gateway for one in sorted(mine, key=lambda one: one.metric) if one.gateway]
    ipv4 = next((one for one in gateways if ":" not in one), "")
    ipv6 = next((one for one in gateways if ":" in one), "")
    return network._replace(
        uplink=uplink.name,
        ipv4_gateway=network.ipv4_gateway or ipv4,
        ipv6_gateway=network.ipv6_gateway or ipv6,
    )


def segment_of(route: RouteSocket, tag: str, network: Network) -> tuple[Addresses, set[str]]:
    """Return the host's own addresses on a network's uplink, and every address that the host has anywhere."""
    if network.kind == "bridge":
        return Addresses(), set()
    there = {one.name: one.ifindex for one in link.links(route)}
    ifindex = there.get(bridge_of(route, tag, network), there.get(network.uplink, 0))
    every = addr.addresses(route)
    own = [one for one in every if one.ifindex == ifindex and one.scope == addr.RT_SCOPE_UNIVERSE]
    ipv4 = next((f"{one.address}/{one.prefix}" for one in own if ":" not in one.address), "")
    ipv6 = next((f"{one.address}/{one.prefix}" for one in own if ":" in one.address), "")
    return Addresses(ipv4, ipv6), {one.address for one in every}


def bridge_of(route: RouteSocket, tag: str, network: Network) -> str:
    """Return the name of the bridge that containers of `network` are ports of, or "" where there is none."""
    if network.kind == "routed":
        return ""
    if network.kind == "uplink":
        uplink = link.find_link(route, network.uplink)
        if uplink is not None and uplink.kind == "bridge":
            return network.uplink
    return names.bridge_name(tag, network.name)


def allow_forwarding() -> None:
    """Let the host forward IPv4 and IPv6, without it losing the routes that it learned from router advertisements.

    Source: ip-sysctl in the kernel's documentation: with forwarding on, accept_ra 1 means no, 2 means yes.
    """
    sysctl.write("net/ipv4/ip_forward", "1")
    if sysctl.read("net/ipv6/conf/all/forwarding") != "0":
        return  # on already, or no IPv6
    for interface in os.listdir("/proc/sys/net/ipv6/conf"):
        if interface != "all" and sysctl.read(f"net/ipv6/conf/{interface}/accept_ra") == "1":
            sysctl.write(f"net/ipv6/conf/{interface}/accept_ra", "2")
    sysctl.write("net/ipv6/conf/all/forwarding", "1")


def build_nat_bridge(route: RouteSocket, tag: str, network: Network, bridge: str) -> int:
    """Make the bridge of a network with NAT, all but up, and return its index.

    Raises: LimosaError LIM-NET-010: another interface has its name, or the host uses its subnet by now.
    """
    found = link.find_link(route, bridge)
    if found is None:
        _refuse_overlap(route, network)
        ifindex = link.create_bridge(
            route,
            bridge,
            mac=names.bridge_mac(_told_apart(route, network, bridge)),
            mtu=_segment_mtu(route, network),
            group=group_of(tag),
            alias=_alias(tag, network),
        )
    else:
        ifindex = _adopted(route, tag, network, found)
    sysctl.write(f"net/ipv4/conf/{bridge}/route_localnet", "1")
    for parameter, value in (("disable_ipv6", "0"), ("accept_ra", "0"), ("accept_dad", "0")):
        sysctl.write(f"net/ipv6/conf/{bridge}/{parameter}", value)
    for gateway, subnet in ((network.ipv4_gateway, network.ipv4_subnet), (network.ipv6_gateway, network.ipv6_subnet)):
        if subnet:
            addr.add_address(route, ifindex, gateway, names.prefix_of(subnet))
    if network.vxlan_hosts:
        span_hosts(route, tag, network, bridge, ifindex)
    return ifindex


def span_hosts(route: RouteSocket, tag: str, network: Network, bridge: str, bridge_ifindex: int) -> None:
    """Make a bridge one segment with those of the network's other hosts, by a VXLAN. It may be repeated.

    Raises: LimosaError LIM-NET-009: this host has none of the network's addresses any more.
    """
    own = own_place(route, network)
    name = names.vxlan_name(bridge)
    found = link.find_link(route, name)
    ifindex = (
        found.ifindex
        if found is not None
        else link.create_vxlan(
            route,
            name,
            number=names.vxlan_number(network.name, network.vxlan_hosts),
            local=network.vxlan_hosts[own],
            mtu=_segment_mtu(route, network),
            group=group_of(tag),
            alias=_alias(tag, network),
        )
    )
    for place, address in enumerate(network.vxlan_hosts):
        if place != own:
            addr.add_flood_destination(route, ifindex, address)
    link.set_link(route, ifindex, up=True, master=bridge_ifindex)


def own_place(route: RouteSocket, network: Network) -> int:
    """Return which of a network's hosts this is. Raises: LimosaError LIM-NET-009: none of them."""
    mine = {one.address for one in addr.addresses(route)}
    for place, address in enumerate(network.vxlan_hosts):
        if address in mine:
            return place
    raise LimosaError(
        "LIM-NET-009",
        f"network {network.name!r} does not reach this host",
        cause=f"none of {', '.join(network.vxlan_hosts)} is an address of this host",
        hint="--vxlan takes an address of each host, this one's too, in one order on all of them",
    )


def _told_apart(route: RouteSocket, network: Network, bridge: str) -> str:
    """Return what a bridge's MAC address follows from: hosts that share a segment may have one root, and one name."""
    return f"{bridge} {network.vxlan_hosts[own_place(route, network)]}" if network.vxlan_hosts else bridge


def _segment_mtu(route: RouteSocket, network: Network) -> int:
    uplink = default_uplink(route)
    mtu = uplink.mtu if uplink else DEFAULT_MTU
    return mtu - VXLAN_BYTES if network.vxlan_hosts else mtu


def _alias(tag: str, network: Network) -> str:
    return f"limosa:{tag}:{network.name}"


def _adopted(route: RouteSocket, tag: str, network: Network, found: link.Link) -> int:
    """Go on with a bridge that is there already. Raises: LimosaError LIM-NET-010: it is not this network's."""
    if found.kind != "bridge" or found.alias not in ("", _alias(tag, network)):
        raise LimosaError(
            "LIM-NET-010",
            f"the bridge of network {network.name!r} cannot be made",
            cause=f"there is an interface called {found.name} that is not its bridge",
            hint="create the network under another name",
        )
    if not found.alias:
        link.set_link(route, found.ifindex, alias=_alias(tag, network))
    return found.ifindex


def _refuse_overlap(route: RouteSocket, network: Network) -> None:
    for subnet in (network.ipv4_subnet, network.ipv6_subnet):
        other = names.overlapping(subnet, host_routes(route)) if subnet else None
        if other is not None:
            raise LimosaError(
                "LIM-NET-010",
                f"the bridge of network {network.name!r} cannot be made",
                cause=f"its subnet {subnet} overlaps {other}, which the host has a route to by now",
                hint="create another network with --subnet and attach the container to it",
            )


def build_uplink_bridge(route: RouteSocket, tag: str, network: Network, bridge: str) -> int:
    """Put the uplink into a bridge of its own that takes over its addresses and routes, and return the bridge's index.

    The address is on the bridge before the interface becomes its port, and the routes are there before the
    interface's own addresses go: the host is cut off for no longer than a bridge needs to learn a port. The bridge
    has the interface's MAC address. Repeating it moves what a reboot or a DHCP client put on the interface again.
    Raises: LimosaError LIM-NET-009, LIM-NET-010.
    """
    uplink = existing_uplink(route, network.uplink)
    found = link.find_link(route, bridge)
    if found is None:
        mac, group, alias = uplink.mac, group_of(tag), _alias(tag, network)
        ifindex = link.create_bridge(route, bridge, mac=mac, mtu=uplink.mtu, group=group, alias=alias)
    else:
        ifindex = _adopted(route, tag, network, found)
    accept_ra = sysctl.read(f"net/ipv6/conf/{uplink.name}/accept_ra")
    if accept_ra is not None:
        sysctl.write(f"net/ipv6/conf/{bridge}/accept_dad", "0")
        sysctl.write(f"net/ipv6/conf/{bridge}/accept_ra", "2" if accept_ra != "0" else "0")
    _copy_addresses(route, uplink.ifindex, ifindex)
    link.set_link(route, ifindex, up=True)
    link.set_link(route, uplink.ifindex, up=True, master=ifindex)
    _move_routes(route, uplink.ifindex, ifindex)
    _drop_addresses(route, uplink.ifindex)
    return ifindex


def release_uplink(route: RouteSocket, network: Network, bridge: str) -> None:
    """Give the uplink back what its bridge took over, and remove the bridge. Nothing happens if it is gone."""
    found = link.find_link(route, bridge)
    uplink = link.find_link(route, network.uplink)
    if found is None or bridge == network.uplink:
        return
    if uplink is not None:
        _copy_addresses(route, found.ifindex, uplink.ifindex)
        link.set_link(route, uplink.ifindex, up=True, master=0)
        _move_routes(route, found.ifindex, uplink.ifindex)
    link.delete_link(route, bridge)


def _movable(route: RouteSocket, ifindex: int) -> list[addr.Address]:
    """Return the addresses that were given to the interface, not those that the kernel makes for it by itself."""
    return [
        one
        for one in addr.addresses(route)
        if one.ifindex == ifindex and (":" not in one.address or (one.permanent and one.scope != addr.RT_SCOPE_LINK))
    ]


def _copy_addresses(route: RouteSocket, source: int, target: int) -> None:
    for one in _movable(route, source):
        addr.add_address(route, target, one.address, one.prefix, one.scope, one.broadcast)


def _drop_addresses(route: RouteSocket, ifindex: int) -> None:
    for one in _movable(route, ifindex):
        addr.delete_address(route, ifindex, one.address, one.prefix)


def _move_routes(route: RouteSocket, source: int, target: int) -> None:
    """Make the routes of `source` routes of `target`, those to gateways last, since they need the others.

    At every moment each route is there at least once.
    """
    entries = [one for one in addr.routes(route) if one.ifindex == source and one.protocol != _KERNEL_MADE]
    for entry in sorted(entries, key=lambda one: bool(one.gateway)):
        addr.append_route(route, entry._replace(ifindex=target))
        addr.delete_route(route, entry)
