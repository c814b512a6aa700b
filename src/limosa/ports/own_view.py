"""A container's own view of the machine: files of /proc and /sys that show its share instead of the whole."""

from collections.abc import Callable

from limosa.model.hints import Protocol


class OwnView(Protocol):
    """Files that show each reader its own container's share, for all containers of one root."""

    def provide(self) -> tuple[tuple[str, str], ...]:
        """Return (file of the host, path inside) of each file; what renders them is started if it does not run.

        Empty where this machine has nothing that renders them; `doctor` says so.
        Raises: LimosaError LIM-VIEW-001: it cannot be started; nothing is left of the attempt.
        """

    def inside(self) -> tuple[str, ...]:
        """Return the paths inside that `provide` can bring, whether they are there or not."""

    def close(self, unless: Callable[[], bool]) -> None:
        """End what renders them, unless `unless()`, which is asked when nobody can start it meanwhile."""
