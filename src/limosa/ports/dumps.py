"""Room for criu's images, between criu and the commit store."""

from limosa.model.hints import Protocol
from limosa.model.ids import ContainerId
from limosa.model.value import NamedTuple


class Dump(NamedTuple):
    """One directory of images. `label` is unique, and the snapshot of files that belongs to it has it too."""

    container_id: ContainerId
    label: str


class Dumps(Protocol):
    """Directories that live as long as the command that made them; `recover` removes what a dead one left."""

    def make(self, dump: Dump) -> str:
        """Return an empty directory that nobody but root and, by descriptor, a container's criu can look into."""

    def remove(self, dump: Dump) -> None:
        """Remove one with all that is in it. Nothing happens if it is gone."""

    def present(self) -> list[Dump]:
        """Return those whose command is dead."""
