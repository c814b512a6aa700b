"""The groups that an init made below its container's own, as values, and back.

A name below comes from the container, so `recreate` lets none lead out of the container's directory.
"""

import os
import stat
from collections.abc import Iterable
from typing import Final

from limosa.ports.cgroups import CgroupNode

_SETTABLE: Final = frozenset({"max", "high", "low", "min", "weight", "group", "mems", "cpus", "nice"})
_FIRST: Final = "cgroup.subtree_control"
_NOT_SETTABLE: Final = frozenset({"memory.reclaim", "cgroup.max.depth", "cgroup.max.descendants"})


def saved(hierarchy: str, directory: str) -> list[CgroupNode]:
    """Return `directory` and the groups below, top-down. Source: cgroup v2 "Core Interface Files"."""
    found = []
    for place, _, names in os.walk(directory):
        about = os.lstat(place)
        values, owners = [], []
        for name in sorted(names):
            status = os.lstat(f"{place}/{name}")
            if status.st_uid or status.st_gid:
                owners.append((name, status.st_uid, status.st_gid))
            settable = name == _FIRST or name.rsplit(".", 1)[-1] in _SETTABLE
            if settable and name not in _NOT_SETTABLE and status.st_mode & stat.S_IWUSR:
                with open(f"{place}/{name}", encoding="ascii") as file:
                    values.append((name, file.read().strip()))
        found.append(
            CgroupNode(
                hierarchy=hierarchy,
                path=os.path.relpath(place, directory).removeprefix("."),
                uid=about.st_uid,
                gid=about.st_gid,
                mode=stat.S_IMODE(about.st_mode),
                values=tuple(values),
                owners=tuple(owners),
                xattrs=tuple((name, os.getxattr(place, name).hex()) for name in os.listxattr(place)),
            )
        )
    return found


def recreate(nodes: Iterable[CgroupNode], directory: str) -> None:
    """Make the groups of `nodes` at and below `directory` again; values that hold already are not written.

    Raises: ValueError: a path would lead out of `directory`; OSError: the kernel's refusal.
    """
    found = [(node, _place(directory, node.path)) for node in nodes]
    for node, place in found:
        os.makedirs(place, exist_ok=True)
        for controller in dict(node.values).get(_FIRST, "").split():
            _write(f"{place}/{_FIRST}", f"+{controller}")
    for node, place in found:
        for name, value in node.values:
            if name != _FIRST and value and os.path.basename(name) == name:
                _write(f"{place}/{name}", value)
        os.chown(place, node.uid, node.gid)
        for name, uid, gid in node.owners:
            if os.path.basename(name) == name and os.path.exists(f"{place}/{name}"):
                os.chown(f"{place}/{name}", uid, gid)
        for name, value in node.xattrs:
            os.setxattr(place, name, bytes.fromhex(value))


def _place(directory: str, path: str) -> str:
    parts = path.split("/") if path else []
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{path!r} leads out of the container's group")
    return "/".join([directory, *parts])


def _write(path: str, value: str) -> None:
    with open(path, "r+", encoding="ascii") as file:
        if file.read().strip() != value:
            file.seek(0)
            file.write(value)
