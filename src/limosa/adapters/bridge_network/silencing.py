"""Containers that are silent for a while, and what is sent to them meanwhile."""

import os

from limosa.adapters.bridge_network import endpoint, fabric
from limosa.adapters.bridge_network.holding import Holding
from limosa.adapters.bridge_network.host_side import HostSide
from limosa.adapters.bridge_network.recorded import RecordedNetworks
from limosa.adapters.bridge_network.state import Lease, State
from limosa.adapters.bridge_network.translator import Translators
from limosa.linux import namespaces
from limosa.linux import netlink_link as link
from limosa.linux.nftables import NftError, NftUnavailable
from limosa.model import network as names
from limosa.model.container import NO_NETWORK
from limosa.model.errors import LimosaError
from limosa.model.hints import TYPE_CHECKING, Final
from limosa.model.ids import ContainerId
from limosa.ports.network import Attachment, Network

if TYPE_CHECKING:
    from limosa.adapters.bridge_network.newcomers import Gate

ALIAS: Final = "limosa:"  # and the id: of the host's end of a container's link


class SilencingNetworks(RecordedNetworks):
    """The part of the `Networks` port that takes a connected container from its network and brings it back."""

    def __init__(self, root: str, table: str = "") -> None:
        """`table` is what the table of rules is called; "": as follows from the root."""
        super().__init__(root)
        self._tag = names.host_tag(os.path.realpath(root))
        self._host = HostSide(self._book, self._tag, table or f"limosa_{self._tag}")
        self._translators = Translators(self._book.directory)
        self._holding = Holding()
        self._gates: dict[ContainerId, Gate] = {}

    def prepare(self, container_id: ContainerId) -> None:
        """See the port."""
        state = self._book.read()
        attachment = reserved(state, container_id).attachment
        if attachment.network not in NO_NETWORK:
            network = state.network(attachment.network)
            self._host.prepare(network, rules_needed=needs_rules(network, attachment))

    def silence(self, container_id: ContainerId) -> None:
        """See the port."""
        found = self._host.veth(container_id)
        if found is None:
            return
        link.set_link(self._host.route, found.ifindex, up=False)
        state = self._book.read()
        lease = state.lease(container_id)
        network = state.network(lease.attachment.network) if lease is not None else None
        if lease is not None and network is not None and network.kind == "routed":
            endpoint.stop_answering(self._host.route, network.uplink, lease.attachment.addresses)

    def settle_newcomers(self, container_id: ContainerId, init_pid: int, wait_s: float) -> bool:
        """See the port."""
        from limosa.adapters.bridge_network.newcomers import Gate

        found = self._host.veth(container_id)
        if found is None:
            return False
        if container_id not in self._gates:
            self.hold(container_id)
            namespace = namespaces.open_network(init_pid)
            try:
                self._gates[container_id] = Gate(found.name, namespace)
            except (NftError, NftUnavailable, OSError):
                return False
            finally:
                os.close(namespace)
        return self._gates[container_id].settled(wait_s)

    def _admit(self, container_id: ContainerId) -> None:
        gate = self._gates.pop(container_id, None)
        if gate is not None:
            gate.open()

    def hold(self, container_id: ContainerId) -> None:
        """See the port."""
        state = self._book.read()
        attachment = reserved(state, container_id).attachment
        network = None if attachment.network in NO_NETWORK else state.network(attachment.network)
        if network is None or network.kind == "routed":
            return
        self._host.prepare(network, rules_needed=needs_rules(network, attachment))
        segment = link.find_link(self._host.route, self._host.bridge(network))
        if segment is not None:
            self._holding.begin(container_id, segment, attachment.addresses.mac)

    def attract(self, container_id: ContainerId) -> None:
        """See the port."""
        self.hold(container_id)
        self._holding.announce(container_id, reserved(self._book.read(), container_id).attachment.addresses)

    def forward_held(self, container_id: ContainerId) -> None:
        """See the port."""
        self._holding.forward(container_id)

    def unsilence(self, container_id: ContainerId, init_pid: int) -> None:
        """See the port."""
        state = self._book.read()
        lease = reserved(state, container_id)
        found = self._host.veth(container_id)
        self._admit(container_id)
        if found is None:
            return
        if found.up:
            self._holding.keep_newcomers(container_id)
            self._holding.give(container_id, found.name)
            return
        network = state.network(lease.attachment.network)
        plan = self._plan(network, lease.attachment, found.master)
        self._holding.collect(container_id)
        link.set_link(self._host.route, found.ifindex, up=True)
        if network.kind == "routed":
            endpoint.raise_routed(self._host.route, plan, found.ifindex)
            return
        if lease.attachment.translated:
            namespace = self._translators.open(container_id)
        else:
            namespace = namespaces.open_network(init_pid)
        try:
            endpoint.announce_inner(plan, namespace)
        finally:
            os.close(namespace)
        self._holding.give(container_id, found.name)

    def _plan(self, network: Network, attachment: Attachment, bridge_ifindex: int) -> endpoint.Plan:
        container_id = attachment.container_id
        name = self._host.bridge(network) or network.uplink
        segment = link.find_link(self._host.route, name)
        return endpoint.Plan(
            host_name=names.veth_name(self._tag, container_id),
            host_mac=names.veth_mac(container_id),
            mtu=segment.mtu if segment else fabric.DEFAULT_MTU,
            group=fabric.group_of(self._tag),
            alias=ALIAS + container_id,
            addresses=attachment.addresses,
            gateway4=network.ipv4_gateway,
            gateway6=network.ipv6_gateway,
            bridge_ifindex=bridge_ifindex,
            uplink=network.uplink,
            hairpin=bool(attachment.ports),
        )


def needs_rules(network: Network, attachment: Attachment) -> bool:
    """Say whether a container cannot do without the table of rules."""
    return network.kind == "bridge" or bool(attachment.ports)


def reserved(state: State, container_id: ContainerId) -> Lease:
    """Return what is reserved for a container. Raises: LimosaError LIM-NET-003: nothing is."""
    lease = state.lease(container_id)
    if lease is None:
        raise LimosaError("LIM-NET-003", f"container {container_id[:12]} has no reservation on any network")
    return lease
