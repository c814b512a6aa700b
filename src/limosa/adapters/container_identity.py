"""The `Identities` port: a file per container, the UTS namespace, and the memory of stopped processes.

<root>/generations/<id>     "<id> <number>"; bind-mounted into the container
"""

import os

from limosa.linux import namespaces, process_memory
from limosa.model.hints import Final
from limosa.model.ids import ContainerId

_UNIQUE: Final = ("wf", "dp")


class ContainerIdentities:
    """Identities of the containers of one root."""

    def __init__(self, root: str) -> None:
        self._directory = f"{root}/generations"

    def generation_file(self, container_id: ContainerId) -> str:
        """See the port."""
        path = f"{self._directory}/{container_id}"
        if not os.path.exists(path):
            os.makedirs(self._directory, mode=0o711, exist_ok=True)
            _write(path, container_id, 0)
        return path

    def advance_generation(self, container_id: ContainerId) -> None:
        """See the port."""
        path = self.generation_file(container_id)
        with open(path, encoding="utf-8") as file:
            words = file.read().split()
        _write(path, container_id, int(words[1]) + 1 if len(words) == 2 and words[1].isdigit() else 1)

    def rename_host(self, init_pid: int, hostname: str) -> None:
        """See the port."""
        import socket

        descriptor = namespaces.open_uts(init_pid)
        try:
            with namespaces.entered(descriptor, namespaces.CLONE_NEWUTS):
                socket.sethostname(hostname)
        finally:
            os.close(descriptor)

    def wipe_unique_memory(self, pids: list[int]) -> int:
        """See the port."""
        wiped = 0
        for pid in pids:
            for first, size_bytes in process_memory.flagged_ranges(pid, _UNIQUE):
                process_memory.fill_with_zeros(pid, first, size_bytes)
                wiped += size_bytes
        return wiped

    def remove(self, container_id: ContainerId) -> None:
        """See the port."""
        try:
            os.unlink(f"{self._directory}/{container_id}")
        except FileNotFoundError:
            pass


def _write(path: str, container_id: ContainerId, number: int) -> None:
    # In place: a mount shows the file that it was made of, not the one that has its name now.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        text = f"{container_id} {number}\n".encode()
        os.pwrite(descriptor, text, 0)
        os.ftruncate(descriptor, len(text))
    finally:
        os.close(descriptor)
