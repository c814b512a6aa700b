"""Notes what happened to containers for `limosa events`."""

from collections.abc import Callable

from limosa.model import event
from limosa.model.container import ContainerRecord
from limosa.model.errors import LimosaError
from limosa.model.event import Event
from limosa.model.hints import TYPE_CHECKING, Any
from limosa.model.ids import ContainerId

if TYPE_CHECKING:
    from limosa.engine.host import Host
    from limosa.ports.journal import Journal
    from limosa.ports.records import ContainerRecords


def note(host: "Host", action: str, record: ContainerRecord, detail: str = "") -> None:
    """Add an event about a container."""
    host.journal.append(_about(host.now_ns(), action, record, detail))


def _about(now_ns: int, action: str, record: ContainerRecord, detail: str) -> Event:
    config = record.config
    return Event(now_ns, action, record.container_id, config.name, config.oci_image, detail)


class NotedRecords:
    """The `ContainerRecords` port over another one: what a change of a record means is noted in the journal.

    So a start, an end or a removal is told whichever command it was that found it, and none can forget to.
    """

    def __init__(
        self, records: "ContainerRecords", journal: Callable[[], "Journal"], now_ns: Callable[[], int]
    ) -> None:
        self._records = records
        self._journal = journal
        self._now_ns = now_ns
        self._seen: dict[ContainerId, ContainerRecord] = {}

    def __getattr__(self, name: str) -> Any:
        """Everything else is as it is there."""
        return getattr(self._records, name)

    def add(self, record: ContainerRecord) -> None:
        """See the port."""
        self._records.add(record)
        self._seen[record.container_id] = record

    def load(self, container_id: ContainerId) -> ContainerRecord:
        """See the port."""
        record = self._records.load(container_id)
        self._seen[container_id] = record
        return record

    def save(self, record: ContainerRecord) -> None:
        """See the port."""
        before = self._seen.get(record.container_id)
        if before is None:
            before = self._known(record.container_id)
        self._records.save(record)
        self._seen[record.container_id] = record
        for action, detail in event.happened(before, record):
            self._journal().append(_about(self._now_ns(), action, record, detail))

    def remove(self, container_id: ContainerId) -> None:
        """See the port."""
        before = self._known(container_id)
        self._records.remove(container_id)
        self._seen.pop(container_id, None)
        if before is not None and before.phase != "creating":
            self._journal().append(_about(self._now_ns(), "remove", before, ""))

    def _known(self, container_id: ContainerId) -> ContainerRecord | None:
        try:
            return self._records.load(container_id)
        except LimosaError:
            return None
