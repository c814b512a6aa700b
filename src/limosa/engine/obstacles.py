"""What would stop a checkpoint of a container, found out while it runs: nothing is frozen for it."""

from limosa.engine import ending, lifecycle, volume_commits
from limosa.engine.host import Host
from limosa.model.container import ContainerRecord
from limosa.model.errors import LimosaError
from limosa.model.obstacle import Obstacle, refusal

_UNKNOWN_TO_CRIU = "LIM-CRIU-0"  # what CRIU's own log said; its other errors are of the host


def found(host: Host, record: ContainerRecord, *, thorough: bool = True) -> list[Obstacle]:
    """Return what would stop a checkpoint of a running container, in the order of its processes.

    Without `thorough` only what is quick to see: no sockets, mappings and mounts.
    Raises: LimosaError LIM-CONT-002: it does not run. State: nothing of it changes or stands still.
    """
    lifecycle.require_running(record, "look into")
    first = _now(host, record, thorough=thorough)
    if not first or not thorough:
        return first
    # Files and sockets are not seen at one instant: one that was handed on in between seems to be outside.
    again = _now(host, record, thorough=thorough)
    return [one for one in first if one in again]


def _now(host: Host, record: ContainerRecord, *, thorough: bool) -> list[Obstacle]:
    pids = host.cgroups.processes(record.container_id)
    name = record.config.name
    sessions = host.runtime.sessions(ending.process_of(record), pids)
    hint = f"let it end, or: limosa checkpoint --end-sessions {name}"
    outside = [
        Obstacle("LIM-CRIU-020", one.command, one.inner_pid, "", f"is an exec session: {one.line[:60]}", hint)
        for one in sessions
    ]
    committed = {volume.name for volume in volume_commits.of(host, record.config) if volume.policy == "include"}
    elsewhere = tuple(
        (mount.target, f"the volume {mount.source}" if mount.kind == "volume" else f"the host's {mount.source}")
        for mount in record.config.mounts
        if mount.kind == "bind" or (mount.kind == "volume" and mount.source not in committed)
    )
    return outside + host.checkpointer.obstacles(record.init_pid, pids, thorough=thorough, not_committed=elsewhere)


def refuse(host: Host, record: ContainerRecord) -> None:
    """Raise what a checkpoint would fail with, as far as that is quick to see. LimosaError LIM-CRIU-…."""
    error = refusal(record.config.name, found(host, record, thorough=False))
    if error is not None:
        raise error


def explained(host: Host, record: ContainerRecord, failed: LimosaError) -> LimosaError:
    """Return why a dump failed in the container's own terms: what stands in its way now, with CRIU's word as cause."""
    if not failed.code.startswith(_UNKNOWN_TO_CRIU):
        return failed
    name = record.config.name
    state = f'"{name}" is running; nothing changed'
    try:
        told = refusal(name, found(host, record), failed.cause)
    except LimosaError:  # it has ended meanwhile
        told = None
    if told is None:
        summary = f'cannot checkpoint "{name}": {failed.summary}'
        return LimosaError(failed.code, summary, state=state, cause=failed.cause, hint=failed.hint)
    return told
