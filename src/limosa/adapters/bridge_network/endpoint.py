"""One container's interface: a veth pair, its end inside, and what the host must know for it.

The pair is made with its inner end at once in the container's namespace: that takes one millisecond, while moving a
finished interface there waits for the kernel's read-copy-update and takes twenty to fifty (docs/adr/0004).
"""

import socket
import time

from limosa.linux import arp, namespaces, sysctl
from limosa.linux import netlink_address as addr
from limosa.linux import netlink_link as link
from limosa.linux.netlink import RouteSocket
from limosa.model.container import Addresses
from limosa.model.hints import Final
from limosa.model.value import NamedTuple

INNER_NAME: Final = "eth0"
_LOOPBACK_IFINDEX: Final = 1
_ATTEMPTS: Final = 50


class Plan(NamedTuple):
    """What to build for one container."""

    host_name: str
    host_mac: str
    mtu: int
    group: int
    alias: str
    addresses: Addresses
    gateway4: str
    gateway6: str
    bridge_ifindex: int = 0  # 0: routed
    uplink: str = ""  # routed: the interface that answers for the addresses, if one has to
    hairpin: bool = False  # see `reach_itself`


def split(address: str) -> tuple[str, int]:
    """Return address and prefix length of "10.88.0.5/20"."""
    text, _, prefix = address.partition("/")
    return text, int(prefix)


def _given(addresses: Addresses) -> list[str]:
    return [one for one in (addresses.ipv4, addresses.ipv6) if one]


def raise_loopback(namespace: int) -> None:
    """Bring up the loopback interface of a namespace."""
    with namespaces.entered(namespace):
        inner = RouteSocket()
    with inner:
        link.set_link(inner, _LOOPBACK_IFINDEX, up=True)


def set_parameters(namespace: int, parameters: list[tuple[str, str]]) -> None:
    """Set sysctls such as `net.core.somaxconn` of a namespace. Raises: OSError: the kernel refuses one."""
    with namespaces.entered(namespace):
        for name, value in parameters:
            sysctl.write(name.replace(".", "/"), value)


def build(route: RouteSocket, plan: Plan, namespace: int, *, silent: bool = False) -> None:
    """Make the interface of `plan` in `namespace`, with everything that it needs on the host, and announce it.

    A `silent` one has no carrier once it is on its network: not one frame goes in or out.
    Raises: OSError. State: what was made before the failure is there; `remove` takes it away.
    """
    host_ifindex = _make_pair(route, plan, namespace)
    with namespaces.entered(namespace):
        inner = RouteSocket()
        control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        _set_inner_parameters(plan)
    with inner, control:
        ifindex = _raise_inner(inner, plan)
        # The inner end first: then the host's end comes up with a carrier, and its bridge forwards at once.
        master = plan.bridge_ifindex or None
        if plan.bridge_ifindex:  # a port of a bridge needs no addresses of its own
            sysctl.write(f"net/ipv6/conf/{plan.host_name}/disable_ipv6", "1")
        if silent:
            # A carrier for a moment, beside its network: what hangs on one, as its link-local address, is there then.
            link.set_link(route, host_ifindex, up=True)
            link.sync_carrier(control, INNER_NAME)
            link.set_link(route, host_ifindex, up=False)
        link.set_link(route, host_ifindex, up=not silent, master=master, alias=plan.alias)
        if plan.bridge_ifindex and plan.hairpin:
            reach_itself(route, host_ifindex)
        if not plan.bridge_ifindex and not silent:
            _route_to(route, plan, host_ifindex)
        link.sync_carrier(control, INNER_NAME)
        _add_default_routes(inner, plan, ifindex)
        if plan.bridge_ifindex and not silent:
            # The bridge forwards from a port whose carrier it has seen; before that it drops the announcement.
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as outside:
                link.sync_carrier(outside, plan.host_name)
            _announce_inner(inner, plan, ifindex)
    if not plan.bridge_ifindex and not silent:
        announce_routed(route, plan)


def _set_inner_parameters(plan: Plan) -> None:
    """Make addresses usable at once, and let the kernel announce them when it is told to (`_announce_inner`)."""
    sysctl.write(f"net/ipv4/conf/{INNER_NAME}/arp_notify", "1")
    sysctl.write(f"net/ipv6/conf/{INNER_NAME}/ndisc_notify", "1")
    sysctl.write(f"net/ipv6/conf/{INNER_NAME}/accept_dad", "0")
    if plan.addresses.ipv6:
        sysctl.write(f"net/ipv6/conf/{INNER_NAME}/disable_ipv6", "0")


def _make_pair(route: RouteSocket, plan: Plan, namespace: int) -> int:
    """Make the veth pair, in place of one that is left of an earlier container process.

    A namespace that lost its last process takes its interfaces away some time later, hence the attempts.
    """
    near = link.VethEnd(plan.host_name, plan.host_mac, plan.mtu, plan.group)
    far = link.VethEnd(INNER_NAME, plan.addresses.mac, plan.mtu, namespace=namespace)
    for attempt in range(_ATTEMPTS):
        try:
            return link.create_veth(route, near, far)
        except FileExistsError:
            if not link.delete_link(route, plan.host_name) and attempt:
                time.sleep(0.002)
    return link.create_veth(route, near, far)


