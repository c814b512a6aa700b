"""Trials of storage: btrfs in a loop file, and overlayfs over idmapped layers, as storage and rootfs use them."""

import os

from limosa.linux import mount, process, user_namespace
from limosa.ports.probes import DEGRADED, MISSING, WORKS, Outcome

_FIRST_ID = 1 << 20
_SIZE_BYTES = 256 << 20


def btrfs_loop() -> Outcome:
    """Make a btrfs in a loop file, mount it, take a snapshot of a subvolume, and write to both."""
    version = process.run(["mkfs.btrfs", "--version"]).decode().splitlines()[0].split()[-1]
    _mount_btrfs()
    process.run(["btrfs", "subvolume", "create", "disk/a"])
    _write("disk/a/file", "a")
    process.run(["btrfs", "subvolume", "snapshot", "disk/a", "disk/b"])
    _write("disk/b/file", "b")
    with open("disk/a/file", encoding="ascii") as one, open("disk/b/file", encoding="ascii") as other:
        same = (one.read(), other.read()) == ("a", "b")
    process.run(["btrfs", "quota", "enable", "disk"])
    mount.umount("disk")
    if not same:
        return Outcome(MISSING, "a write to a snapshot changed its origin", version)
    return Outcome(WORKS, "mounted a loop file, took a snapshot, enabled quotas", version)


def overlay_idmapped() -> Outcome:
    """Mount an overlay over an idmapped layer, write to an idmapped directory, and see the owners on both sides."""
    _mount_btrfs()
    for name in ("lower", "upper", "work", "volume", "mapped", "mapped-volume", "root"):
        os.mkdir(f"disk/{name}")
    _write("disk/lower/file", "below")
    namespace = user_namespace.with_mapping([(0, _FIRST_ID, 65536)])
    try:
        _bind_idmapped("disk/lower", "disk/mapped", namespace)
        _bind_idmapped("disk/volume", "disk/mapped-volume", namespace)
    finally:
        os.close(namespace)
    for name in ("upper", "work"):
        os.chown(f"disk/{name}", _FIRST_ID, _FIRST_ID)
    mount.mount("overlay", "disk/root", "overlay", 0, "lowerdir=disk/mapped,upperdir=disk/upper,workdir=disk/work")
    if os.stat("disk/root/file").st_uid != _FIRST_ID:
        return Outcome(MISSING, "overlayfs shows a wrong owner through an idmapped lower layer")
    os.chmod("disk/root/file", 0o600)  # copies it up
    if os.stat("disk/upper/file").st_uid != _FIRST_ID:
        return Outcome(MISSING, "overlayfs copies a file up with a wrong owner")
    os.setegid(_FIRST_ID)
    os.seteuid(_FIRST_ID)
    os.mkdir("disk/mapped-volume/made")
    os.seteuid(0)
    os.setegid(0)
    if os.stat("disk/volume/made").st_uid != 0:
        return Outcome(DEGRADED, "idmapped layers work; an idmapped directory is written with a wrong owner")
    return Outcome(WORKS, "idmapped lower layers and idmapped writable directories show the right owners")


def _bind_idmapped(source: str, target: str, namespace: int) -> None:
    tree = mount.clone_tree(source)
    try:
        mount.set_attributes(tree, mount.MOUNT_ATTR_IDMAP, userns_fd=namespace)
        mount.attach(tree, target)
    finally:
        os.close(tree)


def _mount_btrfs() -> None:
    with open("disk.btrfs", "wb") as file:
        file.truncate(_SIZE_BYTES)
    process.run(["mkfs.btrfs", "-q", "disk.btrfs"])
    os.mkdir("disk")
    # `mount -o loop` sets the loop device to clear itself when it is unmounted, by us or by the namespace's end.
    process.run(["mount", "-t", "btrfs", "-o", "loop,discard", "disk.btrfs", "disk"])


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
