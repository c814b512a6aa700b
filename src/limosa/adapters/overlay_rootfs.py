"""Root file systems by overlayfs over idmapped layers.

Overlayfs itself cannot be idmapped, its layers can (5.19): each layer is bind-mounted with the container's mapping
under `<run>/rootfs/<id>/layers/N`, the overlay is mounted at `<run>/rootfs/<id>/merged`, and the binds are detached
again: the overlay holds its own private clones of them.
"""

import os
from typing import Final

from limosa.linux import files, mount, user_namespace
from limosa.model.container import SUBORDINATE_IDS
from limosa.model.errors import LimosaError
from limosa.model.ids import ContainerId
from limosa.ports.storage import WritableFiles

_MOST_BYTES: Final = 16 << 20


class OverlayRootfs:
    """The `Rootfs` port over overlayfs."""

    def __init__(self, run_directory: str) -> None:
        self._base = f"{run_directory}/rootfs"

    def path(self, container_id: ContainerId) -> str:
        """See the port."""
        return f"{self._base}/{container_id}/merged"

    def mount(
        self, container_id: ContainerId, layers: tuple[str, ...], writable: WritableFiles, first_host_id: int
    ) -> str:
        """See the port."""
        target = self.path(container_id)
        if os.path.ismount(target):
            return target
        os.makedirs(target, mode=0o711, exist_ok=True)
        try:
            self._mount(container_id, layers, writable, first_host_id)
        except OSError as refused:
            self.unmount(container_id)
            raise LimosaError(
                "LIM-ROOT-001",
                "the root file system cannot be mounted",
                cause=str(refused),
                hint="limosa doctor shows whether this kernel has overlayfs with idmapped layers",
            ) from refused
        return target

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
            # Overlayfs makes its own working directories as the host's root, which therefore needs an id on disk too.
            extents = [(0, first_host_id, SUBORDINATE_IDS), (SUBORDINATE_IDS, 0, 1)]
            userns_fd = user_namespace.with_mapping(extents)
        try:
            places = [self._bound(source, f"{binds}/{index}", userns_fd) for index, source in enumerate(sources)]
            *lower, top = places
            options = [
                ("source", "limosa"),
                ("lowerdir", ":".join(reversed(lower))),
                ("upperdir", f"{top}/{os.path.basename(writable.upper)}"),
                ("workdir", f"{top}/{os.path.basename(writable.work)}"),
                # A layer is never changed behind the overlay's back, and a copied-up file keeps its inode number.
                ("xino", "on"),
            ]
            overlay_fd = mount.make_filesystem("overlay", options)
            try:
                mount.attach(overlay_fd, self.path(container_id))
            finally:
                os.close(overlay_fd)
            mount.set_propagation(self.path(container_id), mount.MS_PRIVATE)
        finally:
            if userns_fd >= 0:
                os.close(userns_fd)
            self._unbind(binds)

    def _bound(self, source: str, place: str, userns_fd: int) -> str:
        os.makedirs(place, exist_ok=True)
        tree = mount.clone_tree(source)
        try:
            if userns_fd >= 0:
                mount.set_attributes(tree, mount.MOUNT_ATTR_IDMAP, userns_fd=userns_fd)
            mount.attach(tree, place)
        finally:
            os.close(tree)
        return place

    def _unbind(self, binds: str) -> None:
        for point in mount.mount_points(binds):
            mount.umount(point, lazy=True)

    def read(self, container_id: ContainerId, path: str) -> bytes:
        """See the port."""
        with open(files.open_below(self.path(container_id), path), "rb") as file:
            return file.read(_MOST_BYTES)

    def unmount(self, container_id: ContainerId) -> None:
        """See the port."""
        base = f"{self._base}/{container_id}"
        if not os.path.isdir(base):
            return
        for point in mount.mount_points(base):
            mount.umount(point, lazy=True)
        for directory, subdirectories, _ in os.walk(base, topdown=False):
            for name in subdirectories:
                os.rmdir(f"{directory}/{name}")
        os.rmdir(base)

    def present(self) -> list[ContainerId]:
        """See the port."""
        if not os.path.isdir(self._base):
            return []
        return [ContainerId(name) for name in sorted(os.listdir(self._base))]
