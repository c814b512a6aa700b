"""The journal of migrations: what each side has promised."""

from contextlib import AbstractContextManager

from limosa.model.hints import Protocol
from limosa.model.migration import MigrationEntry


class Migrations(Protocol):
    """Entries of one limosa root, by the migration's id."""

    def write(self, entry: MigrationEntry) -> None:
        """Have an entry on disk, in place of an earlier one; with the phase "" have none any more.

        When this returns it outlives the machine's own crash.
        """

    def load(self, migration_id: str) -> MigrationEntry | None:
        """Return an entry, None if there is none."""

    def all(self) -> list[MigrationEntry]:
        """Return every entry, oldest first."""

    def sweep(self) -> None:
        """Remove what dead processes left beside the entries."""

    def busy(self, migration_id: str) -> bool:
        """Say whether a process works at a migration."""

    def locked(self, migration_id: str, wait_s: float = 0.0) -> AbstractContextManager[None]:
        """Be the one process that works at a migration, for the time of a `with` block.

        Raises: BlockingIOError: another one does, after `wait_s`; ValueError: that is no migration's id.
        """
