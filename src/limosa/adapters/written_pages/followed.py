"""What was followed since which commit: `written-pages` in the directory of a container's present life.

In the moment in which marks are set anew, the record says of no process any more since when they count; it says so
again once the commit that they are relative to is on disk. Whoever dies in between leaves a record with which
everything counts as written.
"""

import json
import os
from collections.abc import Callable

from limosa.linux import boot
from limosa.model import codec
from limosa.model.hints import Final
from limosa.model.ids import ContainerId
from limosa.model.value import NamedTuple

NOBODY: Final = (0, 0)


class FollowedProcess(NamedTuple):
    """A process by its number on the host and its start."""

    pid: int
    start_ticks: int
    descriptor: int = 0  # its userfaultfd in the holder
    since: str = ""  # the commit that marks are relative to, "" for none


class Record(NamedTuple):
    """The processes of a container that are followed, and who holds their userfaultfds."""

    boot_id: str = ""
    holder: tuple[int, int] = NOBODY  # pid, start ticks
    processes: tuple[FollowedProcess, ...] = ()


class Records:
    """The records of one root."""

    def __init__(self, directory_of: Callable[[ContainerId], str]) -> None:
        """`directory_of` says where things are that go when a container's processes do."""
        self._directory_of = directory_of

    def _path(self, container_id: ContainerId) -> str:
        return f"{self._directory_of(container_id)}/written-pages"

    def load(self, container_id: ContainerId) -> Record:
        """Return a container's record, an empty one if there is none of this boot."""
        try:
            with open(self._path(container_id), encoding="ascii") as file:
                found = codec.from_jsonable(Record, json.load(file))
        except (OSError, ValueError):
            return Record()
        return found if found.boot_id == boot.boot_id() else Record()

    def save(self, container_id: ContainerId, record: Record) -> None:
        """Write a record, in one step. A power loss may take it, with every process that it names."""
        self._write(f"{self._path(container_id)}.new", record)
        os.replace(f"{self._path(container_id)}.new", self._path(container_id))

    def prepare_reset(self, container_id: ContainerId, record: Record) -> None:
        """Make it cheap to say of no process of a record since when its marks count."""
        unsure = tuple(one._replace(since="") for one in record.processes)
        self._write(f"{self._path(container_id)}.unsure", record._replace(processes=unsure))

    def reset(self, container_id: ContainerId) -> None:
        """Say so: one system call, for everything may stand still."""
        os.replace(f"{self._path(container_id)}.unsure", self._path(container_id))

    def _write(self, path: str, record: Record) -> None:
        with open(path, "w", encoding="ascii") as file:
            json.dump(codec.to_jsonable(record._replace(boot_id=boot.boot_id())), file)
