"""The groups that an init made below its container's own, as values, and back.

Names and values come from a container or from a commit, so `recreate` lets no path lead out of the container's group
and writes only files that a checkpoint saves.
"""

import os
import stat
from collections.abc import Collection, Iterable

from limosa.linux import cgroupfs
from limosa.model import cgroup
from limosa.model.cgroup import CgroupNode
from limosa.model.errors import LimosaError
from limosa.model.hints import Final

_CONTROL: Final = "cgroup.subtree_control"
_TYPE: Final = "cgroup.type"


def saved(hierarchy: str, directory: str, delegated: Collection[str]) -> list[CgroupNode]:
    """Return `directory` and the groups below, top-down.

    Of the container's own group, whose limits its configuration says, only `delegated` files count.
    """
    found = []
    for place in cgroupfs.groups(directory):
        try:
            found.append(_node(hierarchy, place, directory, delegated))
        except FileNotFoundError:
            continue  # the container removed it in the meantime
    return found


def _node(hierarchy: str, place: str, directory: str, delegated: Collection[str]) -> CgroupNode:
    about = os.lstat(place)
    values, owners = [], []
    for name in sorted(os.listdir(place)):
        status = os.lstat(f"{place}/{name}")
        if stat.S_ISDIR(status.st_mode):
            continue
        if status.st_uid or status.st_gid:
            owners.append((name, status.st_uid, status.st_gid))
        if place != directory or name in delegated:
            value = _value(f"{place}/{name}", name, status.st_mode)
            if value is not None:
                values.append((name, value))
    return CgroupNode(
        hierarchy=hierarchy,
        path=place.removeprefix(directory).lstrip("/"),
        uid=about.st_uid,
        gid=about.st_gid,
        mode=stat.S_IMODE(about.st_mode),
        values=tuple(values),
        owners=tuple(owners),
        xattrs=tuple((name, os.getxattr(place, name).hex()) for name in os.listxattr(place)),
    )


def _value(path: str, name: str, mode: int) -> str | None:
    if name == _CONTROL:
        return cgroupfs.read(path) or None
    if name == _TYPE:
        return "threaded" if cgroupfs.read(path) == "threaded" else None
    if name in cgroup.SETTABLE and mode & stat.S_IWUSR:
        return cgroup.worth_saving(name, cgroupfs.read(path))
    return None


def recreate(nodes: Iterable[CgroupNode], directory: str, delegated: Collection[str]) -> None:
    """Make the groups of `nodes` below `directory` again: directories, controllers, values, then owners.

    Raises: LimosaError LIM-CGRP-006: a path leads out of `directory`, or the kernel refused something (named).
    """
    found = [(node, _checked_place(directory, node)) for node in nodes]
    for node, place in found:
        try:
            if node.path:
                cgroupfs.make(place)
            values = dict(node.values)
            if values.get(_TYPE) == "threaded":
                cgroupfs.write(f"{place}/{_TYPE}", "threaded")
            enabled = cgroupfs.read(f"{place}/{_CONTROL}").split() if _CONTROL in values else []
            for controller in values.get(_CONTROL, "").split():
                if controller not in enabled:
                    cgroupfs.write(f"{place}/{_CONTROL}", f"+{controller}")
        except OSError as error:
            raise cannot(node, str(error)) from error
    for node, place in found:
        try:
            _set_values(node, place, delegated)
            _set_owners(node, place, delegated)
        except OSError as error:
            raise cannot(node, str(error)) from error


def _set_values(node: CgroupNode, place: str, delegated: Collection[str]) -> None:
    values = dict(node.values)
    for name in cgroup.SETTABLE:
        if name not in values or (not node.path and name not in delegated):
            continue
        if cgroupfs.read(f"{place}/{name}").split("\n", 1)[0] != values[name]:
            cgroupfs.write(f"{place}/{name}", values[name])


def _set_owners(node: CgroupNode, place: str, delegated: Collection[str]) -> None:
    for name, value in node.xattrs:
        os.setxattr(place, name, bytes.fromhex(value))
    for name, uid, gid in node.owners:
        if "/" in name or name in ("", ".", "..") or (not node.path and name not in delegated):
            raise cannot(node, f"{name!r} cannot belong to the container")
        try:
            os.chown(f"{place}/{name}", uid, gid)
        except FileNotFoundError:
            continue  # a file of a controller or kernel feature that only the other machine had
    os.chown(place, node.uid, node.gid)
    os.chmod(place, node.mode)


def _checked_place(directory: str, node: CgroupNode) -> str:
    parts = node.path.split("/") if node.path else []
    if any(part in ("", ".", "..") for part in parts):
        raise cannot(node, "its path leads out of the container's group")
    return "/".join([directory, *parts])


def cannot(node: CgroupNode, cause: str) -> LimosaError:
    """Return the error for a node that cannot be made."""
    return LimosaError(
        "LIM-CGRP-006",
        f"the container's cgroup {node.path or '/'!r} ({node.hierarchy}) cannot be made again",
        state="some of its groups may be there; destroy removes them",
        cause=cause,
    )
