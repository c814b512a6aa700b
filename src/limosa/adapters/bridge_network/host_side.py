"""What networks need on the host, built when a container needs it and removed after the last one."""

from collections.abc import Callable

from limosa.adapters.bridge_network import fabric, rules
from limosa.adapters.bridge_network.state import Book, Lease
from limosa.linux import arp, conntrack
from limosa.linux import netlink_link as link
from limosa.linux.flock import locked
from limosa.linux.netlink import RouteSocket
from limosa.linux.nftables import Nft, NftError, NftUnavailable
from limosa.model import network as names
from limosa.model.container import PublishedPort
from limosa.model.errors import LimosaError, words_of
from limosa.model.hints import TypeVar
from limosa.model.ids import ContainerId
from limosa.ports.network import Network

T = TypeVar("T")
PROBE_S = 0.3  # how long a neighbour has for an answer, in two turns: a segment is not far


class HostSide:
    """Bridges, forwarding and the table of rules of one limosa host, in the namespace of its first use."""

    def __init__(self, book: Book, tag: str, table: str) -> None:
        self.tag = tag
        self._table = table
        self._book = book
        self._nft = Nft()
        self._socket: RouteSocket | None = None
        self._prepared: dict[str, int] = {}

    @property
    def route(self) -> RouteSocket:
        """The rtnetlink socket, made at first use."""
        if self._socket is None:
            self._socket = RouteSocket()
        return self._socket

    def bridge(self, network: Network) -> str:
        """Return the name of a network's bridge, or ""."""
        return fabric.bridge_of(self.route, self.tag, network)

    def veth(self, container_id: ContainerId) -> link.Link | None:
        """Return the host's end of a container's veth pair, or None."""
        return link.find_link(self.route, names.veth_name(self.tag, container_id))

    def neighbour_has(self, network: Network, address: str) -> bool:
        """Say whether somebody on the segment of an uplink has an IPv4 address; takes a moment if nobody has."""
        if network.kind != "uplink" and not network.vxlan_hosts:
            return False
        there = link.find_link(self.route, self.bridge(network)) or link.find_link(self.route, network.uplink)
        if there is None or not there.up:
            return False
        return arp.answered(there.name, link.mac_bytes(there.mac), address, PROBE_S)

    def prepared(self, network: Network, *, rules_needed: bool) -> int:
        """Return what the last `prepare` of this network returned, once, and else do it now."""
        if network.name not in self._prepared:
            self.prepare(network, rules_needed=rules_needed)
        return self._prepared.pop(network.name)

    def is_prepared(self, network: Network) -> bool:
        """Say whether `prepared` would take an earlier answer."""
        return network.name in self._prepared

    def forget_prepared(self) -> None:
        """Have the next `prepared` look again."""
        self._prepared.clear()

    def prepare(self, network: Network, *, rules_needed: bool) -> int:
        """Make sure that the network works here, and return its bridge's index (0: it has none).

        Raises: LimosaError LIM-NET-009, LIM-NET-010.
        """
        self._prepared[network.name] = ifindex = self._prepare(network, rules_needed)
        if rules_needed:
            guarded(self._nft.open)
        return ifindex

    def _prepare(self, network: Network, rules_needed: bool) -> int:
        if network.kind != "routed":
            bridge = self.bridge(network)
            found = link.find_link(self.route, bridge)
            ready = found is not None and found.up and self._uplink_is_in_place(network, bridge)
            if ready and rules_needed:
                ready = guarded(lambda: rules.exists(self._nft, self._table))
            if ready and found is not None:
                return found.ifindex
        with self._book.building():
            return guarded(lambda: self._build(network, rules_needed=rules_needed))

    def _uplink_is_in_place(self, network: Network, bridge: str) -> bool:
        if network.kind != "uplink" or bridge == network.uplink:
            return True
        return fabric.existing_uplink(self.route, network.uplink).master != 0

    def _build(self, network: Network, *, rules_needed: bool) -> int:
        """Build from whatever is there; the caller holds the building lock."""
        bridge = self.bridge(network)
        if network.kind == "uplink":
            if bridge == network.uplink:
                return fabric.existing_uplink(self.route, bridge).ifindex
            return fabric.build_uplink_bridge(self.route, self.tag, network, bridge)
        fabric.allow_forwarding()
        ifindex = 0
        if network.kind == "routed":
            fabric.existing_uplink(self.route, network.uplink)
        else:
            ifindex = fabric.build_nat_bridge(self.route, self.tag, network, bridge)
        if rules_needed:
            self._build_rules(network)
        if ifindex:
            link.set_link(self.route, ifindex, up=True)
        return ifindex

    def _build_rules(self, network: Network) -> None:
        """Make the table, whole if it is not there, or only what this network needs in it."""
        if rules.exists(self._nft, self._table):
            commands = rules.network_commands(self._table, "add", network, self.bridge(network))
            if commands:
                self._nft.run(commands)
            return
        state = self._book.read()
        present = link.link_names(self.route)
        networks = [(one, self.bridge(one)) for one in state.networks()]
        wanted = [(one, bridge) for one, bridge in networks if one.name == network.name or bridge in present]
        publications = [
            publication(lease)
            for lease in state.leases()
            if names.veth_name(self.tag, lease.attachment.container_id) in present
        ]
        self._nft.run(rules.table_commands(self._table, wanted, publications))

    def publish(self, lease: Lease, network: Network) -> None:
        """Make the container's published ports those of `lease`, in one transaction.

        Raises: LimosaError LIM-NET-010: what was published before still is.
        """
        new = publication(lease)
        old = new._replace(ports=lease.withdrawn)
        commands = [rules.port_commands(self._table, verb, old) for verb in ("add", "delete")]
        commands.append(rules.port_commands(self._table, "add", new))
        try:
            self._nft.run("\n".join(filter(None, commands)))
        except (NftError, NftUnavailable):
            # The table was flushed meanwhile, or elements of an earlier life of this container are in the way.
            guarded(lambda: self._publish_anew(new, network))
        _forget_flows(lease)

    def _publish_anew(self, new: rules.Publication, network: Network) -> None:
        with self._book.building():
            if not rules.exists(self._nft, self._table):
                self._build_rules(network)
            rules.withdraw_found(self._nft, self._table, new.container_id)
            commands = rules.port_commands(self._table, "add", new)
            if commands:
                self._nft.run(commands)

    def withdraw(self, lease: Lease) -> None:
        """Remove every rule of a container's ports. Nothing happens if they are gone."""
        if lease.every_port:
            gone = publication(lease)._replace(ports=lease.every_port)
            guarded(lambda: rules.withdraw(self._nft, self._table, gone))
            _forget_flows(lease)

    def withdraw_found(self, container_id: ContainerId) -> None:
        """The same for a container of which nothing is recorded."""
        guarded(lambda: rules.withdraw_found(self._nft, self._table, container_id))

    def published(self) -> set[str]:
        """Return the ids that rules name."""
        return {owner for _, _, owner, _ in guarded(lambda: rules.published(self._nft, self._table)) if owner}

    def published_elsewhere(self) -> dict[str, list[PublishedPort]]:
        """Return what other limosa hosts publish in this network namespace, by who it is."""
        found: dict[str, list[PublishedPort]] = {}
        for table in guarded(lambda: rules.tables(self._nft)):
            if table != self._table and (table == "limosa" or table.startswith("limosa_")):
                for _where, _key, owner, port in rules.published(self._nft, table):
                    found.setdefault(f"container {owner[:12]} of another limosa root", []).append(port)
        return found

    def leave_idle(self, network: Network) -> None:
        """Remove bridge and table when nobody is on them; while somebody connects, they stay."""
        try:
            with locked(f"{self._book.directory}/use.lock", blocking=False), self._book.building():
                bridge = self.bridge(network) if network.kind == "bridge" else ""
                found = link.find_link(self.route, bridge) if bridge else None
                own = names.vxlan_name(bridge) if bridge else ""
                ports = [one for one in link.links(self.route) if one.name != own]
                if found is None or all(one.master != found.ifindex for one in ports):
                    self._tear_down(network, bridge)
        except BlockingIOError:
            return

    def remove(self, network: Network) -> None:
        """Remove what a network has on the host, whether somebody uses it or not."""
        with self._book.building():
            bridge = self.bridge(network)
            if network.kind == "uplink":
                fabric.release_uplink(self.route, network, bridge)
            self._tear_down(network, bridge if network.kind == "bridge" else "")

    def _tear_down(self, network: Network, bridge: str) -> None:
        """Remove bridge and elements, and the table after the last; the caller holds the building lock."""
        if bridge:
            link.delete_link(self.route, names.vxlan_name(bridge))
            link.delete_link(self.route, bridge)
        if all(one.group != fabric.group_of(self.tag) for one in link.links(self.route)):
            guarded(lambda: rules.drop(self._nft, self._table))
        elif bridge and guarded(lambda: rules.exists(self._nft, self._table)):
            commands = [rules.network_commands(self._table, verb, network, bridge) for verb in ("add", "delete")]
            guarded(lambda: self._nft.run("\n".join(commands)))


