"""Rules of address pools and of the names of interfaces: pure, no system call.

`ipaddress` costs 2 ms to import and is loaded by what hands out addresses only; connecting needs none of it.
"""

import binascii
from collections.abc import Callable, Collection, Iterable, Iterator

from limosa.model.errors import LimosaError, words_of
from limosa.model.hints import Final
from limosa.model.ids import ContainerId

IPV4_POOL: Final = (10, 88, 127)  # 10.88.0.0 to 10.127.255.255
IPV4_PREFIX: Final = 20  # of a chosen subnet: 4093 containers
IPV6_PREFIX: Final = 64
_SUBNETS: Final = (IPV4_POOL[2] - IPV4_POOL[1] + 1) << (IPV4_PREFIX - 16)


def host_tag(root: str) -> str:
    """Return the 8 hexadecimal digits that tell what belongs to the limosa host whose state is under `root`."""
    return f"{binascii.crc32(root.encode()):08x}"


def bridge_name(tag: str, network: str) -> str:
    """Return the name of a network's bridge: 11 characters that follow from host and network."""
    return f"lmb{binascii.crc32(f'{tag}/{network}'.encode()):08x}"


def vxlan_name(bridge: str) -> str:
    """Return the name of the VXLAN's end that is a port of a network's bridge."""
    return f"lmx{bridge[3:]}"


def vxlan_number(network: str, hosts: Iterable[str]) -> int:
    """Return a VXLAN's identifier, which is the same on all its hosts: 24 bits, not 0."""
    return binascii.crc32(" ".join((network, *hosts)).encode()) & 0xFFFFFF or 1


def veth_name(tag: str, container_id: ContainerId) -> str:
    """Return the name of the host's end of a container's veth pair: 14 characters.

    Within a host two containers never get the same name unless their ids start with the same 12 digits; the same id
    on two hosts that share a network namespace (a migration between them) gets two names.
    """
    return f"lm{int(container_id[:12], 16) ^ (int(tag, 16) << 16):012x}"


def mac_of(container_id: ContainerId, turn: int = 0) -> str:
    """Return the MAC address that follows from an id: locally administered, unicast. Each `turn` gives another one."""
    digits = f"{int(container_id[:10], 16) + turn & 0xFFFFFFFFFF:010x}"
    return ":".join(["02", *(digits[at : at + 2] for at in range(0, 10, 2))])


def veth_mac(container_id: ContainerId) -> str:
    """Return the MAC address of the host's end, which no neighbour ever sees on a bridge."""
    return "06" + mac_of(container_id)[2:]


def bridge_mac(bridge: str) -> str:
    """Return a bridge's own MAC address. It stays the same when the bridge is made again, and neighbours keep it."""
    value = f"{binascii.crc32(bridge.encode()):08x}"
    return f"02:88:{value[0:2]}:{value[2:4]}:{value[4:6]}:{value[6:8]}"


def checked_mac(mac: str) -> str:
    """Return `mac` in lower case.

    Raises: LimosaError LIM-NET-008: it is no MAC address, or one of a group.
    """
    digits = mac.lower().split(":")
    fine = len(digits) == 6 and all(len(pair) == 2 and not set(pair) - set("0123456789abcdef") for pair in digits)
    if not fine or int(digits[0], 16) & 1 or not any(int(pair, 16) for pair in digits):
        raise LimosaError(
            "LIM-NET-008",
            f"{mac!r} cannot be the MAC address of an interface",
            cause="it takes six pairs of hexadecimal digits, the first one even, such as 02:42:ac:11:00:02",
            hint="without --mac limosa chooses one",
            exit_status=2,
        )
    return mac.lower()


def ipv4_subnets(first: int) -> Iterator[str]:
    """Yield every subnet that limosa may choose, from the `first`-th on and around."""
    for step in range(_SUBNETS):
        number = (first + step) % _SUBNETS
        per_block = 1 << (IPV4_PREFIX - 16)
        block, part = divmod(number, per_block)
        yield f"{IPV4_POOL[0]}.{IPV4_POOL[1] + block}.{part << (24 - IPV4_PREFIX)}.0/{IPV4_PREFIX}"


def ipv6_subnet(machine: str, tag: str, network: str) -> str:
    """Return the unique local /64 of a network of one host on one machine. Source: RFC 4193, section 3.2."""
    import hashlib
    import ipaddress

    digest = hashlib.sha256(f"{machine}/{tag}/{network}".encode()).digest()
    value = b"\xfd" + digest[:7] + bytes(8)
    return f"{ipaddress.IPv6Address(value)}/{IPV6_PREFIX}"


