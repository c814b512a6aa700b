"""Programs of the host that a container's owner wants executed when something happens to it."""

from limosa.model.hints import Protocol


class HookFailed(Exception):
    """A hook could not be started, ended with another status than 0 or did not end in time; the message says which."""


class Hooks(Protocol):
    """Executes hooks, one after the other."""

    def run(self, command: str, env: tuple[tuple[str, str], ...]) -> None:
        """Execute `command`, split as a shell splits words but by no shell, on the host, and wait for its end.

        Raises: HookFailed, with its last words. A hook that does not end in time has been killed.
        """
