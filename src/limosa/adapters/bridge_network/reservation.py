"""Choose subnets for networks and addresses for containers, out of what is recorded."""

from collections.abc import Callable, Collection, Iterable
from itertools import count

from limosa.adapters.bridge_network.state import State
from limosa.model import network as rules
from limosa.model.container import Addresses, NetworkRequest
from limosa.model.errors import LimosaError
from limosa.model.hints import Any
from limosa.model.ids import ContainerId
from limosa.ports.network import Network


def with_subnets(
    network: Network, others: Iterable[Network], host_routes: Collection[str], first: int, ipv6_choice: str
) -> Network:
    """Return `network` with subnets and gateways; a bridge gets what it has not, `first` being where to look.

    Raises: LimosaError LIM-NET-001: a subnet is in use, or none is free; LIM-NET-008.
    """
    known = list(others)
    if network.kind != "bridge":
        return _with_checked_subnets(network)
    taken4 = [other.ipv4_subnet for other in known if other.ipv4_subnet and other.kind == "bridge"]
    taken6 = [other.ipv6_subnet for other in known if other.ipv6_subnet and other.kind == "bridge"]
    if not network.ipv4_subnet:
        used = [*taken4, *host_routes]
        free = next((one for one in rules.ipv4_subnets(first) if rules.overlapping(one, used) is None), None)
        if free is None:
            raise _in_use(network.name, "every subnet that limosa chooses from is in use", "give one: --subnet")
        network = network._replace(ipv4_subnet=free)
    if not network.ipv6_subnet and not network.vxlan_hosts:  # each of its hosts would choose another
        network = network._replace(ipv6_subnet=ipv6_choice)
    network = _with_checked_subnets(network)
    for subnet, taken in ((network.ipv4_subnet, taken4), (network.ipv6_subnet, taken6)):
        other = rules.overlapping(subnet, [*taken, *host_routes]) if subnet else None
        if other is not None:
            raise _in_use(network.name, f"{subnet} overlaps {other}, which is in use", "give another: --subnet")
    return network._replace(
        ipv4_gateway=_gateway(network.ipv4_subnet, network.ipv4_gateway),
        ipv6_gateway=_gateway(network.ipv6_subnet, network.ipv6_gateway),
    )


def _with_checked_subnets(network: Network) -> Network:
    ipv4, ipv6 = network.ipv4_subnet, network.ipv6_subnet
    return network._replace(
        ipv4_subnet=rules.checked_subnet(ipv4, 4) if ipv4 else "",
        ipv6_subnet=rules.checked_subnet(ipv6, 6) if ipv6 else "",
    )


def _gateway(subnet: str, wanted: str) -> str:
    if not subnet:
        return ""
    return rules.address_in(subnet, wanted) if wanted else rules.first_address(subnet)


def _in_use(name: str, cause: str, hint: str) -> LimosaError:
    return LimosaError("LIM-NET-001", f"network {name!r} cannot be created", cause=cause, hint=hint)


def addresses_for(
    state: State,
    network: Network,
    request: NetworkRequest,
    container_id: ContainerId,
    segment: Addresses,
    host_has: Collection[str],
    somebody_has: Callable[[str], bool] = lambda address: False,
) -> Addresses:
    """Return the addresses of one container, advancing the network's cursor in `state`.

    `segment` has the host's own addresses on an uplink, whose prefix lengths a container there shares; `host_has`
    are addresses that no container may get, and `somebody_has` says whether a neighbour of the host uses an IPv4
    address that is about to be chosen. What the container holds already is kept unless the request differs.
    Raises: LimosaError LIM-NET-004, LIM-NET-007, LIM-NET-008.
    """
    held = state.lease(container_id)
    kept = held.attachment.addresses if held and held.attachment.network == network.name else Addresses()
    others = {cid: lease for cid, lease in state.raw_leases().items() if cid != container_id}
    mac = rules.checked_mac(request.mac) if request.mac else kept.mac or _free_mac(container_id, others)
    _refuse_taken("mac", mac, others)
    reserved = {*host_has, network.ipv4_gateway, network.ipv6_gateway}
    for place in range(len(network.vxlan_hosts)):
        reserved.add(rules.nth_address(network.ipv4_subnet, place))
        if network.ipv6_subnet:
            reserved.add(rules.nth_address(network.ipv6_subnet, place))
    found = []
    for kind, subnet, fixed in (
        ("ipv4", network.ipv4_subnet, request.ipv4),
        ("ipv6", network.ipv6_subnet, request.ipv6),
    ):
        plain = getattr(kept, kind).partition("/")[0]
        if fixed:
            plain = _fixed(network, kind, fixed, segment)
            if plain in reserved:
                raise _taken(plain, "the host itself")
            _refuse_taken(kind, plain, others)
        elif not plain and subnet:
            taken = {lease["addresses"][kind].partition("/")[0] for lease in others.values()} | reserved
            plain = _next(state, network, kind, subnet, taken)
            while kind == "ipv4" and somebody_has(plain):
                taken.add(plain)
                plain = _next(state, network, kind, subnet, taken)
        found.append(_with_prefix(network, kind, plain, segment))
    if network.kind == "routed" and not any(found):
        raise LimosaError(
            "LIM-NET-007",
            f"a container on network {network.name!r} needs an address",
            cause="the network is routed and has no subnet to hand addresses out of",
            hint="--ip ADDRESS",
            exit_status=2,
        )
    return Addresses(found[0], found[1], mac)


