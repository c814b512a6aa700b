"""Where this machine's cgroup hierarchies are, and where limosa's groups go in each.

On cgroup v2 there is one hierarchy; on the hybrid layout every v1 controller has one and v2 holds what is left.  In
each, limosa's groups are below the group in which limosa was first used (remembered in a file, for another command
may run elsewhere): what is above belongs to somebody else.  Source: cgroups(7).
"""

import json
import os
from typing import Final, NamedTuple

MOUNT: Final = "/sys/fs/cgroup"


class Hierarchy(NamedTuple):
    """One hierarchy: its controllers ("" is v2), its mount point and the group below which limosa's are."""

    controllers: str
    mount_point: str
    parent: str  # "/" or "/somebody/else"

    def directory(self, group: str) -> str:
        """Return the directory of `group` below the parent."""
        return f"{self.mount_point}{self.parent.rstrip('/')}/{group}"

    def path(self, group: str) -> str:
        """Return the same as the kernel names it, from the hierarchy's root."""
        return f"{self.parent.rstrip('/')}/{group}"


def unified() -> bool:
    """Say whether this machine has cgroup v2 alone."""
    return os.path.exists(f"{MOUNT}/cgroup.controllers")


def hybrid_v2_mount() -> str:
    """Return where v2 is mounted beside v1, or an empty string."""
    place = f"{MOUNT}/unified"
    return place if not unified() and os.path.exists(f"{place}/cgroup.controllers") else ""


def hierarchies(memory_file: str) -> tuple[Hierarchy, ...]:
    """Return the hierarchies, as `memory_file` remembers them or, the first time, as this process sees them."""
    try:
        with open(memory_file, encoding="utf-8") as file:
            return tuple(Hierarchy(*item) for item in json.load(file))
    except FileNotFoundError:
        found = _seen()
    os.makedirs(os.path.dirname(memory_file), exist_ok=True)
    unfinished = f"{memory_file}.{os.getpid()}"
    with open(unfinished, "w", encoding="utf-8") as file:
        json.dump(found, file)
    try:
        os.link(unfinished, memory_file)
    except FileExistsError:
        return hierarchies(memory_file)
    finally:
        os.unlink(unfinished)
    return found


def _seen() -> tuple[Hierarchy, ...]:
    if unified():
        return (Hierarchy("", MOUNT, "/"),)
    found = []
    with open("/proc/self/cgroup", encoding="ascii") as file:
        for line in file:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            name = controllers.removeprefix("name=") or "unified"
            place = f"{MOUNT}/{name}"
            if os.path.isdir(place):
                found.append(Hierarchy(controllers, place, path))
    return tuple(found)
