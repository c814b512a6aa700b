"""What limosa leaves in the host's own directories: the boot unit and the shell completion."""

from limosa.model.hints import Protocol


class HostIntegration(Protocol):
    """Files of other programs' directories. Every method may be repeated; the result is the same."""

    def install_boot_unit(self) -> str | None:
        """Install and enable the unit that starts the containers with --onboot; None where systemd is not installed.

        Returns: the unit's path. Raises: LimosaError LIM-TOOL-004: systemd refused it; the file stays.
        """

    def install_completion(self, script: str) -> str:
        """Install `script` as bash's completion of `limosa` and return its path."""
