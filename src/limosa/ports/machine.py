"""What a machine is like, for a container that may come to it."""

from limosa.model.hints import Protocol
from limosa.model.value import NamedTuple


class MachineFacts(NamedTuple):
    """One machine, now."""

    kernel: str
    architecture: str
    cpu_flags: tuple[str, ...]
    cgroups: str
    free_memory_bytes: int
    free_disk_bytes: int
    criu: str  # its version, "" if it does not start


class Machine(Protocol):
    """The machine of one limosa root."""

    def facts(self) -> MachineFacts:
        """Return what it is like now."""
