"""Named volumes: make, list, remove."""

from limosa.engine.host import Host
from limosa.model.container import ContainerRecord
from limosa.model.errors import LimosaError
from limosa.model.ids import checked_name
from limosa.model.volume import Policy, Volume


def create(host: Host, name: str, policy: Policy, labels: tuple[tuple[str, str], ...]) -> Volume:
    """Make a volume; without a name one is made up.

    Raises: LimosaError LIM-NAME-001: that is no name; LIM-VOL-001: there is one; LIM-STOR-001: no pool can be had.
    """
    volume = Volume(checked_name(name or f"v-{host.new_id()[:12]}", "volume"), host.now_ns(), policy, labels)
    host.storage.prepare()
    with host.volumes.locked():
        host.volumes.create(volume)
    return volume


def users(host: Host) -> dict[str, list[str]]:
    """Return the names of the containers that have each volume."""
    found: dict[str, list[str]] = {}
    for record in host.containers.all():
        for name in dict.fromkeys(mount.source for mount in record.config.mounts if mount.kind == "volume"):
            found.setdefault(name, []).append(record.config.name)
    return found


def remove(host: Host, name: str) -> None:
    """Remove a volume. Raises: LimosaError LIM-VOL-002: there is none; LIM-VOL-003: a container has it."""
    host.storage.prepare()
    with host.volumes.locked():
        host.volumes.find(name)
        having = users(host).get(name, [])
        if having:
            raise LimosaError(
                "LIM-VOL-003",
                f"the volume {name!r} is in use",
                cause=f"containers have it: {', '.join(having)}",
                hint=f"limosa rm {' '.join(having)} first",
            )
        host.volumes.remove(name)


def remove_anonymous(host: Host, record: ContainerRecord) -> None:
    """Remove the volumes that were made for a container and that no other one, such as a copy of it, has."""
    own = {mount.source for mount in record.config.mounts if mount.kind == "volume"}
    if not any(name.startswith(record.container_id) for name in own):
        return
    host.storage.prepare()
    with host.volumes.locked():
        having = users(host)
        for volume in host.volumes.all():
            others = [name for name in having.get(volume.name, []) if name != record.config.name]
            if volume.of == record.container_id and not others:
                host.volumes.remove(volume.name)


def prune(host: Host) -> list[str]:
    """Remove every volume that no container has, and return their names."""
    host.storage.prepare()
    with host.volumes.locked():
        having = users(host)
        unused = [volume.name for volume in host.volumes.all() if volume.name not in having]
        for name in unused:
            host.volumes.remove(name)
    return unused