def checked_subnet(text: str, version: int) -> str:
    """Return `text` as a subnet in its usual form.

    Raises: LimosaError LIM-NET-008: it is none of this version, has host bits, or is too small for a container.
    """
    import ipaddress

    try:
        subnet = ipaddress.ip_network(text)
    except ValueError as error:
        raise _bad_subnet(text, str(error)) from error
    if subnet.version != version:
        raise _bad_subnet(text, f"it is not IPv{version}")
    if subnet.num_addresses < 4:
        raise _bad_subnet(text, "it has no room for a gateway and a container")
    return str(subnet)


def _bad_subnet(text: str, cause: str) -> LimosaError:
    return LimosaError(
        "LIM-NET-008",
        f"{text!r} cannot be the subnet of a network",
        cause=cause,
        hint="for example 10.20.30.0/24 or fd00:20:30::/64; without a subnet limosa chooses a free one",
        exit_status=2,
    )


def overlapping(subnet: str, others: Iterable[str]) -> str | None:
    """Return the first of `others` that shares an address with `subnet`, or None."""
    import ipaddress

    mine = ipaddress.ip_network(subnet)
    first, last = int(mine[0]), int(mine[-1])
    for other in others:
        theirs = ipaddress.ip_network(other, strict=False)
        if theirs.version == mine.version and int(theirs[0]) <= last and first <= int(theirs[-1]):
            return other
    return None


def first_address(subnet: str) -> str:
    """Return the address that a network's own gateway has."""
    import ipaddress

    return str(ipaddress.ip_network(subnet)[1])


def nth_address(subnet: str, place: int) -> str:
    """Return the gateway of the host in this place of those that share a subnet. Raises: LimosaError LIM-NET-008."""
    import ipaddress

    space = ipaddress.ip_network(subnet)
    if place + 2 >= space.num_addresses:
        raise LimosaError("LIM-NET-008", f"{subnet} is too small for so many hosts", exit_status=2)
    return str(space[1 + place])


def place_of(subnet: str, address: str) -> int:
    """Return how far behind the first one an address of a subnet is."""
    import ipaddress

    return int(ipaddress.ip_address(address)) - int(ipaddress.ip_network(subnet).network_address)


def handed_out(subnet: str) -> int:
    """Return how many addresses of a subnet `next_address` hands out."""
    import ipaddress

    return min(ipaddress.ip_network(subnet).num_addresses, 1 << 16) - 2


def prefix_of(subnet: str) -> int:
    """Return the length of a subnet's prefix."""
    return int(subnet.rpartition("/")[2])


def address_in(subnet: str, address: str) -> str:
    """Return a fixed `address` in its usual form.

    Raises: LimosaError LIM-NET-008: it is no address, is outside of `subnet` or is one that no container can have.
    """
    import ipaddress

    space = ipaddress.ip_network(subnet)
    try:
        found = ipaddress.ip_address(address)
    except ValueError as error:
        raise LimosaError(
            "LIM-NET-008",
            f"{address!r} is no address",
            cause=words_of(error),
            hint=f"an address of {subnet}, or none: limosa chooses a free one",
            exit_status=2,
        ) from error
    if found not in space or found in (space[0], space[-1]):
        raise LimosaError(
            "LIM-NET-008",
            f"{address} is no address that a container can have on this network",
            cause=f"its subnet is {subnet}",
            hint="give another address of the subnet, or none: limosa chooses a free one",
            exit_status=2,
        )
    return str(found)


def next_address(
    subnet: str, cursor: int, taken: Collection[str], usable: Callable[[str], bool] = lambda _: True
) -> tuple[str, int] | None:
    """Return a free address of `subnet` and the new cursor, or None when all are taken.

    The search begins behind `cursor` (the last one handed out) and goes around, so that an address given back is not
    soon somebody else's: neighbours and clients may still remember it. The first and the last address are never
    used, nor is what `usable` refuses. Only the first 65536 addresses of a larger subnet are handed out.
    """
    import ipaddress

    space = ipaddress.ip_network(subnet)
    count = min(space.num_addresses, 1 << 16) - 2
    for step in range(count):
        offset = 1 + (cursor + step) % count
        address = str(space[offset])
        if address not in taken and usable(address):
            return address, offset
    return None
