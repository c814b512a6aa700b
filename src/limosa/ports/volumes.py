"""Named volumes: directories that containers share and that outlive them."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from limosa.model.hints import Protocol
from limosa.model.volume import Volume


class Volumes(Protocol):
    """Volumes by name. Files are stored under inner ids, as those of containers; the storage is prepared before."""

    def create(self, volume: Volume) -> None:
        """Make an empty volume. Raises: LimosaError LIM-VOL-001: there is one of that name."""

    def find(self, name: str) -> Volume:
        """Return a volume. Raises: LimosaError LIM-VOL-002: there is none."""

    def all(self) -> list[Volume]:
        """Return the volumes by name."""

    def mark_filled(self, name: str) -> None:
        """Remember that a container has had it. Raises: LimosaError LIM-VOL-002."""

    def directory(self, name: str) -> str:
        """Return the directory of its files. Raises: LimosaError LIM-VOL-002."""

    def used_bytes(self, name: str) -> int:
        """Return what its files take. Raises: LimosaError LIM-VOL-002."""

    def remove(self, name: str) -> None:
        """Remove a volume with its files. Raises: LimosaError LIM-VOL-002. The caller knows that nothing uses it."""

    def write_back(self, name: str) -> None:
        """Write what is dirty to the disk, so that `take_snapshot` is quick. Raises: LimosaError LIM-VOL-002."""

    def take_snapshot(self, name: str, label: str) -> None:
        """Keep the files as they are now, read-only, in constant time. `label` is a commit's, and all its volumes'.

        Raises: LimosaError LIM-VOL-002.
        """

    def snapshot(self, name: str, label: str) -> str:
        """Return the directory of a snapshot; the volume need not exist. Raises: KeyError: there is none."""

    def receive_snapshot(self, name: str, label: str, fill: Callable[[str], None]) -> None:
        """Make a snapshot of files that `fill` writes into the directory that it gets. Raises: what `fill` raises."""

    def drop_snapshots(self, label: str) -> None:
        """Remove the snapshots of a commit. Nothing happens if there are none."""

    def revert(self, name: str, label: str) -> None:
        """Make a volume's files those of its snapshot, in one step; what has the volume mounted keeps the old ones.

        Raises: KeyError: there is no such snapshot; LimosaError LIM-VOL-002. Nothing changed.
        """

    def copy(self, name: str, label: str, volume: Volume) -> None:
        """Make a volume with the files of a snapshot of `name`. Raises: as `create`; KeyError: no such snapshot."""

    def locked(self) -> AbstractContextManager[None]:
        """Hold all volumes for one command: between a look at who uses one, and what follows from it."""

    def tidy(self) -> list[str]:
        """Remove what commands that were killed left; return the names of files that belong to no volume.

        The caller holds all volumes.
        """
