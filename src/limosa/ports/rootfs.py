"""The root file system of a container: shared layers below, its own writable files above, ids mapped."""

from limosa.model.hints import Protocol
from limosa.model.ids import ContainerId
from limosa.ports.storage import WritableFiles


class Rootfs(Protocol):
    """Mounted root file systems by container id."""

    def mount(
        self,
        container_id: ContainerId,
        layers: tuple[str, ...],
        writable: WritableFiles,
        first_host_id: int,
        device_number: int = 0,
        *,
        awaited: bool = True,
    ) -> str:
        """Mount `layers` (lowest first) and `writable` as one tree and return where; ids 0..65535 on disk appear as
        `first_host_id` and up (0: as they are). A tree that is mounted already is returned as it is.

        Programs see the tree's files on the device `device_number` if nothing that is mounted has that number;
        `awaited`: what had it may just be going, and is waited for, half a second.

        Raises: LimosaError LIM-ROOT-001: the kernel refused; nothing stays mounted.
        """

    def device_number(self, container_id: ContainerId) -> int:
        """Return the number of the device that programs see a mounted tree's files on (`st_dev` of stat(2))."""

    def path(self, container_id: ContainerId) -> str:
        """Return where `mount` mounts it, mounted or not."""

    def read(self, container_id: ContainerId, path: str) -> bytes:
        """Return the content of a file of a mounted tree; no link in it leads out. Raises: OSError."""

    def bind(
        self, container_id: ContainerId, name: str, source: str, first_host_id: int, *, alone: bool = False
    ) -> str:
        """Bind a file or directory of the host, with what is mounted below it unless `alone`, to the place `name`.

        Ids 0..65535 on disk appear as `first_host_id` and up (0: as they are). Returns `bound(…)`.
        Raises: LimosaError LIM-VOL-004: `source` is not there; LIM-VOL-005: a file system cannot map ids.
        """

    def bound(self, container_id: ContainerId, name: str) -> str:
        """Return where `bind` brings `name`, whether it was called or not."""

    def copy_out(self, container_id: ContainerId, path: str, name: str) -> None:
        """Copy what the mounted tree has in its directory `path`, if it has one, into the bound directory `name`.

        No link in the tree leads out of it. Raises: LimosaError LIM-VOL-006: it cannot be copied.
        """

    def make_nodes(
        self, container_id: ContainerId, nodes: tuple[tuple[str, int, int], ...], first_host_id: int
    ) -> None:
        """Make character devices (name, major, minor) for the container's root, who is `first_host_id`."""

    def node(self, container_id: ContainerId, name: str) -> str:
        """Return where `make_nodes` makes `name`."""

    def resolve(self, container_id: ContainerId, path: str) -> str:
        """Return the path inside that `path` of a mounted tree leads to by links; "" if there is no such file."""

    def write(self, container_id: ContainerId, path: str, data: bytes, owner_id: int) -> None:
        """Give a file of a mounted tree this content; a new one belongs to host id `owner_id` and all may read it.

        Raises: OSError: its directory is missing, or it is no regular file; nothing changed.
        """

    def rewrite(self, container_id: ContainerId, path: str, data: bytes) -> None:
        """Replace the content of a regular file that is there; no link in it leads out. Raises: OSError."""

    def unmount(self, container_id: ContainerId) -> None:
        """Unmount it with all binds and nodes. Nothing happens if it is not mounted.

        Open files of lingering processes keep working.
        """

    def present(self) -> list[ContainerId]:
        """Return the ids that have something mounted, for `recover`."""
