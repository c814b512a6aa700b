"""The methods of the `Storage` port."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from limosa.adapters.btrfs_pool import disk, refusals
from limosa.adapters.btrfs_pool.pool import Pool
from limosa.linux import boot, btrfs, files, flock, process, renameat2
from limosa.model.ids import ContainerId
from limosa.ports.storage import StorageUsage, WritableFiles


class BtrfsPool:
    """Writable files in a pool of btrfs subvolumes."""

    def __init__(self, root: str) -> None:
        self._pool = Pool(root)

    def prepare(self) -> None:
        """See the port."""
        self._pool.prepare()

    def close(self) -> None:
        """See the port."""
        self._pool.close()

    def create(self, container_id: ContainerId, disk_bytes: int | None) -> WritableFiles:
        """See the port."""
        place = self._pool.container(container_id)
        if not os.path.isdir(place):
            with self._staged(self._pool.staging(container_id), "making the container's files") as staged:
                self._make(staged, disk_bytes)
                os.rename(staged, place)
        with refusals.explained("mounting the container's disk"):
            return _open(place)

    def locate(self, container_id: ContainerId) -> WritableFiles:
        """See the port."""
        place = self._existing(container_id)
        with refusals.explained("mounting the container's disk"):
            found = _open(place)
            if not disk.exists(place):
                self._note_located(container_id)
        return found

    def release(self, container_id: ContainerId) -> None:
        """See the port."""
        _unlink_if_there(self._pool.located(container_id))
        disk.close(self._pool.container(container_id))
        for label in self._labels(container_id):
            disk.close(self._pool.snapshot(container_id, label))

    def write_back(self, container_id: ContainerId) -> None:
        """See the port."""
        place = self._existing(container_id)
        if disk.mounted(place):
            btrfs.sync(disk.mount_point(place))
        # Taking a snapshot writes back this subvolume's dirty pages; syncing would write everybody's.
        staged = self._pool.staging(container_id)
        with refusals.explained("writing the container's files back"):
            _discard(staged)
            btrfs.snapshot_subvolume(place, staged, read_only=True)
            _discard(staged)

    def take_snapshot(self, container_id: ContainerId, label: str) -> None:
        """See the port."""
        place = self._existing(container_id)
        target = self._pool.snapshot(container_id, label)
        self._pool.require_room()
        with refusals.explained("taking a snapshot of the container's files"):
            os.makedirs(self._pool.snapshots(container_id), mode=0o711, exist_ok=True)
            _discard(target)
            if disk.mounted(place):
                btrfs.sync(disk.mount_point(place))
            btrfs.snapshot_subvolume(place, target, read_only=True)

    def snapshot(self, container_id: ContainerId, label: str) -> str:
        """See the port."""
        place = self._snapshot_place(container_id, label)
        with refusals.explained("mounting the disk in a snapshot"):
            return _open(place).upper

    def receive_snapshot(
        self, container_id: ContainerId, label: str, disk_bytes: int | None, fill: Callable[[str], None]
    ) -> None:
        """See the port."""
        target = self._pool.snapshot(container_id, label)
        # Not where the container's own files are staged: whoever copies it holds no lock of the container's.
        receiving = self._pool.receiving(container_id)
        with (
            flock.locked_meanwhile(f"{receiving}.lock"),
            self._staged(receiving, "receiving a container's files") as staged,
        ):
            if os.path.isdir(target):
                return  # of a command that was faster
            made = self._make(staged, disk_bytes)
            fill(made.upper)
            if disk.mounted(staged):
                btrfs.sync(disk.mount_point(staged))
            os.makedirs(self._pool.snapshots(container_id), mode=0o711, exist_ok=True)
            btrfs.snapshot_subvolume(staged, target, read_only=True)

    def drop_snapshot(self, container_id: ContainerId, label: str) -> None:
        """See the port."""
        _discard(self._pool.snapshot(container_id, label))
        _rmdir_if_empty(self._pool.snapshots(container_id))

    def clone(self, source: ContainerId, label: str, target: ContainerId, disk_bytes: int | None) -> WritableFiles:
        """See the port."""
        origin = self._snapshot_place(source, label)
        with self._staged(self._pool.staging(target), "copying the container's files") as staged:
            if disk.exists(origin) == (disk_bytes is not None):
                self._share(origin, staged)
                if disk_bytes is not None:
                    disk.resize(staged, disk.rounded(disk_bytes))
            else:
                self._fill(staged, _open(origin).upper, disk_bytes)
                disk.close(origin)
            self._publish(staged, target)
        return _open(self._pool.container(target))

    def revert(self, container_id: ContainerId, label: str) -> WritableFiles:
        """See the port."""
        origin = self._snapshot_place(container_id, label)
        with self._staged(self._pool.staging(container_id), "going back to the files of a snapshot") as staged:
            self._share(origin, staged)
            self._publish(staged, container_id)
        return _open(self._pool.container(container_id))

    def resize(self, container_id: ContainerId, disk_bytes: int) -> None:
        """See the port."""
        place = self._existing(container_id)
        size_bytes = disk.rounded(disk_bytes)
        if not disk.exists(place):
            self._give_disk(container_id, place, size_bytes)
            return
        was_mounted = disk.mounted(place)
        with refusals.explained("changing the size of the container's disk"):
            _open(place)
            try:
                disk.resize(place, size_bytes)
            finally:
                if not was_mounted:
                    disk.close(place)

    def usage(self, container_id: ContainerId) -> StorageUsage:
        """See the port."""
        place = self._existing(container_id)
        if disk.exists(place):
            return disk.usage(place)
        return StorageUsage(files.allocated_bytes(f"{place}/upper"), None)

    def destroy(self, container_id: ContainerId) -> None:
        """See the port."""
        _unlink_if_there(self._pool.located(container_id))
        for label in self._labels(container_id):
            _discard(self._pool.snapshot(container_id, label))
        _rmdir_if_empty(self._pool.snapshots(container_id))
        receiving = self._pool.receiving(container_id)
        for place in (receiving, *self._own(container_id)):
            _discard(place)
        _unlink_if_there(f"{receiving}.lock")

    def discard_files(self, container_id: ContainerId) -> bool:
        """See the port."""
        _unlink_if_there(self._pool.located(container_id))
        found = [_discard(place) for place in self._own(container_id)]
        receiving = self._pool.receiving(container_id)
        if os.path.exists(receiving) or os.path.exists(f"{receiving}.lock"):
            with flock.locked_meanwhile(f"{receiving}.lock"):
                found.append(_discard(receiving))
        return any(found)

    def _own(self, container_id: ContainerId) -> tuple[str, str]:
        return self._pool.staging(container_id), self._pool.container(container_id)

    def snapshots(self, container_id: ContainerId) -> list[str]:
        """See the port."""
        return sorted(self._labels(container_id))

    def present(self) -> list[ContainerId]:
        """See the port."""
        found: set[str] = set()
        for name in ("containers", "snapshots", "staging"):
            found.update(name.partition(".")[0] for name in files.names_in(f"{self._pool.directory}/{name}"))
        return [ContainerId(name) for name in sorted(found)]

    def _existing(self, container_id: ContainerId) -> str:
        place = self._pool.container(container_id)
        if not os.path.isdir(place):
            raise refusals.files_missing(container_id)
        return place

    def _snapshot_place(self, container_id: ContainerId, label: str) -> str:
        place = self._pool.snapshot(container_id, label)
        if not os.path.isdir(place):
            raise KeyError(label)
        return place

    def _labels(self, container_id: ContainerId) -> list[str]:
        return files.names_in(self._pool.snapshots(container_id))

    @contextmanager
    def _staged(self, staged: str, what: str) -> Iterator[str]:
        """Yield `staged`, where a subvolume is to be made; whatever is still there at the end is removed."""
        self._pool.require_room()
        with refusals.explained(what):
            try:
                _discard(staged)
                yield staged
            finally:
                _discard(staged)

    def _make(self, staged: str, disk_bytes: int | None) -> WritableFiles:
        size_bytes = None if disk_bytes is None else disk.rounded(disk_bytes)
        btrfs.create_subvolume(staged)
        if size_bytes is not None:
            disk.make(staged, self._pool.template(), size_bytes)
        made = _open(staged)
        os.mkdir(made.upper, 0o755)
        os.mkdir(made.work, 0o755)
        return made

    def _share(self, origin: str, staged: str) -> None:
        btrfs.snapshot_subvolume(origin, staged)
        # An overlay's work directory belongs to one mount; a copied one would be refused.
        _empty(_open(staged).work)

    def _fill(self, staged: str, upper: str, disk_bytes: int | None) -> None:
        made = self._make(staged, disk_bytes)
        try:
            process.run(["cp", "--archive", "--reflink=auto", "--sparse=auto", f"{upper}/.", made.upper])
        except process.CommandFailed as failed:
            if disk_bytes is None or _free_bytes(made.upper) > files.allocated_bytes(upper):
                raise
            raise refusals.disk_in_use(
                f"{files.allocated_bytes(upper) >> 20} MiB of files do not fit in {disk_bytes >> 20} MiB",
                "choose a larger limit",
            ) from failed

    def _publish(self, staged: str, container_id: ContainerId) -> None:
        place = self._pool.container(container_id)
        if os.path.isdir(place):
            renameat2.exchange(staged, place)
        else:
            os.rename(staged, place)

    def _give_disk(self, container_id: ContainerId, place: str, size_bytes: int) -> None:
        if self._is_located(container_id):
            raise refusals.disk_in_use(
                "the container has no disk of its own, and its files are in use",
                "stop the container, set the limit, and start it again",
            )
        with self._staged(self._pool.staging(container_id), "moving the container's files to a disk") as staged:
            self._fill(staged, f"{place}/upper", size_bytes)
            disk.close(staged)
            self._publish(staged, container_id)

    def _note_located(self, container_id: ContainerId) -> None:
        with open(self._pool.located(container_id), "wb") as file:
            file.write(_boot_id())

    def _is_located(self, container_id: ContainerId) -> bool:
        try:
            with open(self._pool.located(container_id), "rb") as file:
                return file.read() == _boot_id()
        except FileNotFoundError:
            return False


def _open(place: str) -> WritableFiles:
    base = disk.opened(place) if disk.exists(place) else place
    return WritableFiles(f"{base}/upper", f"{base}/work")


def _discard(place: str) -> bool:
    """Remove a subvolume with its mounted disk, and say whether it was there."""
    disk.close(place)
    try:
        btrfs.delete_subvolume(place)
    except FileNotFoundError:
        return False
    return True


def _empty(directory: str) -> None:
    for place, directories, names in os.walk(directory, topdown=False):
        for name in names:
            os.unlink(f"{place}/{name}")
        for name in directories:
            if os.path.islink(f"{place}/{name}"):
                os.unlink(f"{place}/{name}")
            else:
                os.rmdir(f"{place}/{name}")


def _unlink_if_there(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _rmdir_if_empty(path: str) -> None:
    try:
        os.rmdir(path)
    except OSError:
        pass


def _free_bytes(path: str) -> int:
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


def _boot_id() -> bytes:
    return f"{boot.boot_id()}\n".encode()
