"""Named volumes: directories that containers share and that outlive them."""

from contextlib import AbstractContextManager
from typing import Protocol

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

    def locked(self) -> AbstractContextManager[None]:
        """Hold all volumes for one command: between a look at who uses one, and what follows from it."""

    def tidy(self) -> list[str]:
        """Remove what commands that were killed left; return the names of files that belong to no volume.

        The caller holds all volumes.
        """
