"""The network of containers: bridges, addresses, published ports, names.

A container's network namespace belongs to its user namespace, so the OCI runtime (or CRIU, on restore) makes it
and limosa fills it: a veth pair, addresses, routes (docs/adr/0004).
"""

from limosa.model.container import Addresses, NetworkRequest, PublishedPort
from limosa.model.hints import Literal, Protocol
from limosa.model.ids import ContainerId
from limosa.model.value import NamedTuple

DEFAULT_NETWORK = "default"


class Network(NamedTuple):
    """One network of this limosa host. `kind` bridge: an own bridge with NAT; uplink: bridged to a host interface;
    routed: an address of the host's own network that the host answers for (OpenVZ's venet).

    The subnets of an uplink or routed network are what addresses are handed out of, so they may be a part of the
    segment's; without one, only a fixed address is possible (or, on an uplink, the container's own DHCP client).
    """

    name: str
    kind: Literal["bridge", "uplink", "routed"] = "bridge"
    ipv4_subnet: str = ""  # "10.88.0.0/20"
    ipv6_subnet: str = ""  # "fd…::/64"
    uplink: str = ""
    internal: bool = False  # no way out
    labels: tuple[tuple[str, str], ...] = ()
    ipv4_gateway: str = ""  # chosen by `create` where it is empty
    ipv6_gateway: str = ""
    vxlan_hosts: tuple[str, ...] = ()  # a bridge that spans these hosts, by their addresses, in one order on all


class Attachment(NamedTuple):
    """What one container has on one network; kept in its record."""

    container_id: ContainerId
    container_name: str
    network: str
    addresses: Addresses
    ports: tuple[PublishedPort, ...] = ()
    hostname: str = ""
    inner: Addresses = Addresses()  # what a copy believes to have; empty where that is `addresses`

    @property
    def translated(self) -> bool:
        """Say whether inner and outer addresses differ."""
        return bool(self.inner.ipv4 or self.inner.ipv6)


class NetworkRecords(Protocol):
    """What is written down of networks, and counted: for who only looks. Nothing here makes or changes anything."""

    def recorded(self) -> list[Network]:
        """Return the networks by name; the one called "default" only if it was needed already."""

    def traffic(self, init_pid: int) -> tuple[int, int]:
        """Return the bytes that the network namespace of `init_pid` has received and sent, loopback left out.

        Both are 0 if the process is gone.
        """

    def retransmitted(self, init_pid: int) -> int:
        """Return how many TCP segments the network namespace of `init_pid` has sent again, or got once more.

        0 if the process is gone.
        """

    def attachment(self, container_id: ContainerId) -> Attachment | None:
        """Return what is reserved for a container, None if nothing is."""

    def attachments(self) -> list[Attachment]:
        """Return every reservation of this host, also those of containers with network none or host."""


