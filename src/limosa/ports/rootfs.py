"""The root file system of a container: shared layers below, its own writable files above, ids mapped."""

from typing import Protocol

from limosa.model.ids import ContainerId
from limosa.ports.storage import WritableFiles


class Rootfs(Protocol):
    """Mounted root file systems by container id."""

    def mount(
        self, container_id: ContainerId, layers: tuple[str, ...], writable: WritableFiles, first_host_id: int
    ) -> str:
        """Mount `layers` (lowest first) and `writable` as one tree and return where; ids 0..65535 on disk appear as
        `first_host_id` and up (0: as they are). A tree that is mounted already is returned as it is.

        Raises: LimosaError LIM-ROOT-001: the kernel refused; nothing stays mounted.
        """

    def path(self, container_id: ContainerId) -> str:
        """Return where `mount` mounts it, mounted or not."""

    def read(self, container_id: ContainerId, path: str) -> bytes:
        """Return the content of a file of a mounted tree; no link in it leads out. Raises: OSError."""

    def unmount(self, container_id: ContainerId) -> None:
        """Unmount it. Nothing happens if it is not mounted. Open files of lingering processes keep working."""

    def present(self) -> list[ContainerId]:
        """Return the ids that have something mounted, for `recover`."""
