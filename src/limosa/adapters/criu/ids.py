"""The host's ids in a dump: those of the user namespace, and the owners of cgroups. Everything else has inner ids.

Source: CRIU criu/namespaces.c, criu/cgroup.c; images/userns.proto, images/cgroup.proto.
"""

import os

from limosa.adapters.criu import images
from limosa.adapters.criu.schema import Message
from limosa.adapters.criu.wire import WireError
from limosa.model.container import SUBORDINATE_IDS
from limosa.model.errors import LimosaError
from limosa.model.hints import Any, Final

_DUMPED: Final = ".dumped"  # the image as it was: there may be another copy with other ids
_PERMS: Final = 4
_PROPERTIES: Final = 3
_CHILDREN: Final = 2


def move(criu_images: str, first: int, other: int) -> None:
    """Do what `Checkpointer.move_ids` says."""
    try:
        _move(criu_images, first, other)
    except (WireError, OSError) as malformed:
        raise LimosaError(
            "LIM-CRIU-040",
            "the owners in this commit cannot be given other ids",
            state="nothing was restored; no criu ran",
            cause=f"there is {malformed}",
            hint="limosa verify shows whether the commit is whole",
        ) from malformed


def _move(criu_images: str, first: int, other: int) -> None:
    if first == other and not os.path.exists(f"{criu_images}/cgroup{_DUMPED}"):
        return  # as they were dumped
    names = [name for name in os.listdir(criu_images) if name.startswith("userns-") and name.endswith(".img")]
    if len(names) != 1:
        raise WireError(f"{len(names)} user namespaces")
    extent = {1: 0, 2: other, 3: SUBORDINATE_IDS}
    images.write_one(f"{criu_images}/{names[0]}", "userns-%", {1: [extent], 2: [extent]})
    path = f"{criu_images}/cgroup.img"
    if not os.path.exists(f"{criu_images}/cgroup{_DUMPED}"):
        os.link(path, f"{criu_images}/cgroup{_DUMPED}")
    groups = images.read_one(f"{criu_images}/cgroup{_DUMPED}", "cgroup")

    def moved(perms: Message) -> Message:
        owners = {field: perms[field] - first for field in (2, 3)}
        return perms | {field: other + own for field, own in owners.items() if 0 <= own < SUBORDINATE_IDS}

    for controller in groups.get(2, []):
        for directory in controller.get(2, []):
            _move_directory(directory, moved)
    images.write_one(path, "cgroup", groups)


def _move_directory(directory: Message, moved: Any) -> None:
    if _PERMS in directory:
        directory[_PERMS] = moved(directory[_PERMS])
    for entry in directory.get(_PROPERTIES, []):
        if 3 in entry:
            entry[3] = moved(entry[3])
    for child in directory.get(_CHILDREN, []):
        _move_directory(child, moved)


def strip_groups(criu_images: str, groups: Message) -> None:
    """Keep of the cgroups only their names: limosa makes them, with the limits and owners that it knows."""

    def stripped(directory: Message) -> Message:
        return {1: directory[1], _CHILDREN: [stripped(child) for child in directory.get(_CHILDREN, [])]}

    for controller in groups.get(2, []):
        controller[2] = [stripped(directory) for directory in controller.get(2, [])]
    images.write_one(f"{criu_images}/cgroup.img", "cgroup", groups)
