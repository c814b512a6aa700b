"""The `Networks` port: reservations in a file, interfaces and rules in the kernel, names derived from ids."""

import os

from limosa.adapters.bridge_network import endpoint, fabric, host_ports, name_files, reservation
from limosa.adapters.bridge_network.host_side import guarded, impossible
from limosa.adapters.bridge_network.silencing import ALIAS, SilencingNetworks, needs_rules, reserved
from limosa.adapters.bridge_network.state import Lease, State
from limosa.linux import namespaces, sock_diag
from limosa.linux import netlink_address as addr
from limosa.linux import netlink_link as link
from limosa.linux.flock import locked
from limosa.linux.netlink import NetlinkSocket
from limosa.model import network as names
from limosa.model.container import NO_NETWORK, Addresses, NetworkRequest, PublishedPort
from limosa.model.errors import LimosaError
from limosa.model.ids import ContainerId, checked_name
from limosa.ports.network import DEFAULT_NETWORK, Attachment, Network


class BridgeNetworks(SilencingNetworks):
    """The networks of the limosa host whose state is under `root`.

    The host is the network namespace in which an object is first used. `default_root` is the one whose table is
    called "limosa" and whose default network has the first subnet of the pool.
    """

    def __init__(self, root: str, *, default_root: bool = False) -> None:
        super().__init__(root, "limosa" if default_root else "")
        self._default_root = default_root

    # -- networks

    def create(self, network: Network) -> Network:
        """See the port."""
        if network.name in NO_NETWORK:
            raise LimosaError(
                "LIM-NET-001",
                f"{network.name!r} cannot be the name of a network",
                cause="it means no network of limosa",
                hint="choose another name",
            )
        checked_name(network.name, "network")
        with self._book.changing() as state:
            if network.name in state.values["networks"]:
                raise LimosaError(
                    "LIM-NET-001",
                    f"there is a network called {network.name!r} already",
                    hint=f"choose another name; limosa network rm {network.name} removes that one",
                )
            chosen = self._record(state, network)
        if chosen.kind == "uplink":
            self._build_or_undo(chosen)
        return chosen

    def _record(self, state: State, network: Network) -> Network:
        """Put a network with everything chosen into `state`."""
        if network.kind != "bridge":
            network = fabric.with_uplink(self._host.route, network)
        if network.vxlan_hosts:
            place = fabric.own_place(self._host.route, network)
            network = network._replace(
                ipv4_gateway=network.ipv4_gateway or names.nth_address(network.ipv4_subnet, place),
                ipv6_gateway=network.ipv6_subnet
                and (network.ipv6_gateway or names.nth_address(network.ipv6_subnet, place)),
            )
        first = int(names.bridge_name(self._tag, network.name)[3:], 16)
        if self._default_root and network.name == DEFAULT_NETWORK:
            first = 0
        ipv6 = ""
        if os.path.exists("/proc/sys/net/ipv6"):
            machine = name_files.read_or_empty("/etc/machine-id").strip()
            ipv6 = names.ipv6_subnet(machine, self._tag, network.name)
        routes = fabric.host_routes(self._host.route)
        chosen = reservation.with_subnets(network, state.networks(), routes, first, ipv6)
        state.put_network(chosen)
        return chosen

    def _build_or_undo(self, network: Network) -> None:
        try:
            self._host.prepare(network, rules_needed=False)
        except BaseException:
            self.remove(network.name)
            raise

    def remove(self, name: str) -> None:
        """See the port."""
        with self._book.changing() as state:
            network = state.network(name)
            users = [lease["container_name"] for lease in state.raw_leases().values() if lease["network"] == name]
            if users:
                raise LimosaError(
                    "LIM-NET-002",
                    f"network {name!r} is in use",
                    cause=f"attached: {', '.join(sorted(users))}",
                    hint=f"limosa rm {' '.join(sorted(users))} first",
                )
            self._host.remove(network)
            state.drop_network(name)

    def all(self) -> list[Network]:
        """See the port."""
        state = self._book.read()
        if DEFAULT_NETWORK not in state.values["networks"]:
            with self._book.changing() as state:
                self._network(state, DEFAULT_NETWORK)
        return state.networks()

    def _network(self, state: State, name: str) -> Network:
        """Return a network, recording the default one when it is first needed."""
        if name == DEFAULT_NETWORK and name not in state.values["networks"]:
            return self._record(state, Network(DEFAULT_NETWORK))
        return state.network(name)

    # -- reservations

    def reserve(
        self,
        container_id: ContainerId,
        container_name: str,
        request: NetworkRequest,
        ports: tuple[PublishedPort, ...],
        hostname: str = "",
        inner: Addresses = Addresses(),  # noqa: B008 - immutable
        *,
        passing: bool = False,
    ) -> Addresses:
        """See the port."""
        with self._book.changing() as state:
            network = None if request.network in NO_NETWORK else self._network(state, request.network)
            if ports:
                _refuse_unpublishable(network, request.network)
            addresses = Addresses()
            if network is not None:
                segment, host_has = fabric.segment_of(self._host.route, self._tag, network)
                addresses = reservation.addresses_for(
                    *(state, network, request, container_id, segment, host_has),
                    lambda address: self._host.neighbour_has(network, address),
                )
            held = state.lease(container_id)
            chosen = self._chosen_ports(state, container_id, ports)
            attachment = Attachment(container_id, container_name, request.network, addresses, chosen, hostname, inner)
            withdrawn = tuple(port for port in held.every_port if port not in chosen) if held else ()
            state.put_lease(Lease(attachment, withdrawn), passing=passing)
        for kind in ("hosts", "resolv"):
            os.makedirs(f"{self._book.directory}/{kind}", mode=0o711, exist_ok=True)
        self._write_hosts(request.network, container_id, neighbours=False)
        return addresses

    def _chosen_ports(
        self, state: State, container_id: ContainerId, ports: tuple[PublishedPort, ...]
    ) -> tuple[PublishedPort, ...]:
        if not ports:
            return ()
        held = state.lease(container_id)
        others = {
            f"container {lease.attachment.container_name!r}": lease.attachment.ports
            for lease in state.leases()
            if lease.attachment.container_id != container_id
        }
        everybody = {**others, **self._host.published_elsewhere()}
        return host_ports.chosen(ports, held.attachment.ports if held else (), everybody)

    def set_ports(self, container_id: ContainerId, ports: tuple[PublishedPort, ...]) -> tuple[PublishedPort, ...]:
        """See the port."""
        with self._book.changing() as state:
            lease = reserved(state, container_id)
            attachment = lease.attachment
            network = None if attachment.network in NO_NETWORK else state.network(attachment.network)
            if ports:
                _refuse_unpublishable(network, attachment.network)
            chosen = self._chosen_ports(state, container_id, ports)
            withdrawn = tuple(port for port in lease.every_port if port not in chosen)
            state.put_lease(Lease(attachment._replace(ports=chosen), withdrawn))
        interface = self._host.veth(container_id)
        if network is not None and interface is not None:
            self._host.prepare(network, rules_needed=True)
            if interface.master and chosen:
                endpoint.reach_itself(self._host.route, interface.ifindex)
            self._host.publish(Lease(attachment._replace(ports=chosen), withdrawn), network)
        with self._book.changing() as state:
            current = state.lease(container_id)
            if current is not None and current.attachment.ports == chosen:
                state.put_lease(Lease(current.attachment))
        return chosen

    def forget(self, container_id: ContainerId) -> None:
        """See the port."""
        self._admit(container_id)
        self._holding.drop(container_id)
        self.disconnect(container_id)
        with self._book.changing() as state:
            state.drop_lease(container_id)
        name_files.remove(self._book.directory, container_id)

    # -- interfaces

    def connect(
        self, container_id: ContainerId, init_pid: int, *, names_later: bool = False, silent: bool = False
    ) -> None:
        """See the port."""
        state = self._book.read()
        lease = reserved(state, container_id)
        attachment = lease.attachment
        if attachment.network == "host":
            return
        namespace = namespaces.open_network(init_pid)
        try:
            if attachment.network == "none":
                endpoint.raise_loopback(namespace)
                return
            self._connect(state, lease, namespace, silent)
        finally:
            os.close(namespace)
        if not names_later:
            self._write_hosts(attachment.network, container_id)

    def furnish(self, init_pid: int, sysctls: tuple[tuple[str, str], ...]) -> None:
        """See the port."""
        namespace = namespaces.open_network(init_pid)
        try:
            endpoint.raise_loopback(namespace)
            own = [(name, value) for name, value in sysctls if name.startswith("net.")]
            if own:
                endpoint.set_parameters(namespace, own)
        except OSError as failure:
            raise impossible(failure) from failure
        finally:
            os.close(namespace)

    def _connect(self, state: State, lease: Lease, namespace: int, silent: bool) -> None:
        network = state.network(lease.attachment.network)
        try:
            with locked(f"{self._book.directory}/use.lock", exclusive=False):
                prepared_before = self._host.is_prepared(network)
                try:
                    self._build(network, lease, namespace, silent)
                except OSError:
                    if not prepared_before:
                        raise
                    # The bridge may be gone since then: whoever disconnected last took it away.
                    self._host.forget_prepared()
                    self._build(network, lease, namespace, silent)
        except BaseException as failure:
            self._take_down(state, lease)
            self._host.leave_idle(network)
            if isinstance(failure, OSError):
                raise impossible(failure) from failure
            raise

    def _build(self, network: Network, lease: Lease, namespace: int, silent: bool) -> None:
        attachment = lease.attachment
        bridge_ifindex = self._host.prepared(network, rules_needed=needs_rules(network, attachment))
        plan = self._plan(network, attachment, bridge_ifindex)
        if attachment.translated:
            self._translators.build(
                self._host.route, plan, attachment.inner, attachment.container_id, namespace, silent=silent
            )
        else:
            endpoint.build(self._host.route, plan, namespace, silent=silent)
        if lease.every_port:
            self._host.publish(lease, network)

    def disconnect(self, container_id: ContainerId) -> None:
        """See the port."""
        state = self._book.read()
        lease = state.lease(container_id)
        if lease is None:
            link.delete_link(self._host.route, names.veth_name(self._tag, container_id))
            self._translators.remove(container_id)
            self._host.withdraw_found(container_id)
            return
        if lease.attachment.network in NO_NETWORK:
            return
        self._take_down(state, lease)
        if container_id not in state.passing:
            # Whoever uses --rm is likely to run the next one soon, and bridge and table are dear: `tidy` takes them.
            self._host.leave_idle(state.network(lease.attachment.network))
        self._write_hosts(lease.attachment.network, container_id)

    def _take_down(self, state: State, lease: Lease) -> None:
        attachment = lease.attachment
        network = state.network(attachment.network)
        if network.kind == "routed":
            endpoint.stop_answering(self._host.route, network.uplink, attachment.addresses)
        self._host.withdraw(lease)
        link.delete_link(self._host.route, names.veth_name(self._tag, attachment.container_id))
        if attachment.translated:
            self._translators.remove(attachment.container_id)

    def abort_outside(self, init_pid: int) -> int:
        """See the port."""
        namespace = namespaces.open_network(init_pid)
        try:
            with namespaces.entered(namespace):
                diag = sock_diag.opened()
        finally:
            os.close(namespace)
        with diag:
            return guarded(lambda: _aborted(diag))

    # -- names

    def hosts_file(self, container_id: ContainerId) -> str:
        """See the port."""
        return f"{self._book.directory}/hosts/{container_id}"

    def refresh_names(self, container_id: ContainerId) -> None:
        """See the port."""
        self._write_hosts(reserved(self._book.read(), container_id).attachment.network, container_id)

    def _write_hosts(self, network: str, own: ContainerId, *, neighbours: bool = True) -> None:
        """Bring the hosts file of `own`, and of its running neighbours, in line with who runs now.

        Whoever does not run gets his when he is connected: with many containers at work at once, these files are what
        they would wait for.
        """
        present = link.link_names(self._host.route)

        def runs(lease: ContainerId) -> bool:
            return names.veth_name(self._tag, lease) in present

        name_files.write_hosts(self._book, network, own, runs, neighbours=neighbours)

    def resolv_conf(self, container_id: ContainerId) -> str:
        """See the port."""
        lease = reserved(self._book.read(), container_id)
        return name_files.write_resolv(self._book.directory, lease.attachment)

    # -- recovery

    def present(self) -> list[ContainerId]:
        """See the port."""
        interfaces = link.links(self._host.route)
        marked = [one for one in interfaces if one.group == fabric.group_of(self._tag) and one.kind == "veth"]
        found = {one.alias.removeprefix(ALIAS) for one in marked if one.alias.startswith(ALIAS)}
        state = self._book.read()
        there = {one.name for one in interfaces}
        found |= {one for one in state.raw_leases() if names.veth_name(self._tag, ContainerId(one)) in there}
        answered = addr.proxy_neighbours(self._host.route)
        for lease in state.leases():
            mine = (lease.attachment.addresses.ipv4, lease.attachment.addresses.ipv6)
            if lease.attachment.network not in NO_NETWORK and answered & {one.partition("/")[0] for one in mine}:
                found.add(lease.attachment.container_id)
        found |= self._translators.present()
        return sorted(ContainerId(one) for one in found | self._host.published())

    def sweep(self) -> None:
        """See the port."""
        self._book.sweep()

    def tidy(self) -> None:
        """See the port."""
        for network in self._book.read().networks():
            self._host.leave_idle(network)


def _aborted(diag: NetlinkSocket) -> int:
    found = sock_diag.outside(sock_diag.connections(diag))
    for connection in found:
        sock_diag.abort(diag, connection)
    return len(found)


def _refuse_unpublishable(network: Network | None, name: str) -> None:
    if network is not None and network.kind != "uplink":
        return
    cause = "it uses the host's own ports" if name == "host" else "it has no way in"
    if network is not None:
        cause = "a container there has an address of the uplink's own segment, and all its ports are reachable"
    raise LimosaError(
        "LIM-NET-006", f"no port can be published on network {name!r}", cause=cause, hint="leave out -p", exit_status=2
    )