def _free_mac(container_id: ContainerId, others: dict[str, dict[str, Any]]) -> str:
    taken = {lease["addresses"]["mac"] for lease in others.values()}
    return next(mac for turn in count() if (mac := rules.mac_of(container_id, turn)) not in taken)


def _fixed(network: Network, kind: str, address: str, segment: Addresses) -> str:
    """Return a fixed address in its usual form, which lies in the network's subnet or in the uplink's segment."""
    subnet = getattr(network, f"{kind}_subnet")
    if network.kind == "bridge":
        if not subnet:
            raise LimosaError(
                "LIM-NET-008",
                f"network {network.name!r} has no subnet for {address}",
                hint=f"limosa network ls shows the subnets of {network.name}",
                exit_status=2,
            )
        return rules.address_in(subnet, address)
    return rules.address_in("::/0" if kind == "ipv6" else "0.0.0.0/0", address)


def _next(state: State, network: Network, kind: str, subnet: str, taken: Collection[str]) -> str:
    """Hand out the next free address; IPv6 has a cursor of its own."""
    cursors: dict[str, int] = state.values["cursors"]
    key = network.name if kind == "ipv4" else f"{network.name}/6"
    found = rules.next_address(subnet, cursors.get(key, _first_cursor(network, subnet)), taken)
    if found is None:
        raise LimosaError(
            "LIM-NET-004",
            f"network {network.name!r} has no free address left",
            cause=f"every address of {subnet} is taken",
            hint="limosa rm containers that are no longer needed, or use another network",
        )
    cursors[key] = found[1]
    return found[0]


def _with_prefix(network: Network, kind: str, plain: str, segment: Addresses) -> str:
    if not plain:
        return ""
    if network.kind == "routed":
        return f"{plain}/{32 if kind == 'ipv4' else 128}"
    subnet = getattr(network, f"{kind}_subnet")
    own = getattr(segment, kind) if network.kind == "uplink" else ""
    if own or subnet:
        return f"{plain}/{rules.prefix_of(own or subnet)}"
    return f"{plain}/{24 if kind == 'ipv4' else 64}"


def _refuse_taken(kind: str, value: str, others: dict[str, dict[str, Any]]) -> None:
    for lease in others.values():
        if lease["addresses"][kind].partition("/")[0] == value:
            raise _taken(value, f"container {lease['container_name']!r}")


def _taken(value: str, by_whom: str) -> LimosaError:
    return LimosaError(
        "LIM-NET-004",
        f"the address {value} is in use",
        cause=f"{by_whom} has it",
        hint="choose another, or none and get a free one",
    )


def _first_cursor(network: Network, subnet: str) -> int:
    """Return where to begin: hosts that share a subnet each have a part of it, as long as that lasts."""
    if not network.vxlan_hosts:
        return 0
    place = rules.place_of(subnet, network.ipv6_gateway if ":" in subnet else network.ipv4_gateway) - 1
    return place * (rules.handed_out(subnet) // len(network.vxlan_hosts))
