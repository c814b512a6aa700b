"""What tells a copy from what it was copied from, changed while no process of it runs."""

from limosa.model.hints import Final, Protocol
from limosa.model.ids import ContainerId

GENERATION_PATH: Final = "/run/.limosa-generation"
"""Inside every container: see `generation_file`."""


class Identities(Protocol):
    """Generations, host names and memory that must not be the same twice."""

    def generation_file(self, container_id: ContainerId) -> str:
        """Return the host's path of the file that a container sees at `GENERATION_PATH`.

        Its line is the container's id and a number, which grows whenever the container comes back from a commit that
        may have come back before: whoever has a secret, a lease or a cache compares it. It is made where it is missing.
        """

    def advance_generation(self, container_id: ContainerId) -> None:
        """Count one more return. The file is written in place, so that a mount of it shows the new line."""

    def rename_host(self, init_pid: int, hostname: str) -> None:
        """Give the UTS namespace of `init_pid` a host name. Raises: ProcessLookupError: it is gone."""

    def wipe_unique_memory(self, pids: list[int]) -> int:
        """Fill the pages that a fork(2) would have wiped (MADV_WIPEONFORK) with zeros; return their bytes.

        User-space random generators keep their state there, so that a copy does not give the same numbers; so does the
        vDSO's getrandom (MAP_DROPPABLE). The processes must stand still.
        Source: madvise(2); Linux Documentation/filesystems/proc.rst, VmFlags "wf" and "dp".
        """

    def remove(self, container_id: ContainerId) -> None:
        """Remove the generation file. Nothing happens if it is gone."""
