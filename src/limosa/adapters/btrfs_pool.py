"""The `Storage` port: one btrfs subvolume per container and per snapshot.

    <root>/pool.btrfs             a sparse file, where the root's own file system is not btrfs
    <root>/storage/               the pool
        containers/<id>/          a subvolume: upper/ and work/ of the container's overlay
        snapshots/<id>/<label>/   read-only subvolumes

Files are owned by the container's inner ids; the mount maps them. See docs/adr/0006.
"""

import errno
import os
from typing import Final

from limosa.linux import btrfs, flock, mount, process
from limosa.model.errors import LimosaError
from limosa.model.ids import ContainerId
from limosa.ports.storage import StorageUsage, WritableFiles

_SHARE_OF_FREE: Final = 0.9
_LEAST_BYTES: Final = 1 << 30


class BtrfsPool:
    """Writable files in a pool of btrfs subvolumes."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._pool = f"{root}/storage"

    def prepare(self) -> None:
        """See the port."""
        if os.path.isdir(f"{self._pool}/containers") and self._usable():
            return
        os.makedirs(self._pool, mode=0o700, exist_ok=True)
        with flock.locked(f"{self._root}/pool.lock"):
            if not self._usable():
                self._mount_loop_file()
            for name in ("containers", "snapshots"):
                os.makedirs(f"{self._pool}/{name}", mode=0o711, exist_ok=True)

    def _usable(self) -> bool:
        return btrfs.is_btrfs(self._pool)

    def _mount_loop_file(self) -> None:
        path = f"{self._root}/pool.btrfs"
        try:
            if not os.path.exists(path):
                self._format(path)
            process.run(["mount", "-o", "loop,noatime", path, self._pool])
        except (process.CommandFailed, OSError) as failed:
            raise LimosaError(
                "LIM-STOR-001",
                "there is no file system for containers whose copies take constant time",
                cause=str(failed),
                hint="limosa doctor shows what is missing; or put --root on a btrfs file system",
            ) from failed

    def _format(self, path: str) -> None:
        free = os.statvfs(self._root)
        size = max(_LEAST_BYTES, int(free.f_bavail * free.f_frsize * _SHARE_OF_FREE))
        unfinished = f"{path}.new"
        with open(unfinished, "wb") as file:
            file.truncate(size)
        process.run(["mkfs.btrfs", "--quiet", "--force", "--label", "limosa", unfinished])
        os.replace(unfinished, path)

    def _place(self, container_id: ContainerId) -> str:
        return f"{self._pool}/containers/{container_id}"

    def _snapshot_place(self, container_id: ContainerId, label: str) -> str:
        return f"{self._pool}/snapshots/{container_id}/{label}"

    def create(self, container_id: ContainerId, disk_bytes: int | None) -> WritableFiles:
        """See the port."""
        if disk_bytes is not None:
            raise LimosaError(
                "LIM-STOR-004", "a disk limit is not available in this version", hint="leave --disk out", exit_status=2
            )
        place = self._place(container_id)
        try:
            if not os.path.isdir(place):
                btrfs.create_subvolume(place)
            for name in ("upper", "work"):
                os.makedirs(f"{place}/{name}", mode=0o755, exist_ok=True)
        except OSError as failed:
            self.destroy(container_id)
            raise LimosaError(
                "LIM-STOR-002",
                "the container's files cannot be made",
                cause=str(failed),
                hint="remove containers or commits that are no longer needed, or enlarge the pool",
            ) from failed
        return self.locate(container_id)

    def locate(self, container_id: ContainerId) -> WritableFiles:
        """See the port."""
        place = self._place(container_id)
        return WritableFiles(f"{place}/upper", f"{place}/work")

    def release(self, container_id: ContainerId) -> None:
        """See the port: nothing is mounted per container."""

    def take_snapshot(self, container_id: ContainerId, label: str) -> str:
        """See the port."""
        target = self._snapshot_place(container_id, label)
        os.makedirs(os.path.dirname(target), mode=0o711, exist_ok=True)
        btrfs.snapshot_subvolume(self._place(container_id), target, read_only=True)
        return f"{target}/upper"

    def snapshot(self, container_id: ContainerId, label: str) -> str:
        """See the port."""
        place = self._snapshot_place(container_id, label)
        if not os.path.isdir(place):
            raise KeyError(label)
        return f"{place}/upper"

    def drop_snapshot(self, container_id: ContainerId, label: str) -> None:
        """See the port."""
        place = self._snapshot_place(container_id, label)
        if os.path.isdir(place):
            btrfs.delete_subvolume(place)

    def clone(self, source: ContainerId, label: str, target: ContainerId, disk_bytes: int | None) -> WritableFiles:
        """See the port."""
        del disk_bytes
        place = self._place(target)
        if os.path.isdir(place):
            btrfs.delete_subvolume(place)
        btrfs.snapshot_subvolume(self._snapshot_place(source, label), place)
        # An overlay's work directory belongs to one mount; a copied one would be refused.
        _empty(f"{place}/work")
        return self.locate(target)

    def revert(self, container_id: ContainerId, label: str) -> WritableFiles:
        """See the port."""
        return self.clone(container_id, label, container_id, None)

    def resize(self, container_id: ContainerId, disk_bytes: int) -> None:
        """See the port."""
        raise LimosaError(
            "LIM-STOR-003", "the container has no disk of its own", hint="a disk limit is given when it is made"
        )

    def usage(self, container_id: ContainerId) -> StorageUsage:
        """See the port."""
        used = 0
        for directory, _, names in os.walk(self.locate(container_id).upper):
            used += sum(os.lstat(f"{directory}/{name}").st_blocks for name in names) * 512
        return StorageUsage(used, None)

    def destroy(self, container_id: ContainerId) -> None:
        """See the port."""
        snapshots = f"{self._pool}/snapshots/{container_id}"
        if os.path.isdir(snapshots):
            for label in os.listdir(snapshots):
                btrfs.delete_subvolume(f"{snapshots}/{label}")
            os.rmdir(snapshots)
        if os.path.isdir(self._place(container_id)):
            btrfs.delete_subvolume(self._place(container_id))

    def present(self) -> list[ContainerId]:
        """See the port."""
        found: set[str] = set()
        for name in ("containers", "snapshots"):
            if os.path.isdir(f"{self._pool}/{name}"):
                found.update(os.listdir(f"{self._pool}/{name}"))
        return [ContainerId(name) for name in sorted(found)]

    def close(self) -> None:
        """See the port."""
        if os.path.isdir(self._pool) and os.path.ismount(self._pool):
            try:
                mount.umount(self._pool)
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise


def _empty(directory: str) -> None:
    for place, directories, names in os.walk(directory, topdown=False):
        for name in names:
            os.unlink(f"{place}/{name}")
        for name in directories:
            os.rmdir(f"{place}/{name}")
