"""Everything that is known about a container, and what it uses now."""

from limosa.engine.host import Host
from limosa.model import codec
from limosa.model.commit_store import container_ref
from limosa.model.container import ContainerRecord, PublishedPort
from limosa.model.errors import LimosaError
from limosa.model.hints import Any
from limosa.model.value import NamedTuple

LIVE = ("running", "paused")


class Sample(NamedTuple):
    """What a container uses; the first four count from its start on."""

    container_id: str
    name: str
    phase: str
    taken_ns: int
    cpu_ns: int = 0
    network_received_bytes: int = 0
    network_sent_bytes: int = 0
    io_read_bytes: int = 0
    io_written_bytes: int = 0
    memory_bytes: int = 0
    memory_limit_bytes: int | None = None
    pids: int = 0
    pids_limit: int | None = None
    oom_kills: int = 0
    disk_bytes: int = 0
    disk_limit_bytes: int | None = None


def sample(host: Host, record: ContainerRecord, disk: tuple[int, int | None] | None = None) -> Sample:
    """Return what a container uses now; `disk` is taken for what its files take, if it is given.

    All zero but the disk for one that does not run.
    """
    taken = Sample(record.container_id, record.config.name, record.phase, host.now_ns())
    if disk is None:
        disk = disk_usage(host, record)
    taken = taken._replace(disk_bytes=disk[0], disk_limit_bytes=disk[1])
    if record.phase not in LIVE:
        return taken
    used = host.cgroups.usage(record.container_id)
    received = sent = 0
    if record.config.network.network != "host":
        received, sent = host.network_records.traffic(record.init_pid)
    return taken._replace(
        taken_ns=host.now_ns(),
        cpu_ns=used.cpu_ns,
        network_received_bytes=received,
        network_sent_bytes=sent,
        io_read_bytes=used.io_read_bytes,
        io_written_bytes=used.io_written_bytes,
        memory_bytes=used.memory_bytes,
        memory_limit_bytes=used.memory_limit_bytes,
        pids=used.pids,
        pids_limit=used.pids_limit,
        oom_kills=used.oom_kills,
    )


def disk_usage(host: Host, record: ContainerRecord) -> tuple[int, int | None]:
    """Return (bytes that its files take, limit); 0 for a container that is being made or removed."""
    try:
        host.storage.prepare()
        found = host.storage.usage(record.container_id)
    except LimosaError:
        return 0, None
    return found.used_bytes, found.limit_bytes


def ports(host: Host, record: ContainerRecord) -> tuple[PublishedPort, ...]:
    """Return the ports that a container publishes, with the host ports that were chosen for it."""
    if not record.config.ports:
        return ()
    found = host.network_records.attachment(record.container_id)
    return record.config.ports if found is None else found.ports


def everything(host: Host, record: ContainerRecord) -> dict[str, Any]:
    """Return the record, ready for JSON, with state, network, mounts and use as they are now."""
    usage = codec.to_jsonable(sample(host, record))
    for known in ("container_id", "name", "phase"):
        del usage[known]
    return {
        **codec.to_jsonable(record),
        "state": _state(record, usage),
        "network": _network(host, record),
        "mounts": _mounts(host, record),
        "usage": usage,
        "rootfs": host.rootfs.path(record.container_id) if record.phase in LIVE else "",
        "commit": _commit(host, record),
    }


def _commit(host: Host, record: ContainerRecord) -> str | None:
    """Return the commit that a container made last or came from; what it descends from is for `log`.

    The ref alone says it. Its other commits are in the packs: to list them takes the store, and grows with the history.
    """
    latest = host.commit_refs.get(container_ref(record.container_id))
    return None if latest is None else latest.hex()


def _state(record: ContainerRecord, usage: dict[str, Any]) -> dict[str, Any]:
    ended = record.exit if record.phase not in LIVE else None
    return {
        "status": record.phase,
        "running": record.phase in LIVE,
        "paused": record.phase == "paused",
        "pid": record.init_pid,
        "exit_status": ended.status if ended else None,
        "oom_killed": ended.oom_killed if ended else usage["oom_kills"] > 0,
        "started_ns": record.started_ns or None,
        "finished_ns": ended.finished_ns if ended else None,
        "restarts": record.restarts,
    }


def _network(host: Host, record: ContainerRecord) -> dict[str, Any]:
    name = record.config.network.network
    known = host.network_records.recorded() if record.config.network.own else []
    found = next((one for one in known if one.name == name), None)
    return {
        "name": name,
        "ipv4": record.addresses.ipv4,
        "ipv6": record.addresses.ipv6,
        "mac": record.addresses.mac,
        "ipv4_gateway": found.ipv4_gateway if found else "",
        "ipv6_gateway": found.ipv6_gateway if found else "",
        "ports": codec.to_jsonable(ports(host, record)),
    }


def _mounts(host: Host, record: ContainerRecord) -> list[dict[str, Any]]:
    if not record.config.mounts:
        return []
    from limosa.engine import mounts

    places = dict(mounts.sources(host, record)) if record.phase in LIVE else {}
    found = []
    for wanted in record.config.mounts:
        directory = wanted.source
        if wanted.kind == "volume":
            try:
                directory = host.volumes.directory(wanted.source)
            except LimosaError:
                directory = ""
        found.append({**codec.to_jsonable(wanted), "host_path": directory, "mounted_at": places.get(wanted.target, "")})
    return found
