"""Root file systems by overlayfs over idmapped layers.

Overlayfs itself cannot be idmapped, its layers can (5.19): each layer is bind-mounted with the container's mapping
under `<run>/rootfs/<id>/layers/N`, the overlay is mounted at `<run>/rootfs/<id>/merged`, and the binds are detached
again: the overlay holds its own private clones of them. What the container gets from the host is mounted beside it,
under `<run>/rootfs/<id>/binds/NAME`, and its device nodes lie in a tmpfs of their own at `<run>/rootfs/<id>/nodes`:
the host's nodes may be for its root alone, and its run directory may be mounted nodev.
"""

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from limosa.linux import device_numbers, files, mount, openat2, process, user_namespace
from limosa.model.container import SUBORDINATE_IDS
from limosa.model.errors import LimosaError, words_of
from limosa.model.hints import Final
from limosa.model.ids import ContainerId
from limosa.ports.storage import WritableFiles

_MOST_BYTES: Final = 16 << 20
_PATIENCE_S: Final = 0.5
_ROOM: Final = 32  # device numbers: 1 ms at a start, and a rewind finds its own free also beside other starts


class OverlayRootfs:
    """The `Rootfs` port over overlayfs."""

    def __init__(self, run_directory: str) -> None:
        self._base = f"{run_directory}/rootfs"

    def path(self, container_id: ContainerId) -> str:
        """See the port."""
        return f"{self._base}/{container_id}/merged"

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
        """See the port."""
        target = self.path(container_id)
        if os.path.ismount(target):
            return target
        os.makedirs(target, mode=0o711, exist_ok=True)
        try:
            what = (container_id, layers, writable, first_host_id)
            patience_s = _PATIENCE_S if awaited else 0.0
            if not (device_number and self._mounted_at(device_number, patience_s, *what)):
                with device_numbers.room_below(_ROOM):
                    self._mount(*what)
        except OSError as refused:
            self.unmount(container_id)
            raise LimosaError(
                "LIM-ROOT-001",
                "the root file system cannot be mounted",
                cause=words_of(refused),
                hint="limosa doctor shows whether this kernel has overlayfs with idmapped layers",
            ) from refused
        return target

    def _mounted_at(
        self,
        device_number: int,
        patience_s: float,
        container_id: ContainerId,
        layers: tuple[str, ...],
        writable: WritableFiles,
        first_host_id: int,
    ) -> bool:
        """Mount with a device number, if nobody has it; one that was unmounted just now has to be waited for."""
        until = time.monotonic() + patience_s
        while device_number not in device_numbers.mounted():
            with _next_number(device_number) as free:
                if free:
                    self._mount(container_id, layers, writable, first_host_id)
            if free and self.device_number(container_id) == device_number:
                return True
            if free:
                mount.umount(self.path(container_id))  # somebody else was quicker
            if time.monotonic() >= until:
                return False
            time.sleep(0.005)
        return False

    def device_number(self, container_id: ContainerId) -> int:
        """See the port."""
        return os.stat(self.path(container_id)).st_dev

    def _mount(
        self, container_id: ContainerId, layers: tuple[str, ...], writable: WritableFiles, first_host_id: int
    ) -> None:
        binds = f"{self._base}/{container_id}/layers"
        os.makedirs(binds, mode=0o700, exist_ok=True)
        # work and upper must be on one mount, so their parent is bound; a lower layer is bound by itself.
        above = os.path.dirname(writable.upper)
        sources = [*layers, above]
        userns_fd = -1
        if first_host_id:
            userns_fd = _mapping(first_host_id)
        try:
            *lower, top = [mount.short_name(index) for index in range(len(sources))]
            for name, source in zip([*lower, top], sources, strict=True):
                self._bound(source, f"{binds}/{name}", userns_fd)
            options = [
                ("source", "limosa"),
                ("lowerdir", ":".join(reversed(lower))),
                ("upperdir", f"{top}/{os.path.basename(writable.upper)}"),
                ("workdir", f"{top}/{os.path.basename(writable.work)}"),
                # A layer is never changed behind the overlay's back, and a copied-up file keeps its inode number.
                ("xino", "on"),
            ]
            # An option's value has at most 255 bytes: places are named from where they are, and shortly.
            with files.working_directory(binds):
                overlay_fd = mount.make_filesystem("overlay", options)
            try:
                # A layer may bring device nodes along (docs/adr/0005).
                mount.set_attributes(overlay_fd, mount.MOUNT_ATTR_NODEV)
                mount.attach(overlay_fd, self.path(container_id))
            finally:
                os.close(overlay_fd)
            mount.set_propagation(self.path(container_id), mount.MS_PRIVATE)
        finally:
            if userns_fd >= 0:
                os.close(userns_fd)
            self._unbind(binds)

    def _bound(self, source: str, place: str, userns_fd: int) -> None:
        os.makedirs(place, exist_ok=True)
        tree = mount.clone_tree(source)
        try:
            if userns_fd >= 0:
                mount.set_attributes(tree, mount.MOUNT_ATTR_IDMAP, userns_fd=userns_fd)
            mount.attach(tree, place)
        finally:
            os.close(tree)

    def _unbind(self, binds: str) -> None:
        for point in mount.mount_points(binds):
            mount.umount(point, lazy=True)

    def read(self, container_id: ContainerId, path: str) -> bytes:
        """See the port."""
        with open(openat2.open_below(self.path(container_id), path), "rb") as file:
            _require_regular(file.fileno(), path)
            return file.read(_MOST_BYTES)

    def rewrite(self, container_id: ContainerId, path: str, data: bytes) -> None:
        """See the port."""
        # Opened without truncation first: a device or a pipe must not be touched.
        with open(openat2.open_below(self.path(container_id), path, os.O_RDWR | os.O_NONBLOCK), "r+b") as file:
            _require_regular(file.fileno(), path)
            file.truncate(0)
            file.write(data)

    def bound(self, container_id: ContainerId, name: str) -> str:
        """See the port."""
        return f"{self._base}/{container_id}/binds/{name}"

    def bind(
        self, container_id: ContainerId, name: str, source: str, first_host_id: int, *, alone: bool = False
    ) -> str:
        """See the port."""
        target = self.bound(container_id, name)
        if os.path.ismount(target):
            return target
        try:
            tree = mount.clone_tree(source, recursive=not alone)
        except OSError as missing:
            raise LimosaError(
                "LIM-VOL-004", f"{source} cannot be given to a container", cause=words_of(missing), hint="make it first"
            ) from missing
        try:
            if first_host_id:
                _map_ids(tree, source, first_host_id)
            os.makedirs(os.path.dirname(target), mode=0o711, exist_ok=True)
            _make_place(target, directory=os.path.isdir(source))
            mount.attach(tree, target)
        finally:
            os.close(tree)
        mount.set_propagation(target, mount.MS_PRIVATE, recursive=True)
        return target

    def copy_out(self, container_id: ContainerId, path: str, name: str) -> None:
        """See the port."""
        try:
            source = openat2.open_below(self.path(container_id), path)
        except OSError:
            return
        try:
            if stat.S_ISDIR(os.fstat(source).st_mode):
                argv = ["cp", "--archive", f"/proc/self/fd/{source}/.", self.bound(container_id, name)]
                process.run(argv, pass_fds=(source,))
                status = os.fstat(source)
                os.chown(self.bound(container_id, name), status.st_uid, status.st_gid)
                os.chmod(self.bound(container_id, name), stat.S_IMODE(status.st_mode))
        except (process.CommandFailed, OSError) as failed:
            raise LimosaError(
                "LIM-VOL-006",
                f"what the image has in {path} cannot be copied to its volume",
                state="the container does not run",
                cause=words_of(failed),
                hint="limosa volume rm, make room, start it again",
            ) from failed
        finally:
            os.close(source)

    def node(self, container_id: ContainerId, name: str) -> str:
        """See the port."""
        return f"{self._base}/{container_id}/nodes/{name}"

    def make_nodes(
        self, container_id: ContainerId, nodes: tuple[tuple[str, int, int], ...], first_host_id: int
    ) -> None:
        """See the port."""
        place = os.path.dirname(self.node(container_id, "any"))
        if not os.path.ismount(place):
            os.makedirs(place, mode=0o711, exist_ok=True)
            mount.mount("limosa", place, "tmpfs", mount.MS_NOSUID | mount.MS_NOEXEC, "mode=711,size=64k")
        for name, major, minor in nodes:
            path = self.node(container_id, name)
            if not os.path.exists(path):
                os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(major, minor))
                os.chown(path, first_host_id, first_host_id)
                os.chmod(path, 0o666)

    def resolve(self, container_id: ContainerId, path: str) -> str:
        """See the port."""
        root = self.path(container_id)
        try:
            found = openat2.open_below(root, path, os.O_PATH)
        except OSError:
            return ""
        try:
            return os.readlink(f"/proc/self/fd/{found}").removeprefix(root)
        finally:
            os.close(found)

    def write(self, container_id: ContainerId, path: str, data: bytes, owner_id: int) -> None:
        """See the port."""
        new = not self.resolve(container_id, path)
        flags, mode = (os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644) if new else (os.O_WRONLY, 0)
        target = openat2.open_below(self.path(container_id), path, flags, mode)
        try:
            _require_regular(target, path)
            os.ftruncate(target, 0)
            os.write(target, data)
            if new:
                os.fchown(target, owner_id, owner_id)
                os.fchmod(target, 0o644)
        finally:
            os.close(target)

    def unmount(self, container_id: ContainerId) -> None:
        """See the port."""
        base = f"{self._base}/{container_id}"
        if not os.path.isdir(base):
            return
        for point in mount.mount_points(base):
            mount.umount(point, lazy=True)
        # Never deeper than our own places: if something were still mounted there, it would be the owner's.
        for directory in (f"{base}/layers", f"{base}/binds", base):
            for entry in os.scandir(directory) if os.path.isdir(directory) else ():
                os.rmdir(entry.path) if entry.is_dir() else os.unlink(entry.path)
        os.rmdir(base)

    def present(self) -> list[ContainerId]:
        """See the port."""
        if not os.path.isdir(self._base):
            return []
        return [ContainerId(name) for name in sorted(os.listdir(self._base))]


