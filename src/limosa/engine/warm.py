"""Copies made ahead: restored, told apart from their original, and frozen before an instruction of theirs has run.

A fork that finds one gives it its name and thaws it. Whoever starts or unpauses one takes it, too; one that ends, or
that the machine's reboot ends, is removed.
"""

from limosa.engine import ending, journal, pausing, renaming
from limosa.engine.host import Host
from limosa.model.commit import CommitRecord
from limosa.model.container import ContainerRecord, CopyRequest
from limosa.model.errors import LimosaError
from limosa.model.ids import checked_name


def ready(host: Host, commit_id: str = "") -> list[ContainerRecord]:
    """Return the copies that wait, of one commit or of all, oldest first."""
    waiting = [record for record in host.containers.all() if record.warm_of]
    return [record for record in waiting if not commit_id or record.warm_of == commit_id]


def suits(wanted: CopyRequest) -> bool:
    """Say whether a copy that was made without knowing of `wanted` can be what is wanted."""
    return wanted._replace(name="") == CopyRequest()


def take(host: Host, commit: CommitRecord, waiting: list[ContainerRecord], name: str) -> ContainerRecord | None:
    """Let one of `waiting` go on, under `name` if it is not empty; None if others have taken them all, or they ended.

    Those that were looked at are removed from `waiting`.
    Raises: LimosaError LIM-NAME-001, -002: it cannot have that name; it waits on.
    """
    waiting.sort(key=lambda record: record.config.name != name)  # one has it whose taking was killed
    while waiting:
        container_id = waiting.pop(0).container_id
        try:
            with host.containers.locked(container_id, wait=False):
                record = ending.loaded(host, container_id)
                if record.warm_of == commit.commit_id and record.phase == "paused":
                    record = _let_go(host, record, name)
                    journal.note(host, "fork", record, commit.commit_id)
                    return record
        except BlockingIOError:
            pass
        except LimosaError as gone:
            ending.unless_gone(gone)
    return None


def _let_go(host: Host, record: ContainerRecord, name: str) -> ContainerRecord:
    if name and name != record.config.name:
        record = renaming.renamed(host, record, checked_name(name))
    return pausing.let_go(host, record._replace(started_ns=host.now_ns()))


def drop(host: Host, records: list[ContainerRecord]) -> list[ContainerRecord]:
    """Remove copies that wait, and return those; one that somebody has taken meanwhile runs on."""
    dropped = []
    for known in records:
        try:
            with host.containers.locked(known.container_id):
                record = ending.loaded(host, known.container_id)
                if record.warm_of:
                    ending.erase(host, record)
                    dropped.append(record)
        except LimosaError as gone:
            ending.unless_gone(gone)
    return dropped
