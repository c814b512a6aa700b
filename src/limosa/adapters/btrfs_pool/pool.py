"""The file system below all containers: made, mounted, unmounted; and where what is in it."""

import errno
import os

from limosa.adapters.btrfs_pool import refusals
from limosa.linux import btrfs, flock, loop, mount, process, reflink
from limosa.model.errors import LimosaError, words_of
from limosa.model.hints import Final
from limosa.model.ids import ContainerId

MOUNT_FLAGS: Final = mount.MS_NOATIME | mount.MS_NODEV | mount.MS_NOSUID
"""Whiteouts are made and seen in spite of nodev, and an overlay above decides itself about devices and setuid."""

TEMPLATE_BYTES: Final = 256 << 20
"""The kernel resizes no btrfs to less than this."""

DISK_OPTIONS: Final = ("--mixed", "--metadata", "single", "--data", "single")
"""Data and metadata share their room: apart, a disk that was full once has none for metadata, and `df` says 0."""

_DIRECTORIES: Final = ("containers", "snapshots", "located", "staging")
_SHARE_OF_FREE: Final = 0.9
_LEAST_BYTES: Final = 1 << 30
_RESERVE_BYTES: Final = 64 << 20


class Pool:
    """The pool below a root directory."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._file = f"{root}/pool.btrfs"
        self.directory = f"{root}/storage"

    def container(self, container_id: ContainerId) -> str:
        """Return the subvolume of a container."""
        return f"{self.directory}/containers/{container_id}"

    def staging(self, container_id: ContainerId) -> str:
        """Return where the subvolume of a container is made."""
        return f"{self.directory}/staging/{container_id}"

    def receiving(self, container_id: ContainerId) -> str:
        """Return where files of a container that come from elsewhere are written; what locks it is beside it."""
        return f"{self.directory}/staging/{container_id}.receiving"

    def located(self, container_id: ContainerId) -> str:
        """Return the file that says that the files of a container were given out."""
        return f"{self.directory}/located/{container_id}"

    def snapshots(self, container_id: ContainerId) -> str:
        """Return the directory of a container's snapshots."""
        return f"{self.directory}/snapshots/{container_id}"

    def snapshot(self, container_id: ContainerId, label: str) -> str:
        """Return the subvolume of a snapshot. Raises: ValueError: `label` is no file name."""
        if not label or label.startswith(".") or "/" in label:
            raise ValueError(f"no label for a snapshot: {label!r}")
        return f"{self.directory}/snapshots/{container_id}/{label}"

    def prepare(self) -> None:
        """Make and mount what is missing. Raises: LimosaError LIM-STOR-001."""
        if self._complete():
            return
        try:
            os.makedirs(self.directory, mode=0o700, exist_ok=True)
            with flock.locked(f"{self._root}/pool.lock"):
                if not btrfs.is_btrfs(self.directory):
                    self._mount_file()
                for name in _DIRECTORIES:  # the last one says that it is complete
                    os.makedirs(f"{self.directory}/{name}", mode=0o711, exist_ok=True)
        except (process.CommandFailed, OSError) as failed:
            raise LimosaError(
                "LIM-STOR-001",
                "there is no file system for containers whose copies take constant time",
                cause=words_of(failed),
                hint="limosa doctor shows what is missing; or put --root on a btrfs file system",
            ) from failed

    def _complete(self) -> bool:
        try:
            return btrfs.is_btrfs(f"{self.directory}/{_DIRECTORIES[-1]}")
        except FileNotFoundError:
            return False

    def _mount_file(self) -> None:
        if not os.path.exists(self._file):
            free = os.statvfs(self._root)
            _format(self._file, max(_LEAST_BYTES, int(free.f_bavail * free.f_frsize * _SHARE_OF_FREE)), "limosa")
        with loop.attached(self._file) as device:
            mount.mount(device, self.directory, "btrfs", MOUNT_FLAGS)

    def require_room(self) -> None:
        """Raise LimosaError LIM-STOR-002 if a pool in a file can hardly grow: writes that the host has no room for

        would be I/O errors, which stop the whole pool.
        """
        if not os.path.exists(self._file):
            return
        host = os.statvfs(self._root)
        if host.f_bavail * host.f_frsize < _RESERVE_BYTES:
            raise refusals.pool_full("the host's file system, on which the pool is a sparse file, has no room left")

    def template(self) -> str:
        """Return the file with an empty disk of TEMPLATE_BYTES, making it the first time."""
        path = f"{self.directory}/disk-template.btrfs"
        if not os.path.exists(path):
            with flock.locked(f"{self._root}/pool.lock"):
                if not os.path.exists(path):
                    _format(path, TEMPLATE_BYTES, "limosa-disk", *DISK_OPTIONS)
        return path

    def close(self) -> None:
        """Unmount the pool if it is a mount of ours and nothing uses it."""
        if not os.path.exists(self._file) or not os.path.ismount(self.directory):
            return
        try:
            mount.umount(self.directory)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise


def _format(path: str, size_bytes: int, label: str, *options: str) -> None:
    unfinished = f"{path}.new"
    if os.path.exists(unfinished):
        os.unlink(unfinished)
    make_image(unfinished, size_bytes, label, *options)
    os.rename(unfinished, path)


def make_image(path: str, size_bytes: int, label: str, *options: str) -> None:
    """Make a sparse file with an empty btrfs. Raises: FileExistsError, process.CommandFailed."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        if btrfs.is_btrfs(os.path.dirname(path)):
            # Checksums and copies are the inner file system's trade; twice, they halve the speed.
            reflink.set_nocow(descriptor)
        os.ftruncate(descriptor, size_bytes)
        process.run(["mkfs.btrfs", "--quiet", "--label", label, "--checksum", "crc32c", *options, path])
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
