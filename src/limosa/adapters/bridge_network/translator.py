"""A copy keeps the address that its programs are bound to: a namespace between it and its network translates.

    bridge --veth-- [ eth0: outer address | in0: 169.254.1.1, fe80::1 ] --veth-- eth0: inner address (the container)

The namespace has no process; a bind mount keeps it: <root>/networks/translators/<id>. Everything in it goes when that
mount goes. To the network it looks like any container, by the outer address; published ports lead there too. Inside,
whatever is sent goes to the gateway, so that a neighbour is reached and only who has the inner address is not.
"""

import os

from limosa.adapters.bridge_network import endpoint
from limosa.adapters.bridge_network.fabric import ROUTED_GATEWAY4, ROUTED_GATEWAY6
from limosa.linux import files, mount, namespaces, sysctl
from limosa.linux.netlink import RouteSocket
from limosa.linux.nftables import Nft, NftError, NftUnavailable
from limosa.model.container import Addresses
from limosa.model.hints import Final
from limosa.model.ids import ContainerId

_INNER_SIDE: Final = "in0"
_FORWARDING: Final = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding")


class Translators:
    """The translating namespaces of one limosa root."""

    def __init__(self, directory: str) -> None:
        self._directory = f"{directory}/translators"

    def _path(self, container_id: ContainerId) -> str:
        return f"{self._directory}/{container_id}"

    def build(self, route: RouteSocket, outer: endpoint.Plan, inner: Addresses, container_id: ContainerId,
              namespace: int, *, silent: bool = False) -> None:  # fmt: skip
        """Connect the container in `namespace` as `inner` by way of a translation to what `outer` plans.

        A `silent` one can be reached from nowhere yet.

        Raises: OSError: `remove` takes away what was made.
        """
        self.remove(container_id)
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        path = self._path(container_id)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        between = namespaces.new_network()
        try:
            mount.bind(f"/proc/self/fd/{between}", path)
            with namespaces.entered(between):
                for parameter in _FORWARDING:
                    sysctl.write(parameter, "1")
                with RouteSocket() as inside:
                    endpoint.build(inside, _inner_plan(outer, inner), namespace)
                _translate(outer.addresses, inner)
            endpoint.build(route, outer, between, silent=silent)
        finally:
            os.close(between)

    def open(self, container_id: ContainerId) -> int:
        """Return a descriptor of the namespace between. Raises: FileNotFoundError: there is none."""
        return os.open(self._path(container_id), os.O_RDONLY | os.O_CLOEXEC)

    def remove(self, container_id: ContainerId) -> None:
        """Let a namespace go. Nothing happens if there is none."""
        path = self._path(container_id)
        for _ in mount.mount_points(path):
            mount.umount(path, lazy=True)
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass

    def present(self) -> set[str]:
        """Return the ids that have one."""
        return set(files.names_in(self._directory))


def _inner_plan(outer: endpoint.Plan, inner: Addresses) -> endpoint.Plan:
    ipv4, ipv6 = (address.partition("/")[0] for address in (inner.ipv4, inner.ipv6))
    alone = Addresses(f"{ipv4}/32" if ipv4 else "", f"{ipv6}/128" if ipv6 else "", inner.mac)
    return outer._replace(
        host_name=_INNER_SIDE,
        group=0,
        alias="",
        addresses=alone,
        gateway4=ROUTED_GATEWAY4,
        gateway6=ROUTED_GATEWAY6,
        bridge_ifindex=0,
        uplink="",
        hairpin=False,
    )


def _translate(outer: Addresses, inner: Addresses) -> None:
    packet_filter = Nft()
    try:
        packet_filter.run(rules(outer, inner))
    except (NftError, NftUnavailable) as refused:
        raise OSError(f"the translation was refused: {refused}") from refused
    finally:
        packet_filter.close()


def rules(outer: Addresses, inner: Addresses) -> str:
    """Return the translation, in nft's language. A copy that asks for its own outer address gets itself."""
    there, back = [], []
    for family, outside, inside in (("ip", outer.ipv4, inner.ipv4), ("ip6", outer.ipv6, inner.ipv6)):
        if outside and inside:
            out, own = outside.partition("/")[0], inside.partition("/")[0]
            there.append(f"{family} daddr {out} dnat {family} to {own}")
            back.append(f'oifname "{endpoint.INNER_NAME}" {family} saddr {own} snat {family} to {out}')
            back.append(f'oifname "{_INNER_SIDE}" {family} saddr {own} masquerade')
    chains = ("prerouting", "dstnat", there), ("postrouting", "srcnat", back)
    lines = [
        f"chain {hook} {{ type nat hook {hook} priority {priority}; policy accept; {'; '.join(statements)}; }}"
        for hook, priority, statements in chains
        if statements
    ]
    return "\n".join(["table inet limosa {", *lines, "}"])
