"""Pause and unpause: every process of a container stands still, and goes on where it was."""

from limosa.engine import ending, journal
from limosa.engine.host import Host
from limosa.model.container import ContainerRecord
from limosa.model.errors import LimosaError, words_of
from limosa.model.hints import Final
from limosa.model.ids import ContainerId

_FREEZE_SECONDS: Final = 10.0


def pause(host: Host, container_id: ContainerId) -> ContainerRecord:
    """Freeze a running container. A paused one stays as it is.

    Raises: LimosaError LIM-CONT-002: it does not run; LIM-CONT-020: a process would not stand still; it runs on then.
    """
    with host.containers.locked(container_id):
        record = ending.loaded(host, container_id)
        name = record.config.name
        if record.phase not in ending.LIVE:
            raise LimosaError(
                "LIM-CONT-002",
                f'cannot pause "{name}": it does not run',
                state=f'"{name}" is {record.phase}; nothing changed',
                hint=f"limosa start {name}",
            )
        if record.phase == "paused":
            return record
        return stand_still(host, record)


def stand_still(host: Host, record: ContainerRecord) -> ContainerRecord:
    """Pause a running container, whose lock the caller holds, and return its record. Raises: as `pause`."""
    # The record first: whoever finds it "paused" thaws, which is harmless; a frozen "running" one would hang them.
    paused = record._replace(phase="paused")
    host.containers.save(paused)
    try:
        freeze(host, record)
    except LimosaError:
        host.containers.save(record._replace(phase="running"))
        raise
    journal.note(host, "pause", paused)
    return paused


def freeze(host: Host, record: ContainerRecord) -> None:
    """Freeze a container's processes. Raises: LimosaError LIM-CONT-020: one would not stand still; all run on then."""
    try:
        host.cgroups.freeze(record.container_id, _FREEZE_SECONDS)
    except (TimeoutError, LimosaError) as failed:
        raise LimosaError(
            "LIM-CONT-020",
            f'cannot pause "{record.config.name}"',
            state=f'"{record.config.name}" is {record.phase}; nothing changed',
            cause=words_of(failed),
            hint="a process waits in the kernel, for a disk or a server of files; try again when it has its answer",
        ) from failed


def let_go(host: Host, record: ContainerRecord) -> ContainerRecord:
    """Let a paused container go on, whose lock the caller holds, and return its record."""
    host.cgroups.thaw(record.container_id)
    record = record._replace(phase="running", held=False, warm_of="")
    host.containers.save(record)
    journal.note(host, "unpause", record)
    return record


def unpause(host: Host, container_id: ContainerId) -> ContainerRecord:
    """Let a paused container go on. Raises: LimosaError LIM-CONT-021: it is not paused."""
    with host.containers.locked(container_id):
        record = ending.loaded(host, container_id)
        if record.phase != "paused":
            name = record.config.name
            raise LimosaError(
                "LIM-CONT-021",
                f'cannot unpause "{name}": it is not paused',
                state=f'"{name}" is {record.phase}; nothing changed',
                hint="limosa ps -a shows what is paused",
            )
        return let_go(host, record)
