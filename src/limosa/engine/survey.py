"""Compare two hosts before a container moves from one to the other."""

import json

from limosa import __version__
from limosa.engine import volume_commits
from limosa.engine.channel_store import expected, not_kept
from limosa.engine.exchange import Peer
from limosa.engine.host import Host
from limosa.model import codec, hosts
from limosa.model.container import ContainerRecord
from limosa.model.errors import LimosaError
from limosa.model.hosts import Facts, Finding, Load
from limosa.model.peer_protocol import Survey, Surveyed


def facts(host: Host, record: ContainerRecord | None, name: str) -> Facts:
    """Return what this host is like for a container that may come to it under `name`."""
    machine = host.machine.facts()
    networks = tuple(
        (one.name, "vxlan" if one.vxlan_hosts else one.kind, one.ipv4_subnet) for one in host.networks.all()
    )
    found = Facts(
        host.peers.own_name(),
        __version__,
        *machine[:6],
        clock_ns=host.now_ns(),
        criu=machine.criu,
        networks=networks,
    )
    if record is None:
        return found
    containers, attached = host.containers.all(), host.networks.attachments()
    others = [one for one in attached if one.container_id != record.container_id]
    wanted = record.addresses.ipv4.partition("/")[0]
    same = [one for one in others if one.network == record.config.network.network]
    ports = {(port.host_port, port.protocol) for one in others for port in one.ports}
    return found._replace(
        container_is_there=any(one.container_id == record.container_id for one in containers),
        name_is_taken=any(one.config.name == name for one in containers),
        address_is_taken=any(one.addresses.ipv4.partition("/")[0] == wanted for one in same) if wanted else False,
        volumes=tuple((one.name, _users(containers, one.name, record)) for one in host.volumes.all()),
        ports_taken=tuple(
            f"{port.host_port}/{port.protocol}"
            for port in record.config.ports
            if (port.host_port, port.protocol) in ports
        ),
    )


def _users(containers: list[ContainerRecord], volume: str, but_for: ContainerRecord) -> str:
    return ", ".join(
        one.config.name
        for one in containers
        if one.container_id != but_for.container_id
        and any(mount.kind == "volume" and mount.source == volume for mount in one.config.mounts)
    )


def answer(host: Host, peer: Peer, message: Survey) -> None:
    """Tell a peer what this host is like."""
    record = None
    if message.container:
        try:
            record = codec.from_jsonable(ContainerRecord, json.loads(message.container))
        except (ValueError, RecursionError) as damage:
            raise not_kept(peer.connection, f"a container that cannot be: {damage}") from damage
    peer.connection.send(Surveyed(json.dumps(codec.to_jsonable(facts(host, record, message.name)))))


def compare(host: Host, peer: Peer, record: ContainerRecord, name: str, *, keep_connections: bool) -> list[Finding]:
    """Return what keeps a container from moving to a peer, and what is to be known before.

    Raises: LimosaError LIM-PEER-003, -004.
    """
    peer.connection.send(Survey(json.dumps(codec.to_jsonable(record)), name))
    said = expected(peer.connection, Surveyed, limit_s=120)
    assert isinstance(said, Surveyed)
    try:
        there = codec.from_jsonable(Facts, json.loads(said.facts))
    except (ValueError, RecursionError) as damage:
        raise not_kept(peer.connection, str(damage)) from damage
    host.storage.prepare()
    load = Load(
        host.cgroups.usage(record.container_id).memory_bytes,
        host.storage.usage(record.container_id).used_bytes,
        volume_commits.of(host, record.config),
    )
    here = facts(host, None, "")
    there = there._replace(host=peer.connection.name, clock_ns=there.clock_ns)
    return hosts.findings(record.config, load, here, there, name=name, keep_connections=keep_connections)


def require(found: list[Finding], record: ContainerRecord, where: str) -> None:
    """Raise LimosaError LIM-MIG-012 with everything that stands in the way, if anything does."""
    stops = [finding for finding in found if finding.severity == "stops"]
    if stops:
        hints = [one.hint for one in stops if one.hint]
        if all(one.live_only for one in stops):
            hints.append("--fallback near-live: it is stopped, and started there")
        raise LimosaError(
            "LIM-MIG-012",
            f'"{record.config.name}" cannot move to {where}',
            state=f'"{record.config.name}" runs here as before; nothing was sent',
            cause="; ".join(one.what for one in stops),
            hint="; ".join(hints),
        )
