"""Open files where a commit keeps nothing: a restore would not find them.

Source: proc_pid_fd(5), proc_pid_map_files(5), proc_pid_cwd(5).
"""

import os
from collections.abc import Collection

from limosa.model.errors import LimosaError


def refuse_open_files(pids: Collection[int], places: Collection[str]) -> None:
    """Raise LimosaError LIM-CRIU-029 if a process has a file open, mapped or as its directory below one of `places`."""
    below = tuple(f"{place.rstrip('/')}/" for place in places)
    if not below:
        return
    for pid in pids:
        for path in _open_paths(pid):
            if f"{path}/".startswith(below):
                raise LimosaError(
                    "LIM-CRIU-029",
                    f"pid {pid} has {path} open, which is on a volume that commits leave out",
                    state="the container is running; nothing changed",
                    cause="it would not be there when the commit comes back, and the restore would fail",
                    hint="close it, or give the volume commit=include or commit=reference",
                )


def _open_paths(pid: int) -> set[str]:
    found = set()
    for directory in ("fd", "map_files"):
        try:
            names = os.listdir(f"/proc/{pid}/{directory}")
        except OSError:
            continue  # it has ended
        for name in names:
            try:
                found.add(os.readlink(f"/proc/{pid}/{directory}/{name}").removesuffix(" (deleted)"))
            except OSError:
                continue
    try:
        found.add(os.readlink(f"/proc/{pid}/cwd"))
    except OSError:
        pass
    return found