def _raise_inner(inner: RouteSocket, plan: Plan) -> int:
    found = link.find_link(inner, INNER_NAME)
    if found is None:
        raise OSError(f"{INNER_NAME} vanished from the container's namespace")
    link.set_link(inner, _LOOPBACK_IFINDEX, up=True)
    for address in _given(plan.addresses):
        addr.add_address(inner, found.ifindex, *split(address))
    link.set_link(inner, found.ifindex, up=True)
    return found.ifindex


def _add_default_routes(inner: RouteSocket, plan: Plan, ifindex: int) -> None:
    for gateway, own in ((plan.gateway4, plan.addresses.ipv4), (plan.gateway6, plan.addresses.ipv6)):
        if not gateway or not own:
            continue
        family = addr.family_of(gateway)
        addr.put_route(inner, addr.Route("", 0, ifindex, gateway, family=family, onlink=not plan.bridge_ifindex))


def _route_to(route: RouteSocket, plan: Plan, host_ifindex: int) -> None:
    """Lead the container's addresses to the host's end, and let the uplink answer for them (proxy ARP and NDP)."""
    uplink = link.find_link(route, plan.uplink) if plan.uplink else None
    sysctl.write(f"net/ipv4/conf/{plan.host_name}/route_localnet", "1")
    sysctl.write(f"net/ipv6/conf/{plan.host_name}/accept_dad", "0")
    sysctl.write(f"net/ipv6/conf/{plan.host_name}/accept_ra", "0")
    if plan.uplink:
        sysctl.write(f"net/ipv6/conf/{plan.uplink}/proxy_ndp", "1")
    own = {} if uplink is None else source_addresses(route, uplink.ifindex)
    for address in _given(plan.addresses):
        text, prefix = split(address)
        family = addr.family_of(text)
        gateway, bits = (plan.gateway4, 32) if family == socket.AF_INET else (plan.gateway6, 64)
        addr.add_address(route, host_ifindex, gateway, bits, addr.RT_SCOPE_LINK)
        scope = addr.RT_SCOPE_LINK if family == socket.AF_INET else addr.RT_SCOPE_UNIVERSE
        entry = addr.Route(text, prefix, host_ifindex, source=own.get(family, ""), scope=scope, family=family)
        addr.put_route(route, entry)
        if uplink is not None:
            addr.put_proxy_neighbour(route, uplink.ifindex, text)


def source_addresses(route: RouteSocket, ifindex: int) -> dict[int, str]:
    """Return the address, by family, from which the host itself talks out of an interface."""
    found: dict[int, str] = {}
    for one in addr.addresses(route):
        if one.ifindex == ifindex and one.scope == addr.RT_SCOPE_UNIVERSE:
            found.setdefault(addr.family_of(one.address), one.address)
    return found


def announce_routed(route: RouteSocket, plan: Plan) -> None:
    """Tell the uplink's segment that the host is where the container's addresses are."""
    uplink = link.find_link(route, plan.uplink) if plan.uplink else None
    if uplink is None or not uplink.up:
        return
    with arp.packet_socket() as frames:
        for address in _given(plan.addresses):
            arp.announce(frames, plan.uplink, link.mac_bytes(uplink.mac), split(address)[0])


def reach_itself(route: RouteSocket, host_ifindex: int) -> None:
    """Let a container reach the ports that it publishes by the host's address, too.

    With bridge-nf-call-iptables on (the kernel's default), a translated packet goes from port to port inside the
    bridge, which sends nothing back out of the port that it came in by unless the port is a hairpin. Such a port also
    echoes broadcasts, so only those who publish get it.
    """
    link.set_hairpin(route, host_ifindex, True)


def raise_routed(route: RouteSocket, plan: Plan, host_ifindex: int) -> None:
    """Give the host's end back the addresses and routes that it lost when it went down, and announce."""
    _route_to(route, plan, host_ifindex)
    announce_routed(route, plan)


def announce_inner(plan: Plan, namespace: int) -> None:
    """Tell the bridge's segment, from inside, where the container's addresses are, once its bridge forwards."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as outside:
        link.sync_carrier(outside, plan.host_name)
    with namespaces.entered(namespace):
        inner = RouteSocket()
        control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    with inner, control:
        link.sync_carrier(control, INNER_NAME)
        found = link.find_link(inner, INNER_NAME)
        if found is not None:
            _announce_inner(inner, plan, found.ifindex)


def _announce_inner(inner: RouteSocket, plan: Plan, ifindex: int) -> None:
    """Have the kernel send gratuitous ARP and unsolicited neighbour advertisements for every address.

    Setting the MAC address, even to what it is, does that where arp_notify and ndisc_notify are 1. Frames of our own
    would cost more than the rest of a connect: closing a packet socket waits for the kernel's read-copy-update.
    Source: ip-sysctl in the kernel's documentation.
    """
    link.set_link(inner, ifindex, mac=plan.addresses.mac)


def stop_answering(route: RouteSocket, uplink_name: str, addresses: Addresses) -> None:
    """Let the uplink no longer answer for routed addresses. Nothing happens if it does not."""
    uplink = link.find_link(route, uplink_name)
    if uplink is None:
        return
    for address in _given(addresses):
        addr.delete_proxy_neighbour(route, uplink.ifindex, split(address)[0])
