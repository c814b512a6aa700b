"""The `Machine` port over /proc, uname and the root's file system."""

import os
from collections.abc import Callable
from typing import Final

from limosa.linux import cgroupfs, process
from limosa.model.errors import LimosaError
from limosa.ports.machine import MachineFacts

_LIMIT_S: Final = 10.0


class ThisMachine:
    """See the port."""

    def __init__(self, root: str, program: Callable[[str], str]) -> None:
        self._root, self._program = root, program

    def facts(self) -> MachineFacts:
        """See the port. Source: proc_cpuinfo(5), proc_meminfo(5), statvfs(3)."""
        name = os.uname()
        room = os.statvfs(self._root)
        layout = "v2" if all(one.unified for one in cgroupfs.hierarchies()) else "hybrid"
        return MachineFacts(
            name.release,
            name.machine,
            tuple(_first("/proc/cpuinfo", "flags").split()),
            layout,
            int(_first("/proc/meminfo", "MemAvailable").split()[0]) << 10,
            room.f_bavail * room.f_frsize,
            self._criu(),
        )

    def _criu(self) -> str:
        try:
            said = process.capture([self._program("criu"), "--version"], timeout_s=_LIMIT_S)
        except (LimosaError, OSError):
            return ""
        first = said.stdout.decode(errors="replace").partition("\n")[0]
        return first.removeprefix("Version: ").strip() if said.status == 0 else ""


def _first(path: str, name: str) -> str:
    """Return the value of the first line "name : value" of a file, "" if there is none."""
    with open(path, encoding="ascii", errors="replace") as file:
        for line in file:
            key, colon, value = line.partition(":")
            if colon and key.strip() == name:
                return value.strip()
    return ""
