"""How a container comes to be: what its image says, name, ids, files and addresses. `lifecycle` starts it."""

from contextlib import ExitStack

from limosa.engine import bundle, ending, inspection, mounts, volumes
from limosa.engine.ending import networked
from limosa.engine.host import Host
from limosa.model.container import ContainerConfig, ContainerRecord
from limosa.model.errors import LimosaError
from limosa.model.ids import ContainerId, Digest
from limosa.model.oci import KIND_LABEL, is_init


def create(
    host: Host,
    config: ContainerConfig,
    entrypoint: tuple[str, ...] | None = None,
    watch: ExitStack | None = None,
    *,
    to_start: bool = False,
) -> ContainerRecord:
    """Make a container that does not run yet; `entrypoint` (None: the image's own) comes before its arguments.

    `watch` goes on watching it (see `ContainerRecords.watched`). With `to_start`, its monitor comes up meanwhile: this
    process starts the container next.
    Raises: LimosaError: the image is missing, the name or a port is in use, …; nothing is left of the attempt.
    """
    container_id = host.new_id()
    config, layers = _complete(host, config, container_id, entrypoint)
    host.storage.prepare()
    with host.containers.locked(container_id, create=True), ExitStack() as undo:
        undo.callback(host.containers.remove, container_id)
        record = ContainerRecord(container_id, config, "creating", host.now_ns(), 0, layers)
        undo.callback(volumes.remove_anonymous, host, record)
        with mounts.declared(host, container_id, config):
            add(host, record)
        if watch is not None:
            watch.enter_context(host.containers.watched(container_id))
        if to_start:
            undo.callback(host.runtime.delete, container_id)
            host.runtime.begin(container_id, config)
        record = with_id_range(host, record)
        undo.callback(host.storage.destroy, container_id)
        host.storage.create(container_id, config.limits.disk_bytes)
        if networked(config):
            undo.callback(host.networks.forget, container_id)
            addresses = host.networks.reserve(
                *(container_id, config.name, config.network, config.ports, bundle.hostname(record)),
                passing=config.remove_when_stopped,
            )
            chosen = inspection.ports(host, record)
            record = record._replace(addresses=addresses, config=config._replace(ports=chosen))
        record = record._replace(phase="created")
        host.containers.save(record)
        undo.pop_all()
    return record


def with_id_range(host: Host, record: ContainerRecord) -> ContainerRecord:
    """Return a new record with ids of the host that no other container has; none for a privileged one.

    Raises: LimosaError LIM-NAME-006: none are left.
    """
    if record.config.security.privileged:
        return record._replace(first_host_id=0)
    return record._replace(first_host_id=host.containers.take_id_range(record.container_id))


def _complete(
    host: Host, config: ContainerConfig, container_id: ContainerId, entrypoint: tuple[str, ...] | None
) -> tuple[ContainerConfig, tuple[Digest, ...]]:
    """Return the configuration with what the image says where the owner said nothing, and the image's layers."""
    oci_image = host.oci_images.resolve(config.oci_image)
    of_system = dict(oci_image.labels).get(KIND_LABEL) == "system"
    if not config.args and not entrypoint and of_system and is_init((*oci_image.entrypoint, *oci_image.cmd)):
        config = config._replace(kind="system")
    command = config.args
    if config.kind == "app":
        command = command or (oci_image.cmd if entrypoint is None else ())
        command = (*(oci_image.entrypoint if entrypoint is None else entrypoint), *command)
    if not command and config.kind == "app":
        raise LimosaError(
            "LIM-CONT-001",
            f"there is nothing to run in {config.oci_image}",
            cause="neither the image nor the command line names a command",
            hint=f"limosa run {config.oci_image} COMMAND",
        )
    env = {**dict(oci_image.env), **dict(config.env)}
    config = config._replace(
        args=command,
        env=tuple(env.items()),
        labels=tuple({**dict(oci_image.labels), **dict(config.labels)}.items()),
        name=config.name or f"c-{container_id[:8]}",
        user=config.user or ("" if config.kind == "system" else oci_image.user),
        # What is built on a template inherits its label, and a signal that only an init understands.
        stop_signal=config.stop_signal or ("" if config.kind == "system" or of_system else oci_image.stop_signal),
        cwd=config.cwd if config.cwd not in ("", "/") else oci_image.cwd or "/",
    )
    return mounts.complete(config, container_id, oci_image.volumes), oci_image.layers


def add(host: Host, record: ContainerRecord) -> None:
    """Keep a new record; a half made or half removed container of a dead command does not keep its name from it.

    Raises: LimosaError LIM-NAME-002: the name is in use.
    """
    try:
        host.containers.add(record)
    except LimosaError as taken:
        if taken.code != "LIM-NAME-002" or not _was_leftover(host, record.config.name):
            raise
        host.containers.add(record)


def _was_leftover(host: Host, name: str) -> bool:
    """Remove the container that has a name if the command that makes or removes it is dead; say whether it was so."""
    try:
        holder = host.containers.find(name)
        if holder.phase not in ("creating", "removing"):
            return False
        with host.containers.locked(holder.container_id, wait=False):
            return ending.in_order(host, host.containers.load(holder.container_id)) is None
    except LimosaError as gone:
        ending.unless_gone(gone)
        return True
    except BlockingIOError:
        return False
