"""The `Networks` port in memory, for tests of the engine: the same answers and refusals, no interface and no rule."""

import os

from limosa.model import network as rules
from limosa.model.container import NO_NETWORK, Addresses, NetworkRequest, PublishedPort
from limosa.model.errors import LimosaError
from limosa.model.ids import ContainerId
from limosa.ports.network import DEFAULT_NETWORK, Attachment, Network


class FakeNetworks:
    """Remembers what it was told. `connected`, `silenced` and `calls` are for the test to look at."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._networks: dict[str, Network] = {}
        self._attachments: dict[ContainerId, Attachment] = {}
        self._cursors: dict[str, int] = {}
        self.connected: dict[ContainerId, int] = {}
        self.silenced: set[ContainerId] = set()
        self.calls: list[tuple[str, ContainerId]] = []

    def create(self, network: Network) -> Network:
        if network.name in self._networks or network.name in NO_NETWORK:
            raise LimosaError("LIM-NET-001", f"there is a network called {network.name!r} already")
        if network.kind != "bridge" and not network.uplink:
            raise LimosaError("LIM-NET-009", f"network {network.name!r} needs an interface of the host")
        if network.kind == "bridge":
            used = [one.ipv4_subnet for one in self._networks.values()]
            free = next(one for one in rules.ipv4_subnets(0) if rules.overlapping(one, used) is None)
            ipv4 = rules.checked_subnet(network.ipv4_subnet, 4) if network.ipv4_subnet else free
            if rules.overlapping(ipv4, used) is not None:
                raise LimosaError("LIM-NET-001", f"network {network.name!r} cannot be created")
            ipv6 = network.ipv6_subnet or rules.ipv6_subnet("", "", network.name)
            network = network._replace(
                ipv4_subnet=ipv4,
                ipv6_subnet=ipv6,
                ipv4_gateway=rules.first_address(ipv4),
                ipv6_gateway=rules.first_address(ipv6),
            )
        self._networks[network.name] = network
        return network

    def remove(self, name: str) -> None:
        self._network(name)
        if any(one.network == name for one in self._attachments.values()):
            raise LimosaError("LIM-NET-002", f"network {name!r} is in use")
        del self._networks[name]

    def all(self) -> list[Network]:
        self._network(DEFAULT_NETWORK)
        return [self._networks[name] for name in sorted(self._networks)]

    def attachment(self, container_id: ContainerId) -> Attachment | None:
        return self._attachments.get(container_id)

    def recorded(self) -> list[Network]:
        return [self._networks[name] for name in sorted(self._networks)]

    def _network(self, name: str) -> Network:
        if name == DEFAULT_NETWORK and name not in self._networks:
            return self.create(Network(name))
        if name not in self._networks:
            raise LimosaError("LIM-NET-003", f"there is no network called {name!r}")
        return self._networks[name]

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
        del passing  # nothing here survives anything
        addresses = Addresses()
        if request.network not in NO_NETWORK:
            addresses = self._addresses(container_id, self._network(request.network), request)
        self._refuse_ports(container_id, request.network, ports)
        self._attachments[container_id] = Attachment(
            container_id, container_name, request.network, addresses, self._with_ports(ports), hostname, inner
        )
        self._write_names(container_id)
        return addresses

    def _addresses(self, container_id: ContainerId, network: Network, request: NetworkRequest) -> Addresses:
        held = self._attachments.get(container_id)
        kept = held.addresses if held and held.network == network.name else Addresses()
        others = [one.addresses for key, one in self._attachments.items() if key != container_id]
        taken = {value.partition("/")[0] for one in others for value in one} | {
            network.ipv4_gateway,
            network.ipv6_gateway,
        }
        mac = rules.checked_mac(request.mac) if request.mac else kept.mac or rules.mac_of(container_id)
        found = []
        for subnet, fixed, before in (
            (network.ipv4_subnet, request.ipv4, kept.ipv4),
            (network.ipv6_subnet, request.ipv6, kept.ipv6),
        ):
            plain = rules.address_in(subnet, fixed) if fixed else before.partition("/")[0]
            if plain in taken - {""}:
                raise LimosaError("LIM-NET-004", f"the address {plain} is in use")
            if not plain and subnet:
                given = rules.next_address(subnet, self._cursors.get(subnet, 0), taken)
                assert given is not None
                plain, self._cursors[subnet] = given
            found.append(f"{plain}/{rules.prefix_of(subnet)}" if plain else "")
        if mac in taken:
            raise LimosaError("LIM-NET-004", f"the address {mac} is in use")
        return Addresses(found[0], found[1], mac)

    def _refuse_ports(self, container_id: ContainerId, network: str, ports: tuple[PublishedPort, ...]) -> None:
        if ports and (network in NO_NETWORK or self._network(network).kind == "uplink"):
            raise LimosaError("LIM-NET-006", f"no port can be published on network {network!r}")
        for key, other in self._attachments.items():
            for one in other.ports:
                wanted = {(port.protocol, port.host_port) for port in ports}
                if key != container_id and (one.protocol, one.host_port) in wanted:
                    raise LimosaError(
                        "LIM-NET-005",
                        f"port {one.host_port}/{one.protocol} of the host is in use",
                        cause=f"container {other.container_name!r} has it",
                    )

    def _with_ports(self, ports: tuple[PublishedPort, ...]) -> tuple[PublishedPort, ...]:
        used = {port.host_port for one in self._attachments.values() for port in one.ports}
        free = (port for port in range(40000, 60000) if port not in used)
        return tuple(port if port.host_port else port._replace(host_port=next(free)) for port in ports)

    def _reserved(self, container_id: ContainerId) -> Attachment:
        if container_id not in self._attachments:
            raise LimosaError("LIM-NET-003", f"container {container_id[:12]} has no reservation on any network")
        return self._attachments[container_id]

    def prepare(self, container_id: ContainerId) -> None:
        self._reserved(container_id)
        self.calls.append(("prepare", container_id))

    def connect(
        self, container_id: ContainerId, init_pid: int, *, names_later: bool = False, silent: bool = False
    ) -> None:
        attachment = self._reserved(container_id)
        self.calls.append(("connect", container_id))
        if attachment.network not in NO_NETWORK:
            self.connected[container_id] = init_pid
            if silent:
                self.silenced.add(container_id)
        if not names_later:
            self.refresh_names(container_id)

    def furnish(self, init_pid: int, sysctls: tuple[tuple[str, str], ...]) -> None:
        self.calls.append(("furnish", ContainerId(str(init_pid))))

    def refresh_names(self, container_id: ContainerId) -> None:
        network = self._reserved(container_id).network
        for key, one in self._attachments.items():
            if one.network == network:
                self._write_names(key)

    def _write_names(self, container_id: ContainerId) -> None:
        own = self._attachments[container_id]
        others = (self._attachments[key] for key in self.connected if key != container_id)
        visible = [own, *(one for one in others if one.network == own.network)]
        lines = ["127.0.0.1\tlocalhost", "::1\tlocalhost"]
        for one in visible:
            names = " ".join(dict.fromkeys(filter(None, (one.hostname, one.container_name))))
            addresses = (one.addresses.ipv4, one.addresses.ipv6)
            lines += [f"{address.partition('/')[0]}\t{names}" for address in addresses if address]
        os.makedirs(self._directory, exist_ok=True)
        with open(
            self.hosts_file(container_id), "r+" if os.path.exists(self.hosts_file(container_id)) else "w"
        ) as file:
            file.write("\n".join(lines) + "\n")
            file.truncate()

    def disconnect(self, container_id: ContainerId) -> None:
        self.calls.append(("disconnect", container_id))
        self.silenced.discard(container_id)
        if self.connected.pop(container_id, None) is not None and container_id in self._attachments:
            self.refresh_names(container_id)

    def silence(self, container_id: ContainerId) -> None:
        if container_id in self.connected:
            self.silenced.add(container_id)

    def settle_newcomers(self, container_id: ContainerId, init_pid: int, wait_s: float) -> bool:
        self._reserved(container_id)
        return True

    def hold(self, container_id: ContainerId) -> None:
        self._reserved(container_id)
        self.calls.append(("hold", container_id))

    def attract(self, container_id: ContainerId) -> None:
        self.calls.append(("attract", container_id))

    def forward_held(self, container_id: ContainerId) -> None:
        self.calls.append(("forward", container_id))

    def unsilence(self, container_id: ContainerId, init_pid: int) -> None:
        self._reserved(container_id)
        self.silenced.discard(container_id)

    def set_ports(self, container_id: ContainerId, ports: tuple[PublishedPort, ...]) -> tuple[PublishedPort, ...]:
        attachment = self._reserved(container_id)
        self._refuse_ports(container_id, attachment.network, ports)
        chosen = self._with_ports(ports)
        self._attachments[container_id] = attachment._replace(ports=chosen)
        return chosen

    def abort_outside(self, init_pid: int) -> int:
        return 0

    def forget(self, container_id: ContainerId) -> None:
        self.disconnect(container_id)
        if self._attachments.pop(container_id, None) is not None:
            os.unlink(self.hosts_file(container_id))

    def retransmitted(self, init_pid: int) -> int:
        return 0

    def traffic(self, init_pid: int) -> tuple[int, int]:
        del init_pid
        return 0, 0

    def attachments(self) -> list[Attachment]:
        return list(self._attachments.values())

    def hosts_file(self, container_id: ContainerId) -> str:
        return f"{self._directory}/hosts-{container_id}"

    def resolv_conf(self, container_id: ContainerId) -> str:
        self._reserved(container_id)
        path = f"{self._directory}/resolv-{container_id}"
        with open(path, "w") as file:
            file.write("nameserver 198.51.100.53\n")
        return path

    def present(self) -> list[ContainerId]:
        return sorted(self.connected)

    def sweep(self) -> None:
        """Nothing is ever left."""

    def tidy(self) -> None:
        """Nothing is ever left."""
