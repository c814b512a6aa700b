"""The `Dumps` port: <root>/dumps/<container id>.<label>/criu.

The command that made a directory holds an flock(2) on it, which ends with the command.
"""

import fcntl
import os

from limosa.linux import files
from limosa.model.ids import ContainerId
from limosa.ports.dumps import Dump


class DumpDirectories:
    """Directories of one root."""

    def __init__(self, root: str) -> None:
        self._directory = f"{root}/dumps"
        self._held: dict[Dump, int] = {}

    def _path(self, dump: Dump) -> str:
        return f"{self._directory}/{dump.container_id}.{dump.label}"

    def make(self, dump: Dump) -> str:
        """See the port."""
        # criu's restorer opens images by descriptor when it is already the container's root, who is nobody here; the
        # directory above keeps everybody else out.
        os.makedirs(self._path(dump), mode=0o700)
        self._held[dump] = os.open(self._path(dump), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(self._held[dump], fcntl.LOCK_EX)
        path = f"{self._path(dump)}/criu"
        os.mkdir(path)
        os.chmod(path, 0o711)
        return path

    def remove(self, dump: Dump) -> None:
        """See the port."""
        files.remove_tree(self._path(dump))
        held = self._held.pop(dump, None)
        if held is not None:
            os.close(held)

    def present(self) -> list[Dump]:
        """See the port."""
        found = (name.partition(".") for name in sorted(files.names_in(self._directory)))
        dumps = [Dump(ContainerId(container_id), label) for container_id, _, label in found if label]
        return [dump for dump in dumps if self._ownerless(dump)]

    def _ownerless(self, dump: Dump) -> bool:
        try:
            descriptor = os.open(self._path(dump), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True
