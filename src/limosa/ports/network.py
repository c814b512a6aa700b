"""The network of containers: bridges, addresses, published ports, names.

A container's network namespace belongs to its user namespace, so the OCI runtime (or CRIU, on restore) makes it
and limosa fills it: a veth pair, addresses, routes (docs/adr/0004).
"""

from typing import NamedTuple, Protocol

from limosa.model.container import Addresses, NetworkRequest, PublishedPort
from limosa.model.ids import ContainerId


class Network(NamedTuple):
    """One network of this limosa host. `kind` bridge: an own bridge with NAT; uplink: bridged to a host interface;
    routed: an address of the host's own network that the host answers for (OpenVZ's venet)."""

    name: str
    kind: str = "bridge"  # "bridge" | "uplink" | "routed"
    ipv4_subnet: str = ""  # "10.88.0.0/16"
    ipv6_subnet: str = ""  # "fd…::/64"
    uplink: str = ""
    internal: bool = False  # no way out
    labels: tuple[tuple[str, str], ...] = ()


class Attachment(NamedTuple):
    """What one container has on one network; kept in its record."""

    container_id: ContainerId
    container_name: str
    network: str
    addresses: Addresses
    ports: tuple[PublishedPort, ...] = ()


class Networks(Protocol):
    """Networks and attachments. Every method may be repeated after a crash; the result is the same."""

    def create(self, network: Network) -> Network:
        """Record a network, with subnets chosen where none are given.

        Raises: LimosaError LIM-NET-001: name or subnet in use.
        """

    def remove(self, name: str) -> None:
        """Remove a network, its bridge and its rules.

        Raises: LimosaError LIM-NET-002: a container is attached; LIM-NET-003: none such.
        """

    def all(self) -> list[Network]:
        """Return the networks by name; the one called "default" always exists (and is made when first needed)."""

    def reserve(
        self,
        container_id: ContainerId,
        container_name: str,
        request: NetworkRequest,
        ports: tuple[PublishedPort, ...],
    ) -> Addresses:
        """Hand out addresses and host ports and keep them until `forget`, also while the container is stopped.

        Raises: LimosaError LIM-NET-004: address or MAC in use; LIM-NET-005: host port in use (says by whom).
        """

    def connect(self, container_id: ContainerId, init_pid: int) -> None:
        """Build the container's interface (eth0, lo up, routes) in the namespace of `init_pid`, and publish its ports.

        This is inside the frozen time of a restore: a few milliseconds. Nothing is left of a failed attempt.
        """

    def disconnect(self, container_id: ContainerId) -> None:
        """Remove interface and published ports; addresses stay reserved. Nothing happens if they are gone."""

    def set_ports(self, container_id: ContainerId, ports: tuple[PublishedPort, ...]) -> None:
        """Publish exactly `ports` from now on (`limosa set -p`, `port`). Raises LIM-NET-005."""

    def forget(self, container_id: ContainerId) -> None:
        """Give back addresses and ports. Nothing happens if there are none."""

    def attachments(self) -> list[Attachment]:
        """Return every reservation of this host."""

    def hosts_file(self, container_id: ContainerId) -> str:
        """Return the path of the container's /etc/hosts: itself and the running containers of its network, kept

        Current.
        """

    def present(self) -> list[ContainerId]:
        """Return the ids that have an interface or rule on the host, for `recover`."""
