"""What calls limosa again and again: the machine's own timers, since limosa has no daemon."""

from limosa.model.hints import Protocol
from limosa.model.ids import ContainerId


class Timers(Protocol):
    """A timer per container. Every method may be repeated after a crash; the result is the same."""

    def require(self) -> None:
        """Raise LimosaError LIM-TIMER-001 if this machine has none."""

    def install(self, container_id: ContainerId, every_s: int, arguments: tuple[str, ...]) -> None:
        """Call `limosa ARGUMENTS` every `every_s` seconds from now on, also after a reboot.

        An earlier timer is replaced.

        The first call comes after `every_s`. Two calls never overlap; one that fails is seen in the machine's journal.
        Raises: LimosaError LIM-TIMER-001: there are no timers here; LIM-TIMER-002: it was refused; nothing is left.
        """

    def remove(self, container_id: ContainerId) -> None:
        """Take a container's timer away; a call that is at work ends by itself. Nothing happens if there is none."""

    def present(self) -> list[ContainerId]:
        """Return the containers of this root that have a timer."""
