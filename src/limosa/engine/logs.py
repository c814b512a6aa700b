"""What a container printed."""

from collections.abc import Iterator

from limosa.engine import ending
from limosa.engine.host import Host
from limosa.model.console_log import Entry
from limosa.model.container import ContainerRecord
from limosa.model.errors import LimosaError
from limosa.ports.runtime import Started

_ALIVE = ("running", "paused", "starting", "stopping", "restarting")


def entries(host: Host, record: ContainerRecord, *, follow: bool) -> Iterator[Entry | None]:
    """Return what a container printed, oldest first, and with `follow` what it prints until it has ended.

    None means that there is nothing more for now.
    """
    container_id = record.container_id
    if not follow:
        yield from host.runtime.log(container_id)
        yield None
        return

    def started_of() -> Started | None:
        try:
            now = host.containers.load(container_id)
        except LimosaError as gone:
            if gone.code != "LIM-NAME-003":
                raise
            return None
        return ending.process_of(now) if now.phase in _ALIVE else None

    yield from host.runtime.follow_log(container_id, started_of)
