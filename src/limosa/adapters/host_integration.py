"""The boot unit and the shell completion, where Debian looks for what an administrator installed."""

import os
from typing import Final

from limosa.linux import process
from limosa.model.errors import LimosaError

_UNIT: Final = "/etc/systemd/system/limosa-onboot.service"
_COMPLETION: Final = "/usr/local/share/bash-completion/completions/limosa"
# KillMode=process: the containers' monitors are children of this unit's command and outlive it.
_UNIT_TEXT: Final = """[Unit]
Description=limosa containers that start at boot
Wants=network-online.target
After=network-online.target local-fs.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={command} start --onboot
KillMode=process
TimeoutStartSec=infinity

[Install]
WantedBy=multi-user.target
"""


class SystemHostIntegration:
    """ports.host_integration.HostIntegration for Debian."""

    def __init__(self, command: str) -> None:
        """`command` is the absolute path of the `limosa` command."""
        self._command = command

    def install_boot_unit(self) -> str | None:
        """Install and enable the unit; None where systemd is not installed."""
        import shutil

        if not shutil.which("systemctl"):
            return None
        if _written(_UNIT, _UNIT_TEXT.format(command=self._command)):
            commands = [["systemctl", "enable", os.path.basename(_UNIT)]]
            if os.path.isdir("/run/systemd/system"):  # sd_booted(3): otherwise there is nobody to tell
                commands.insert(0, ["systemctl", "daemon-reload"])
            try:
                for argv in commands:
                    process.run(argv)
            except process.CommandFailed as failed:
                raise LimosaError(
                    "LIM-TOOL-004",
                    "cannot enable the unit that starts containers at boot",
                    state=f"{_UNIT} is written and not enabled",
                    cause=failed.words,
                    hint=f"systemctl enable {os.path.basename(_UNIT)}",
                ) from failed
        return _UNIT

    def install_completion(self, script: str) -> str:
        """Install `script` as bash's completion of `limosa` and return its path."""
        _written(_COMPLETION, script)
        return _COMPLETION


def _written(path: str, text: str) -> bool:
    """Write `text` to `path` in one step; say whether it was not there before."""
    try:
        with open(path, encoding="utf-8") as file:
            if file.read() == text:
                return False
    except FileNotFoundError:
        pass
    os.makedirs(os.path.dirname(path), exist_ok=True)
    fresh = f"{path}.{os.getpid()}"
    with open(fresh, "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(fresh, path)
    return True
