"""Cgroups of containers on cgroup v2 and on the hybrid v1 layout, behind one port (docs/adr/0005)."""

from limosa.linux import cgroupfs
from limosa.ports.cgroups import Cgroups


def open_cgroups(name: str, run_directory: str) -> Cgroups:
    """Return the adapter for the layout of this machine; `name` is the group above the containers' own.

    What is remembered of it is `<run_directory>/cgroups`. v2 is used alone only where no v1 hierarchy is mounted.
    """
    if all(one.unified for one in cgroupfs.hierarchies()):
        from limosa.adapters.cgroups.unified import UnifiedCgroups

        return UnifiedCgroups(name, run_directory)
    from limosa.adapters.cgroups.hybrid import HybridCgroups

    return HybridCgroups(name, run_directory)


def hidden_mount() -> str:
    """Return the v2 mount that crun must not see: where v1 is mounted too it refuses to start; "" where it may."""
    mounted = cgroupfs.hierarchies()
    if all(one.unified for one in mounted):
        return ""
    return next((one.mount_point for one in mounted if one.unified), "")
