"""Change what a container may use while it runs, and for its next start."""

from collections.abc import Callable
from contextlib import ExitStack

from limosa.engine import ending, journal
from limosa.engine.host import Host
from limosa.model.container import ContainerConfig, ContainerRecord
from limosa.model.errors import EXIT_USAGE, LimosaError
from limosa.model.ids import ContainerId

Change = Callable[[ContainerConfig], ContainerConfig]
"""From the present configuration to the wanted one."""


def change(host: Host, container_id: ContainerId, wanted: Change) -> ContainerRecord:
    """Make `wanted` hold: now, if the container runs, and from its next start on. All of it or nothing.

    Raises: LimosaError LIM-CGRP-001, LIM-CGRP-002: a limit cannot hold (more memory is in use, …); LIM-STOR-003,
    LIM-STOR-005: the disk cannot have that size; LIM-NET-005, LIM-NET-006: a port; LIM-CONT-022: a disk would go.
    """
    with host.containers.locked(container_id), ExitStack() as undo:
        record = ending.loaded(host, container_id)
        before, after = record.config, wanted(record.config)
        live = record.phase in ending.LIVE
        if live and before.limits._replace(disk_bytes=None) != after.limits._replace(disk_bytes=None):
            undo.callback(host.cgroups.set_limits, container_id, before.limits)
            host.cgroups.set_limits(container_id, after.limits)
        if before.ports != after.ports:
            after = _publish(host, container_id, before, after, undo)
        if before.limits.disk_bytes != after.limits.disk_bytes:
            _resize(host, record, after, undo)
        record = record._replace(config=after)
        host.containers.save(record)
        undo.pop_all()
    journal.note(host, "set", record, ", ".join(_differences(before, after)))
    return record


def _publish(
    host: Host, container_id: ContainerId, before: ContainerConfig, after: ContainerConfig, undo: ExitStack
) -> ContainerConfig:
    undo.callback(host.networks.set_ports, container_id, before.ports)
    return after._replace(ports=host.networks.set_ports(container_id, after.ports))


def _resize(host: Host, record: ContainerRecord, after: ContainerConfig, undo: ExitStack) -> None:
    old, new = record.config.limits.disk_bytes, after.limits.disk_bytes
    if new is None:
        name = record.config.name
        raise LimosaError(
            "LIM-CONT-022",
            f'the disk of "{name}" cannot be taken away',
            hint=f"limosa set --disk SIZE {name} makes it larger",
            exit_status=EXIT_USAGE,
        )
    host.storage.prepare()
    if old is not None:
        undo.callback(host.storage.resize, record.container_id, old)
    host.storage.resize(record.container_id, new)


def _differences(before: ContainerConfig, after: ContainerConfig) -> list[str]:
    limits = [
        f"{name}={value}" for name, value in after.limits._asdict().items() if value != getattr(before.limits, name)
    ]
    if before.ports != after.ports:
        limits.append("ports=" + " ".join(f"{one.host_port}:{one.container_port}" for one in after.ports))
    if before.restart != after.restart:
        limits.append(f"restart={after.restart.when}")
    if before.onboot != after.onboot:
        limits.append(f"onboot={after.onboot}")
    return limits
