"""The `Timers` port: units of systemd, `limosa[-ROOT]-checkpoint-<id>.timer` and `.service`.

Source: systemd.timer(5), systemd.service(5), sd_booted(3).
"""

import os
from typing import Final

from limosa.linux import atomic_file, files, process
from limosa.model.errors import LimosaError
from limosa.model.ids import ContainerId, looks_like_id

UNITS: Final = "/etc/systemd/system"
_BOOTED: Final = "/run/systemd/system"
# OnUnitInactiveSec counts from the end of the last call: one that takes long is not followed by the next at once.
_TIMER: Final = """[Unit]
Description=commits of the limosa container {container_id}

[Timer]
OnActiveSec={every_s}s
OnUnitInactiveSec={every_s}s
AccuracySec={accuracy_s}s

[Install]
WantedBy=timers.target
"""
# KillMode=process: what it started for a container (a monitor, a keeper) is not its own.
_SERVICE: Final = """[Unit]
Description=a commit of the limosa container {container_id}

[Service]
Type=oneshot
ExecStart={command}
KillMode=process
TimeoutStartSec=infinity
Nice=5
"""


class SystemdTimers:
    """Timers of one root, whose names begin with `prefix`."""

    def __init__(self, prefix: str, root: str, command: str, units: str = UNITS, booted: str = _BOOTED) -> None:
        """`command` is the absolute path of the `limosa` command, `root` what it gets as `--root`."""
        self._prefix = f"{prefix}-checkpoint-"
        self._root = root
        self._command = command
        self._units = units
        self._booted = booted

    def _path(self, container_id: ContainerId, kind: str) -> str:
        return f"{self._units}/{self._prefix}{container_id}.{kind}"

    def require(self) -> None:
        """See the port."""
        if not os.path.isdir(self._booted):
            raise LimosaError(
                "LIM-TIMER-001",
                "nothing here can call limosa at times: this machine does not run systemd",
                cause=f"limosa has no daemon, and {self._booted} is not there (sd_booted(3))",
                hint="let cron call it: */10 * * * * limosa checkpoint --if-running --keep hourly=24,daily=7 NAME",
            )

    def install(self, container_id: ContainerId, every_s: int, arguments: tuple[str, ...]) -> None:
        """See the port."""
        self.require()
        line = " ".join(_quoted(word) for word in (self._command, "--root", self._root, *arguments))
        values = {
            "container_id": container_id,
            "every_s": every_s,
            "accuracy_s": max(1, min(60, every_s // 20)),
            "command": line,
        }
        try:
            for kind, text in (("service", _SERVICE), ("timer", _TIMER)):
                path = self._path(container_id, kind)
                atomic_file.replace(path, text.format(**values).encode())
                os.chmod(path, 0o644)
            self._systemctl("daemon-reload")
            timer = os.path.basename(self._path(container_id, "timer"))
            self._systemctl("enable", "--quiet", timer)
            self._systemctl("restart", timer)
        except (OSError, process.CommandFailed) as refused:
            self.remove(container_id)
            raise LimosaError(
                "LIM-TIMER-002",
                "the timer of a container cannot be made",
                cause=refused.words if isinstance(refused, process.CommandFailed) else str(refused),
                hint=f"systemctl status; the units are in {self._units}",
            ) from refused

    def remove(self, container_id: ContainerId) -> None:
        """See the port."""
        paths = [self._path(container_id, kind) for kind in ("timer", "service")]
        if not any(os.path.exists(path) for path in paths):
            return
        running = os.path.isdir(self._booted)
        if running and os.path.exists(paths[0]):
            try:
                self._systemctl("disable", "--quiet", "--now", os.path.basename(paths[0]))
            except process.CommandFailed:
                pass  # a unit that was half made: its file goes now
        for path in paths:
            files.remove_file(path)
        link = f"{self._units}/timers.target.wants/{os.path.basename(paths[0])}"
        files.remove_file(link)
        if running:
            try:
                self._systemctl("daemon-reload")
            except process.CommandFailed:
                pass  # the next reload sees it

    def present(self) -> list[ContainerId]:
        """See the port."""
        found = set()
        for name in files.names_in(self._units) if os.path.isdir(self._units) else ():
            if name.startswith(self._prefix):
                container_id = name.removeprefix(self._prefix).partition(".")[0]
                if looks_like_id(container_id):
                    found.add(container_id)
        return [ContainerId(one) for one in sorted(found)]

    def _systemctl(self, *arguments: str) -> None:
        process.run(["systemctl", *arguments])


def _quoted(word: str) -> str:
    """Return a word as systemd.service(5) wants it, where %, $, quotes and backslashes mean something."""
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{word}"' if not word or any(letter in word for letter in " \t;'") or "\\" in word else word