def publication(lease: Lease) -> rules.Publication:
    """Return the ports that a lease wants published."""
    return rules.Publication(lease.attachment.container_id, lease.attachment.addresses, lease.attachment.ports)


def _forget_flows(lease: Lease) -> None:
    """Have UDP clients that go on sending meet the rules as they are now, not as they were at their first datagram."""
    for port in {port.host_port for port in lease.every_port if port.protocol == "udp"}:
        guarded(lambda: conntrack.forget_udp_flows(port))  # noqa: B023 - called at once


def guarded(action: Callable[[], T]) -> T:
    """Do something with the kernel, and turn its refusal into the user's terms. Raises: LimosaError LIM-NET-010."""
    try:
        return action()
    except NftUnavailable as missing:
        raise LimosaError(
            "LIM-NET-010",
            "the rules of the network cannot be made",
            cause=words_of(missing),
            hint="apt install nftables",
        ) from missing
    except (NftError, OSError) as refused:
        raise impossible(refused) from refused


def impossible(cause: Exception) -> LimosaError:
    """Return LIM-NET-010 for what the kernel said."""
    return LimosaError(
        "LIM-NET-010",
        "the container cannot be connected to its network",
        cause=words_of(cause),
        hint="limosa doctor shows which part of the network this kernel lacks",
    )
