"""Fixtures of the network's contract: one host with a neighbour outside, and containers on it."""

import os
from collections.abc import Callable, Iterator

import laboratory
import pytest

from limosa.adapters.bridge_network.adapter import BridgeNetworks
from limosa.model.container import Addresses, NetworkRequest, PublishedPort
from limosa.model.ids import ContainerId


class Site:
    """A limosa host (198.51.100.1, 2001:db8:1::1 on `up0`) and a neighbour on its segment (.9, ::9)."""

    def __init__(self, root: str) -> None:
        self.host = laboratory.Host()
        self.outside = laboratory.Host()
        laboratory.join(self.host, "up0", self.outside, "eth0")
        with self.outside:
            laboratory.sh("ip addr add 198.51.100.9/24 dev eth0; ip addr add 2001:db8:1::9/64 dev eth0 nodad")
        with self.host:
            laboratory.sh("ip addr add 198.51.100.1/24 dev up0; ip addr add 2001:db8:1::1/64 dev up0 nodad")
            laboratory.sh("ip route add default via 198.51.100.9; ip -6 route add default via 2001:db8:1::9")
        self.root = root
        self.networks = BridgeNetworks(root)
        self._guests: list[laboratory.Guest] = []
        self._servers: list[laboratory.Echo] = []

    def new_id(self) -> ContainerId:
        """Return an id that no container has."""
        return ContainerId(os.urandom(12).hex())

    def guest(
        self,
        name: str,
        request: NetworkRequest = NetworkRequest(),  # noqa: B008 - immutable
        ports: tuple[PublishedPort, ...] = (),
    ) -> tuple[ContainerId, laboratory.Guest, Addresses]:
        """Start a container with an address on a network of the host where the thread is."""
        container_id = self.new_id()
        addresses = self.networks.reserve(container_id, name, request, ports)
        process = laboratory.Guest()
        self._guests.append(process)
        self.networks.connect(container_id, process.pid)
        return container_id, process, addresses

    def serve(self, *arguments: object, **options: object) -> laboratory.Echo:
        """Start a server that the fixture stops."""
        server = laboratory.Echo(*arguments, **options)  # type: ignore[arg-type]
        self._servers.append(server)
        return server

    def close(self) -> None:
        """Stop everything that runs and drop the namespaces."""
        for server in self._servers:
            server.close()
        for process in self._guests:
            process.kill()
        self.host.close()
        self.outside.close()


@pytest.fixture
def site(tmp_path: object) -> Iterator[Site]:
    """A site; the test's thread is on its host."""
    made = Site(f"{tmp_path}/root")
    try:
        with made.host:
            yield made
    finally:
        made.close()


@pytest.fixture
def state_of_host() -> Callable[[], str]:
    """Return what the host has: interfaces, addresses, routes, proxies, rules. To be called on the host."""

    def read() -> str:
        return laboratory.sh(
            "ip -o link | sed -E 's/(qlen|state|mode|group) [^ ]*//g' | sort -k2;"
            "ip -o addr | sed 's/[0-9]*sec/N/g; s/ tentative//' | sort;"
            "ip route; ip -6 route | sort; ip neigh show proxy; nft list ruleset"
        )

    return read
