"""System containers: the container's first process is the init of its own root file system (docs/adr/0011)."""

from limosa.engine.host import Host
from limosa.model import init
from limosa.model.container import ContainerRecord
from limosa.model.errors import EXIT_NOT_FOUND, LimosaError
from limosa.model.hints import Final
from limosa.model.init import Init
from limosa.ports.runtime import Started

HOSTNAME_FILE: Final = "/etc/hostname"
_MACHINE_ID: Final = "/etc/machine-id"


def init_of(host: Host, record: ContainerRecord) -> Init:
    """Return the init of a system container whose root file system is mounted: the one asked for, or one found.

    Raises: LimosaError LIM-RUN-007: there is none.
    """
    asked = record.config.args
    for path in asked[:1] or init.CANDIDATES:
        resolved = host.rootfs.resolve(record.container_id, path)
        if resolved:
            found = init.recognized(path, resolved, _program(host, record, path))
            return found._replace(argv=asked) if asked else found
    raise LimosaError(
        "LIM-RUN-007",
        f"there is no init in {record.config.oci_image}",
        cause=f"none of {', '.join(asked[:1] or init.CANDIDATES)} is there",
        hint="limosa template build debian:13 makes an image with systemd; without --init it runs a program",
        exit_status=EXIT_NOT_FOUND,
    )


def _program(host: Host, record: ContainerRecord, path: str) -> bytes:
    try:
        return host.rootfs.read(record.container_id, path)
    except OSError:
        return b""


def personalize(host: Host, record: ContainerRecord, hostname: str) -> None:
    """Give a container that never ran its `hostname`, a system container also a machine id of its own.

    An image may carry those of the machine that it was made on. The rootfs is mounted.
    """
    if record.started_ns:
        return
    wanted = [(HOSTNAME_FILE, f"{hostname}\n".encode())]
    if record.config.kind == "system" and (
        init_of(host, record).family == "systemd" or host.rootfs.resolve(record.container_id, _MACHINE_ID)
    ):
        wanted.append((_MACHINE_ID, b""))  # empty: systemd makes it from container_uuid, machine-id(5)
    for path, data in wanted:
        try:
            host.rootfs.write(record.container_id, path, data, record.first_host_id)
        except OSError:
            continue  # an image without /etc, or with something else there, keeps what it has


def furnish(host: Host, record: ContainerRecord, started: Started) -> None:
    """Put into /run what the init of a system container needs there, before it starts."""
    if record.config.kind == "system":
        family = init_of(host, record).family
        files = init.run_files(family, terminal=record.config.terminal)
        host.runtime.furnish(started, record.first_host_id, files)
