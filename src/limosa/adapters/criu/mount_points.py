"""Where what a container gets from outside is mounted in it: not where it was asked for, if a link leads elsewhere.

criu finds a mount by its place. One that it is not told of it binds from where it came from, so that a copy would write
to its original's volume.
"""

import os
import re
from collections.abc import Sequence

from limosa.linux import descriptors


def found(init_pid: int, asked: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return (place, place asked for) for each (place asked for, host path) that is mounted.

    Source: proc_pid_mountinfo(5).
    """
    points = {_plain(mount.point) for mount in descriptors.mount_table(init_pid)}
    there = [(inside, inside) for inside, _ in asked if inside in points]
    others = points.difference(inside for inside, _ in there)
    for inside, outside in asked:
        if inside not in points:
            point = next((point for point in others if _same(f"/proc/{init_pid}/root{point}", outside)), "")
            if point:
                others.remove(point)
                there.append((point, inside))
    return there


def _plain(point: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), point)


def _same(one: str, other: str) -> bool:
    try:
        return os.path.samestat(os.stat(one), os.stat(other))
    except OSError:  # nobody may look, as into a FUSE file system
        return False
