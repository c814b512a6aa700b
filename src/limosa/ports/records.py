"""What limosa remembers: containers, their names and id ranges."""

from contextlib import AbstractContextManager

from limosa.model.container import ContainerRecord
from limosa.model.hints import Protocol
from limosa.model.ids import ContainerId


class ContainerRecords(Protocol):
    """The records of one limosa root. A record is replaced in one step and is on disk when the method returns.

    That of a container that goes with its program (`remove_when_stopped`) survives the death of any process, but not
    always the machine's: there may be no record of it then, and no program either.
    """

    def add(self, record: ContainerRecord) -> None:
        """Keep a new record and take its name. Raises: LimosaError LIM-NAME-002: the name is in use."""

    def save(self, record: ContainerRecord) -> None:
        """Replace a record. The caller holds its lock."""

    def rename(self, record: ContainerRecord, name: str) -> ContainerRecord:
        """Give a container another name and return its record; the caller holds its lock.

        A crash leaves the container with the old name or the new one; `recover` gives the other back.
        Raises: LimosaError LIM-NAME-002: the name is in use.
        """

    def load(self, container_id: ContainerId) -> ContainerRecord:
        """Return a record. Raises: LimosaError LIM-NAME-003: there is none."""

    def find(self, reference: str) -> ContainerRecord:
        """Return the record that a name, an id or an unambiguous abbreviation of one means.

        Raises: LimosaError LIM-NAME-003: none; LIM-NAME-004: several.
        """

    def all(self) -> list[ContainerRecord]:
        """Return every record, oldest first."""

    def remove(self, container_id: ContainerId) -> None:
        """Forget a container and give its name and id range back. Nothing happens if it is gone."""

    def locked(
        self, container_id: ContainerId, *, create: bool = False, wait: bool = True
    ) -> AbstractContextManager[None]:
        """Hold the container for one command; waits for another command that has it.

        `create` is for an id that has no record yet: it is held before anybody can see it. Raises: LimosaError
        LIM-NAME-003: there is no container; BlockingIOError: another command has it (only without `wait`).
        """

    def watched(self, container_id: ContainerId) -> AbstractContextManager[None]:
        """Keep the container from being removed by itself as long as somebody wants to know how it ended.

        Any number may watch. Raises: LimosaError LIM-NAME-003.
        """

    def unwatched(self, container_id: ContainerId) -> None:
        """Return when nobody watches the container, or it is gone."""

    def is_watched(self, container_id: ContainerId) -> bool:
        """Say whether somebody watches the container."""

    def sweep(self, container_id: ContainerId) -> None:
        """Remove files that a dead command left unfinished; the caller holds the container's lock.

        A name or an id range that the record has and that a loss of power took is the container's again.
        """

    def sweep_strays(self) -> list[str]:
        """Remove what belongs to no record (a container half made or half removed), and return a line for each."""

    def take_id_range(self, container_id: ContainerId) -> int:
        """Return the first of 65536 host ids that no other container of this root has, until `remove`.

        The container has a record. No other record is read, however many there are. A container that lasts keeps its
        range through a loss of power; `sweep` gives it what is left of it back whole.
        """
