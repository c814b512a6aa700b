"""Test runs beside each other: each has a cgroup of its own, below which its containers' groups are made and counted.

Only on v1, where limosa puts its groups below the caller's. Where systemd is the init, or v2 alone is mounted, they go
to the root of the hierarchy, and one run at a time has the machine.
"""

import os

from limosa.linux import cgroupfs

_CPUSET = ("cpuset.cpus", "cpuset.mems")


def possible() -> bool:
    """Say whether this process can have a group of its own that limosa will use."""
    mounted = cgroupfs.hierarchies()
    beside = any(not one.unified for one in mounted) and not os.path.isdir("/run/systemd/system")
    return os.geteuid() == 0 and beside


def enter() -> list[tuple[str, str]]:
    """Move this process into a new group in each hierarchy; return (old, new) directories for `leave`."""
    moved = []
    for one in cgroupfs.hierarchies():
        old = one.directory(one.own_group)
        new = f"{old}/limosa-tests-{os.getpid()}"
        os.makedirs(new, exist_ok=True)  # a run that was killed may have left one, and pids come again
        moved.append((old, new))
        for name in _CPUSET:
            if os.path.exists(f"{new}/{name}"):
                cgroupfs.write(f"{new}/{name}", cgroupfs.read(f"{old}/{name}").strip())
        cgroupfs.write(f"{new}/cgroup.procs", str(os.getpid()))
    return moved


def leave(moved: list[tuple[str, str]]) -> None:
    """Move what is left in the groups back, and remove them."""
    for old, new in moved:
        for pid in cgroupfs.read(f"{new}/cgroup.procs").split():
            try:
                cgroupfs.write(f"{old}/cgroup.procs", pid)
            except ProcessLookupError:
                pass
        os.rmdir(new)


def groups() -> set[str]:
    """Return limosa's groups below this run's own, or on the whole machine where it has none."""
    tops = [one.directory(one.own_group) for one in cgroupfs.hierarchies()] if possible() else ["/sys/fs/cgroup"]
    return {
        f"{here}/{name}"
        for top in tops
        for here, below, _ in os.walk(top)
        for name in below
        if name.startswith("limosa")
    }
