"""A container's disk: a file with a btrfs of exactly the limit's size, in the container's subvolume.

Its file system's id is the UUID of the subvolume that it lies in.  A snapshot of the subvolume has a UUID of its own,
so every copy of a disk can be told from the original and be mounted beside it; the id is corrected when a disk is
mounted, and nothing about it needs to be remembered.
"""

import errno
import os

from limosa.adapters.btrfs_pool import pool, refusals
from limosa.linux import btrfs, btrfs_superblock, flock, loop, mount, reflink
from limosa.model.hints import Final
from limosa.ports.storage import StorageUsage

LEAST_BYTES: Final = 64 << 20
_BLOCK_BYTES: Final = 4096
_READ_ONLY_DATA: Final = "rescue=nologreplay"  # a snapshot was committed: there is nothing in its log


def image_of(place: str) -> str:
    """Return the file of the disk of a subvolume."""
    return f"{place}/disk.btrfs"


def exists(place: str) -> bool:
    """Say whether the subvolume `place` holds a disk."""
    return os.path.exists(image_of(place))


def mount_point(place: str) -> str:
    """Return where the disk is mounted."""
    return f"{place}/disk"


def mounted(place: str) -> bool:
    """Say whether the disk is mounted."""
    try:
        return os.stat(mount_point(place)).st_dev != os.stat(place).st_dev
    except FileNotFoundError:
        return False


def rounded(size_bytes: int) -> int:
    """Return the size of a disk for a limit. Raises: LimosaError LIM-STOR-005: it is too small."""
    if size_bytes < LEAST_BYTES:
        raise refusals.disk_too_small(size_bytes, LEAST_BYTES)
    return size_bytes // _BLOCK_BYTES * _BLOCK_BYTES


def make(place: str, template: str, size_bytes: int) -> None:
    """Make an empty disk in the subvolume `place`; `opened` lets its file system fill it."""
    os.mkdir(mount_point(place), 0o711)
    if size_bytes < pool.TEMPLATE_BYTES:
        pool.make_image(image_of(place), size_bytes, "limosa-disk", *pool.DISK_OPTIONS)
        return
    descriptor = os.open(image_of(place), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        reflink.set_nocow(descriptor)
        reflink.clone(template, descriptor)
        os.ftruncate(descriptor, size_bytes)
    finally:
        os.close(descriptor)


def opened(place: str) -> str:
    """Mount the disk if it is not, finish what a crash during `make` or `resize` left, and return where it is."""
    point = mount_point(place)
    if mounted(place):
        return point
    read_only = btrfs.subvolume(place).read_only
    with flock.locked_directory(place):
        if mounted(place):
            return point
        image = image_of(place)
        found = _with_own_id(place, image)
        with loop.attached(image, read_only=read_only) as device:
            flags = pool.MOUNT_FLAGS | (mount.MS_RDONLY if read_only else 0)
            mount.mount(device, point, "btrfs", flags, _READ_ONLY_DATA if read_only else "")
        size = os.stat(image).st_size
        if found.total_bytes < size and not read_only:
            btrfs.resize(point, size)
    return point


def _with_own_id(place: str, image: str) -> btrfs_superblock.Superblock:
    found = btrfs_superblock.read(image)
    known = btrfs.subvolume(place)
    if found.fsid != known.uuid:
        if known.read_only:
            btrfs.set_read_only(place, False)
        btrfs_superblock.set_fsid(image, known.uuid)
        if known.read_only:
            btrfs.set_read_only(place, True)
    return found


def close(place: str) -> None:
    """Unmount the disk. One that is in use disappears from its place now and is closed by its last user."""
    while mounted(place):
        try:
            mount.umount(mount_point(place))
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            mount.umount(mount_point(place), lazy=True)


def usage(place: str) -> StorageUsage:
    """Return how many bytes of the disk are in use, and how large it is, without mounting it."""
    if mounted(place):
        status = os.statvfs(mount_point(place))
        used_bytes = (status.f_blocks - status.f_bfree) * status.f_frsize
        return StorageUsage(used_bytes, status.f_blocks * status.f_frsize)
    return StorageUsage(btrfs_superblock.read(image_of(place)).used_bytes, os.stat(image_of(place)).st_size)


def resize(place: str, size_bytes: int) -> None:
    """Give the disk another size while it is mounted. Raises: LimosaError LIM-STOR-003: what is in use does not fit.

    A crash leaves the old or the new size; a growth that was cut off is completed when the disk is next mounted.
    """
    point = mount_point(place)
    with flock.locked_directory(place):
        in_use, old_bytes = usage(place)
        assert old_bytes is not None
        if size_bytes != old_bytes and size_bytes < pool.TEMPLATE_BYTES:
            raise refusals.disk_in_use(
                f"the kernel changes no disk to less than {pool.TEMPLATE_BYTES >> 20} MiB",
                f"choose {pool.TEMPLATE_BYTES >> 20}M or more",
            )
        # The file is never shorter than the file system in it.
        if in_use > size_bytes:
            btrfs.sync(point)  # what was just removed counts until then
            in_use = usage(place).used_bytes
        if size_bytes < old_bytes:
            _shrink(point, size_bytes, in_use)
        _set_image_size(place, size_bytes)
        if size_bytes > old_bytes:
            btrfs.resize(point, size_bytes)


def _shrink(point: str, size_bytes: int, in_use: int) -> None:
    try:
        if in_use > size_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        btrfs.resize(point, size_bytes)
    except OSError as refused:
        if refused.errno != errno.ENOSPC:
            raise
        raise refusals.disk_in_use(
            f"{in_use >> 20} MiB are in use and do not fit in {size_bytes >> 20} MiB",
            "remove files in the container first, or choose a larger limit",
        ) from refused


def _set_image_size(place: str, size_bytes: int) -> None:
    os.truncate(image_of(place), size_bytes)
    device = loop.device_of(image_of(place))
    if device is not None:
        loop.set_capacity(device)