@contextmanager
def _next_number(device_number: int) -> Iterator[bool]:
    """Let the next file system get a device number if it is free; yield whether it is."""
    with ExitStack() as held:
        free = False
        with suppress(OSError):
            free = held.enter_context(device_numbers.lower_taken(device_number))
        yield free


def _mapping(first_host_id: int) -> int:
    # The host's root needs an id on disk too: overlayfs makes its own working directories as it, and `copy_out` files
    # before they are given to their owners.
    return user_namespace.with_mapping([(0, first_host_id, SUBORDINATE_IDS), (SUBORDINATE_IDS, 0, 1)])


def _map_ids(tree: int, source: str, first_host_id: int) -> None:
    userns_fd = _mapping(first_host_id)
    try:
        mount.set_attributes(tree, mount.MOUNT_ATTR_IDMAP, userns_fd=userns_fd, recursive=True)
    except OSError as refused:
        raise LimosaError(
            "LIM-VOL-005",
            f"the owners of the files in {source} cannot be mapped into the container",
            cause=f"a file system there has no idmapped mounts: {refused}",
            hint=f"-v {source}:…:noidmap leaves them as they are, which is nobody's inside",
        ) from refused
    finally:
        os.close(userns_fd)


def _make_place(target: str, *, directory: bool) -> None:
    if directory:
        os.makedirs(target, exist_ok=True)
    elif not os.path.exists(target):
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _require_regular(descriptor: int, path: str) -> None:
    """Raise OSError for a device, pipe or directory that stands where a file should be."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(errno.EINVAL, "not a regular file", path)
