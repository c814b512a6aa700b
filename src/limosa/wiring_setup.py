"""The adapters that bring a machine up: apart from wiring.py, since they must work where nothing else does yet."""

import os
from typing import TYPE_CHECKING, Final

from limosa.model.errors import LimosaError

if TYPE_CHECKING:
    from limosa.ports.host_integration import HostIntegration
    from limosa.ports.probes import FindingCache, Probes
    from limosa.ports.toolchain import Toolchain

TOOLS_DIR: Final = "/var/lib/limosa/tools"
"""One place for every --root of this machine; TOOLS_DIR/current/criu and …/crun are the selected executables."""


def require_root(what: str) -> None:
    """Raises: LimosaError LIM-TOOL-003: this process is not root."""
    if os.geteuid() != 0:
        raise LimosaError("LIM-TOOL-003", f"cannot {what}: not root", hint="run it with sudo")


def toolchain() -> "Toolchain":
    """Return this machine's packages, criu and crun."""
    from limosa.adapters.toolchain import DebianToolchain

    return DebianToolchain(TOOLS_DIR)


def probes() -> "Probes":
    """Return the trials of this machine and of the selected criu and crun."""
    from limosa.adapters.probes import SystemProbes

    known = toolchain()

    def selected(name: str) -> str | None:
        tool = known.selected(name)
        return tool.path if tool else None

    def library() -> str | None:
        import shutil

        from limosa.adapters.criu import native

        return native.library(f"{TOOLS_DIR}/native", shutil.which("cc") or "") or None

    paths = {"criu": lambda: selected("criu"), "crun": lambda: selected("crun"), "written-pages": library}
    return SystemProbes(paths)


def finding_cache() -> "FindingCache":
    """Return what earlier trials of this machine showed."""
    from limosa.adapters.probe_cache import JsonFindingCache

    return JsonFindingCache(f"{TOOLS_DIR}/findings.json")


def host_integration() -> "HostIntegration":
    """Return the host's own directories that limosa adds a file to."""
    import shutil
    import sys

    from limosa.adapters.host_integration import SystemHostIntegration

    command = shutil.which(sys.argv[0]) or shutil.which("limosa") or sys.argv[0]
    return SystemHostIntegration(os.path.abspath(command))
