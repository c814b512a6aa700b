"""Where limosa's groups go in each hierarchy, found once per boot and remembered for every later command.

Where systemd is the init, and on cgroup v2 always, that is the root of the hierarchy: the caller's own group is a
session or a unit that ends with the caller. Elsewhere it is the caller's own group in each v1 hierarchy, for what is
above belongs to somebody else (docs/adr/0005).
"""

import os

from limosa.linux import atomic_file, boot, cgroupfs, flock
from limosa.linux.cgroupfs import Hierarchy
from limosa.model.errors import LimosaError
from limosa.model.hints import Final
from limosa.model.value import NamedTuple

_SYSTEMD: Final = "/run/systemd/system"  # sd_booted(3)


class Place(NamedTuple):
    """limosa's own group in one hierarchy, by its path from the hierarchy's root."""

    hierarchy: Hierarchy
    parent: str

    def group(self, name: str = "") -> str:
        """Return the path of a container's group (or of the parent) from the hierarchy's root."""
        return f"{self.parent}/{name}".rstrip("/")

    def directory(self, name: str = "") -> str:
        """Return its directory."""
        return self.hierarchy.directory(self.group(name))


def remembered(name: str, record: str) -> tuple[Place, ...]:
    """Return where the group `name` is or goes in each hierarchy, as the file `record` says; it is written if need be.

    A record of another boot, of another set of hierarchies or of groups that have gone is replaced.
    Raises: LimosaError LIM-CGRP-005: no cgroup hierarchy is mounted.
    """
    mounted = cgroupfs.hierarchies()
    if not mounted:
        raise LimosaError(
            "LIM-CGRP-005",
            "containers cannot be limited or frozen here",
            cause="no cgroup hierarchy is mounted",
            hint="mount -t cgroup2 cgroup2 /sys/fs/cgroup",
        )
    boot_id = boot.boot_id()
    found = _read(name, record, mounted, boot_id)
    if found is None:
        os.makedirs(os.path.dirname(record), mode=0o711, exist_ok=True)
        with flock.locked(f"{record}.lock"):
            found = _read(name, record, mounted, boot_id)
            if found is None:
                parents = {one.name: _parent_of(one, mounted) for one in mounted}
                lines = [boot_id, *(f"{key}\t{parent}" for key, parent in parents.items())]
                atomic_file.replace(record, "".join(f"{line}\n" for line in lines).encode(), locked=True)
                found = _places(name, mounted, parents)
    return found


def _read(name: str, record: str, mounted: tuple[Hierarchy, ...], boot_id: str) -> tuple[Place, ...] | None:
    try:
        with open(record, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return None
    parents = dict(line.split("\t", 1) for line in lines[1:] if "\t" in line)
    if lines[:1] != [boot_id] or parents.keys() != {one.name for one in mounted}:
        return None
    if not all(os.path.isdir(one.directory(parents[one.name])) for one in mounted):
        return None
    return _places(name, mounted, parents)


def _places(name: str, mounted: tuple[Hierarchy, ...], parents: dict[str, str]) -> tuple[Place, ...]:
    return tuple(Place(one, f"{parents[one.name].rstrip('/')}/{name}") for one in mounted)


def _parent_of(hierarchy: Hierarchy, mounted: tuple[Hierarchy, ...]) -> str:
    own = hierarchy.own_group
    outside = own.startswith("/..") or not os.path.isdir(hierarchy.directory(own))
    if outside or os.path.isdir(_SYSTEMD) or all(one.unified for one in mounted):
        return hierarchy.mount_root
    return own
