"""What a container is given from the host: binds, named volumes and devices, each with its ids mapped."""

from collections.abc import Iterator
from contextlib import contextmanager

from limosa.engine.host import Host
from limosa.model.container import ContainerConfig, ContainerRecord, Mount
from limosa.model.devices import DEVICES
from limosa.model.hints import Final, Literal
from limosa.model.ids import ContainerId
from limosa.model.volume import Volume
from limosa.ports.container_files import Placed
from limosa.ports.runtime import SYSFS

_SYSFS_NAME: Final = "sysfs"


def sources(host: Host, record: ContainerRecord) -> tuple[tuple[str, str], ...]:
    """Return (place inside, where on the host) of each bind and volume, and of the host's own sysfs if it is wanted."""
    found = [(wanted.target, host.rootfs.bound(record.container_id, name)) for name, wanted in _binds(record)]
    if _with_hosts_sysfs(record):
        found.insert(0, (SYSFS, host.rootfs.bound(record.container_id, _SYSFS_NAME)))
    return tuple(found)


def placed(host: Host, record: ContainerRecord) -> tuple[Placed, ...]:
    """Return each bind and volume of a container whose rootfs is mounted and has them attached."""
    of_host = {name: host.rootfs.bound(record.container_id, name) for name, _ in _binds(record)}
    return tuple(Placed(wanted.target, of_host[name], wanted.read_only) for name, wanted in _binds(record))


def _with_hosts_sysfs(record: ContainerRecord) -> bool:
    """Say whether the container sees the host's sysfs: it belongs to the owner of the network namespace."""
    return record.config.network.network == "host"


def device_nodes(host: Host, record: ContainerRecord) -> tuple[tuple[str, str], ...]:
    """Return (path inside, where on the host) of each device."""
    return tuple(
        (DEVICES[name][0], host.rootfs.node(record.container_id, name))
        for name in record.config.devices
        if name in DEVICES
    )


def _binds(record: ContainerRecord) -> list[tuple[str, Mount]]:
    return [(str(index), wanted) for index, wanted in enumerate(record.config.mounts) if wanted.kind != "tmpfs"]


@contextmanager
def declared(host: Host, container_id: ContainerId, config: ContainerConfig) -> Iterator[None]:
    """Make the volumes that `config` names and that are missing, and let none go for the time of the block.

    The container's record is saved in the block: anonymous volumes are made after it, and go with it after a crash.
    """
    names = list(dict.fromkeys(wanted.source for wanted in config.mounts if wanted.kind == "volume"))
    if not names:
        yield
        return
    with host.volumes.locked():
        known = {volume.name for volume in host.volumes.all()}
        missing = [name for name in names if name not in known]
        for name in missing:
            if not name.startswith(_anonymous(container_id)):
                host.volumes.create(Volume(name, host.now_ns()))
        yield
        for name in missing:
            if name.startswith(_anonymous(container_id)):
                host.volumes.create(Volume(name, host.now_ns(), of=container_id))


def complete(config: ContainerConfig, container_id: ContainerId, of_image: tuple[str, ...]) -> ContainerConfig:
    """Return the configuration with the volumes `of_image` as it wants them, and names for those that have none."""
    found = list(config.mounts)
    taken = {wanted.target.rstrip("/") for wanted in found}
    if config.image_volumes != "own":
        kind: Literal["tmpfs", "volume"] = "tmpfs" if config.image_volumes == "tmpfs" else "volume"
        found += [Mount(kind, "", place) for place in of_image if place.rstrip("/") not in taken]
    prefix = _anonymous(container_id)
    for index, wanted in enumerate(found):
        if wanted.kind == "volume" and not wanted.source:
            found[index] = wanted._replace(source=f"{prefix}{index}")
    return config._replace(mounts=tuple(found))


def _anonymous(container_id: ContainerId) -> str:
    return f"{container_id}-"


def attach(host: Host, record: ContainerRecord) -> None:
    """Bring all of it to where the bundle expects it; the rootfs is mounted, and takes it along when it is unmounted.

    Raises: LimosaError LIM-VOL-002: a volume is gone; LIM-VOL-004: a bind's source is not there, LIM-VOL-005: its file
    system cannot map ids.
    """
    container_id, first = record.container_id, record.first_host_id
    if _with_hosts_sysfs(record):
        # Without what is mounted below: criu, inside the user namespace, could not bind it by itself again.
        host.rootfs.bind(container_id, _SYSFS_NAME, SYSFS, 0, alone=True)
    for name, wanted in _binds(record):
        source = host.volumes.directory(wanted.source) if wanted.kind == "volume" else wanted.source
        mapped = "noidmap" not in wanted.options
        host.rootfs.bind(container_id, name, source, first if mapped else 0)
        if wanted.kind == "volume" and not host.volumes.find(wanted.source).filled:
            with host.volumes.locked():
                if not host.volumes.find(wanted.source).filled:
                    host.rootfs.copy_out(container_id, wanted.target, name)
                    host.volumes.mark_filled(wanted.source)
    if record.config.devices:
        nodes = [(name, *DEVICES[name][1:]) for name in record.config.devices if name in DEVICES]
        host.rootfs.make_nodes(container_id, tuple(nodes), first)