class Networks(NetworkRecords, Protocol):
    """Networks and attachments. Every method may be repeated after a crash; the result is the same."""

    def create(self, network: Network) -> Network:
        """Record a network and build it, with subnets and gateways chosen where none are given.

        Raises: LimosaError LIM-NET-001: name or subnet in use; LIM-NET-008: a subnet or gateway that cannot be;
                LIM-NET-009: the uplink is not there. Nothing is left of the attempt.
        """

    def remove(self, name: str) -> None:
        """Remove a network, its bridge and its rules; an uplink gets back the addresses and routes of the bridge.

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
        hostname: str = "",
        inner: Addresses = Addresses(),  # noqa: B008 - immutable
        *,
        passing: bool = False,
    ) -> Addresses:
        """Hand out addresses and host ports and keep them until `forget`, also while the container is stopped.

        A copy of another container keeps that one's address as its `inner` one, which its programs may be bound to;
        what is handed out is how it is reached from outside, by a translation.

        A port with `host_port` 0 gets a free one (`attachments` tells which). Repeating it with another name, other
        ports or another network changes the reservation and keeps the addresses where it can. One that is `passing`
        need not survive the machine's present boot, which saves a wait for the disk.
        Raises: LimosaError LIM-NET-003: no such network; LIM-NET-004: address or MAC in use, or none left;
                LIM-NET-005: host port in use (says by whom); LIM-NET-006: ports cannot be published there;
                LIM-NET-007: this network needs a fixed address; LIM-NET-008: an address that cannot be.
        """

    def prepare(self, container_id: ContainerId) -> None:
        """Do what `connect` needs on the host's side, so that inside a frozen time only `connect` is left.

        Optional: `connect` does it where it was not done.
        Raises: LimosaError LIM-NET-009: the uplink is not there; LIM-NET-010: the host cannot do it (its reason).
        """

    def connect(
        self, container_id: ContainerId, init_pid: int, *, names_later: bool = False, silent: bool = False
    ) -> None:
        """Build the container's interface (eth0, lo up, routes) in the namespace of `init_pid`, publish its ports,
        and tell the segment where its addresses are now.

        With `silent` all is there but a carrier, as after `silence`: not one frame goes in or out before `unsilence`.
        For a restore, until all sockets are there: to what comes for one that is not, the kernel answers by a reset.
        This is inside the frozen time of a restore: a few milliseconds. With `names_later` the hosts files, whose
        number grows with the containers, wait for `refresh_names`. Nothing is left of a failed attempt.
        Raises: LimosaError as `prepare`; LIM-NET-003: nothing was reserved; ProcessLookupError: no such process.
        """

    def furnish(self, init_pid: int, sysctls: tuple[tuple[str, str], ...]) -> None:
        """Make a network namespace that is as the kernel makes one what the runtime would: lo up, `net.…` set.

        Raises: LimosaError LIM-NET-010: the kernel refuses one of `sysctls`; ProcessLookupError: no such process.
        """

    def refresh_names(self, container_id: ContainerId) -> None:
        """Bring the hosts files of the container and its neighbours in line with who runs now."""

    def disconnect(self, container_id: ContainerId) -> None:
        """Remove interface and published ports; addresses stay reserved. Nothing happens if they are gone."""

    def silence(self, container_id: ContainerId) -> None:
        """Cut the container off without taking anything from it: its interface only loses its carrier.

        For a migration: once its processes stand still its sockets must neither send nor acknowledge here, and when
        they end nobody may hear of it. Nothing happens if it is not connected.
        """

    def settle_newcomers(self, container_id: ContainerId, init_pid: int, wait_s: float) -> bool:
        """Let no new TCP connection in from outside, and wait until its programs have accepted those that came.

        Returns: whether they have; False, too, where the kernel cannot do that.
        Others get in again after `unsilence` or `forget`, or the end of this process; attempts that come by its network
        meanwhile are held.
        Raises: LimosaError as `hold`; ProcessLookupError: no such process.
        """

    def hold(self, container_id: ContainerId) -> None:
        """Keep what its network sends to a silent container from now on.

        `unsilence` gives it all of that, `forget` drops it. It waits in this process and is lost with it, as without
        this: who sent it sends it again, later. Where it was held already, what came so far has arrived by itself but
        for attempts to connect. Nothing happens where that cannot be: on a routed network, or on none of limosa's.
        Raises: LimosaError as `prepare`; LIM-NET-003: nothing was reserved.
        """

    def attract(self, container_id: ContainerId) -> None:
        """Hold as `hold`, and tell its segment that it is here: before its addresses are on any interface."""

    def forward_held(self, container_id: ContainerId) -> None:
        """Send what is held to where the segment has the container now; it is held here, too."""

    def unsilence(self, container_id: ContainerId, init_pid: int) -> None:
        """Undo `silence`, announce the addresses again, and hand out what is held.

        Where it was not silenced, it gets who was not let in by `settle_newcomers`, and nothing else happens.
        """

    def set_ports(self, container_id: ContainerId, ports: tuple[PublishedPort, ...]) -> tuple[PublishedPort, ...]:
        """Publish exactly `ports` from now on (`limosa set -p`, `port`), and return them with host ports chosen.

        Raises: LimosaError LIM-NET-003, LIM-NET-005, LIM-NET-006; the ports are as before.
        """

    def abort_outside(self, init_pid: int) -> int:
        """Abort the TCP connections of a container whose other end is not inside; return how many.

        For a copy, before its processes go on: those connections live on in the original.
        Raises: ProcessLookupError: no such process; LimosaError LIM-NET-010: this kernel cannot.
        """

    def forget(self, container_id: ContainerId) -> None:
        """Disconnect, and give back addresses and ports. Nothing happens if there are none."""

    def hosts_file(self, container_id: ContainerId) -> str:
        """Return the path of the container's /etc/hosts: itself and the running containers of its network.

        The file is rewritten in place as long as the reservation lasts, so that it can be bind-mounted.
        """

    def resolv_conf(self, container_id: ContainerId) -> str:
        """Return the path of the container's /etc/resolv.conf, brought in line with the host's: servers on the
        host's loopback, which no container reaches, are replaced by those behind them."""

    def present(self) -> list[ContainerId]:
        """Return the ids that have an interface or rule on the host, for `recover`."""

    def sweep(self) -> None:
        """Remove files that a killed command left unfinished, for `recover`."""

    def tidy(self) -> None:
        """Remove bridges and rules that no container uses, for `recover`: a crash may have left them."""
