"""Where the writable files of containers live, and how they are copied in constant time."""

from collections.abc import Callable

from limosa.model.hints import Protocol
from limosa.model.ids import ContainerId
from limosa.model.value import NamedTuple


class WritableFiles(NamedTuple):
    """The two directories that overlayfs needs, on one file system, owned by inner id 0 = host id 0.

    Files are stored under the container's *inner* ids; the mount maps them (idmapped mount), so that a copy
    for a container with other host ids needs no chown.
    """

    upper: str
    work: str


class StorageUsage(NamedTuple):
    """Bytes that the files take, and the limit (None: only the pool's size)."""

    used_bytes: int
    limit_bytes: int | None


class Storage(Protocol):
    """Writable files per container. Every method may be repeated after a crash; the result is the same."""

    def prepare(self) -> None:
        """Make the pool usable: create and mount what is missing. Cheap when everything is there.

        Raises: LimosaError LIM-STOR-001: no file system with constant-time copies can be had here.
        """

    def create(self, container_id: ContainerId, disk_bytes: int | None) -> WritableFiles:
        """Make empty writable files for a container. With `disk_bytes`, more than that is ENOSPC inside.

        Raises: LimosaError LIM-STOR-002: the pool is full; LIM-STOR-005: no file system is as small as `disk_bytes`;
        nothing is left of the attempt.
        """

    def locate(self, container_id: ContainerId) -> WritableFiles:
        """Return the directories of a container that exists, mounting its disk if it has one and it is not mounted.

        The files are in use from now on until `release` or the machine's next start.
        Raises: LimosaError LIM-STOR-006: there are no such files.
        """

    def release(self, container_id: ContainerId) -> None:
        """Undo what `locate` and `snapshot` mounted. The files stay. Nothing happens if nothing was mounted.

        A disk that something still uses is closed by its last user.
        """

    def write_back(self, container_id: ContainerId) -> None:
        """Write what is dirty in the container's files to the disk, so that `take_snapshot` soon after is quick.

        To be called before the container's processes are frozen. Nothing is kept.
        """

    def take_snapshot(self, container_id: ContainerId, label: str) -> None:
        """Keep the files as they are now, read-only, under `label`; an earlier snapshot of that label is replaced.

        Takes the same time for 10 GB as for 10 MB, apart from writing back what is dirty. Memory-mapped stores made
        before the call are in it. The caller has the container's processes frozen. Snapshots count against the
        pool, never against the container's own limit.
        Raises: LimosaError LIM-STOR-002: the pool is full.
        """

    def snapshot(self, container_id: ContainerId, label: str) -> str:
        """Return the directory of a snapshot's files (its upper), mounting the disk in it if it has one.

        `release` unmounts it. Raises: KeyError: there is no such snapshot.
        """

    def receive_snapshot(
        self, container_id: ContainerId, label: str, disk_bytes: int | None, fill: Callable[[str], None]
    ) -> None:
        """Make a snapshot whose files come from elsewhere: `fill` writes them into the empty directory that it gets.

        The container's own files need not be there. Another command that receives files of this container is waited
        for; if it made this snapshot, `fill` is not called.
        Raises: what `fill` raises, and as `create`; nothing is left of the attempt.
        """

    def drop_snapshot(self, container_id: ContainerId, label: str) -> None:
        """Remove a snapshot; nothing happens if it is not there."""

    def clone(self, source: ContainerId, label: str, target: ContainerId, disk_bytes: int | None) -> WritableFiles:
        """Make `target`'s files a writable copy of a snapshot of `source`, with an empty work directory.

        Takes constant time if both or neither have a disk; else the files are copied one by one.
        Raises: KeyError: there is no such snapshot. LimosaError LIM-STOR-003: the files do not fit in `disk_bytes`;
        nothing is left of the attempt. LIM-STOR-002: the pool is full.
        """

    def revert(self, container_id: ContainerId, label: str) -> WritableFiles:
        """Make the container's own files, and the size of its disk, those of the snapshot again.

        The caller has unmounted the rootfs. It happens in one step: a crash leaves the files before or after.
        Raises: KeyError: there is no such snapshot; nothing changed.
        """

    def resize(self, container_id: ContainerId, disk_bytes: int) -> None:
        """Change the disk limit of a running or stopped container.

        A container without a disk gets one, and its files are moved there, while they are not in use.
        Raises: LimosaError LIM-STOR-003: more is in use than the new limit, or it has no disk of its own and its
        files are in use; LIM-STOR-005: no file system is that small.
        """

    def usage(self, container_id: ContainerId) -> StorageUsage:
        """Return what the files take now; with a disk, all that its file system takes."""

    def destroy(self, container_id: ContainerId) -> None:
        """Remove a container's files and snapshots. Nothing happens if they are gone."""

    def discard_files(self, container_id: ContainerId) -> bool:
        """Remove the files of what is no container (any more), and say whether there were any; its snapshots stay.

        A snapshot that another command is receiving is waited for.
        """

    def snapshots(self, container_id: ContainerId) -> list[str]:
        """Return the labels of a container's snapshots."""

    def present(self) -> list[ContainerId]:
        """Return the ids that have files or snapshots here, for `recover` to compare with the records."""

    def close(self) -> None:
        """Unmount the pool; `prepare` brings it back. Nothing happens while something uses it."""
