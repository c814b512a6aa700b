"""The keeper of a container: the one process that waits to start it again. It belongs to no other container."""

from limosa.model.container import ProcessName
from limosa.model.hints import Protocol
from limosa.model.ids import ContainerId


class Keepers(Protocol):
    """Keepers as processes of this machine."""

    def this_process(self) -> ProcessName:
        """Return the name of the process that calls."""

    def alive(self, keeper: ProcessName) -> bool:
        """Say whether a keeper still waits."""

    def end(self, keeper: ProcessName) -> None:
        """End a keeper, which holds nothing while it waits. Nothing happens if it has ended or is the caller."""

    def begin(self, container_id: ContainerId) -> None:
        """Start a keeper for a container whose own one is dead. It outlives the caller and registers itself."""
