"""Commits whose files can be looked at in a directory of the host."""

from contextlib import AbstractContextManager

from limosa.model.commit import CommitId
from limosa.model.hints import Protocol
from limosa.model.ids import ContainerId, Digest
from limosa.model.value import NamedTuple


class CommitMount(NamedTuple):
    """A commit that is mounted. What it needs of the pool is called `mount_id` there, like a container's files."""

    mount_id: ContainerId
    commit_id: CommitId
    directory: str  # absolute
    layers: tuple[Digest, ...]
    made_ns: int


class CommitMounts(Protocol):
    """The mounts of one root. A record is there before its mount is, and goes after it."""

    def locked(self) -> AbstractContextManager[None]:
        """Hold the lock that everybody has who makes or removes one; it ends with the process.

        Whoever gets it finds no record that was not finished.
        """

    def all(self) -> list[CommitMount]:
        """Return the records, oldest first, whether they are mounted (any more) or not."""

    def add(self, wanted: CommitMount) -> None:
        """Keep a record, durably."""

    def remove(self, mount_id: ContainerId) -> None:
        """Forget a record. Nothing happens if there is none."""

    def attach(self, wanted: CommitMount, lower: tuple[str, ...]) -> None:
        """Mount the directories `lower` (lowest first) as one read-only tree, without setuid and devices.

        Raises: LimosaError LIM-MOUNT-001: the directory is not there or something is mounted on it; LIM-ROOT-001: the
        kernel refused. Nothing is mounted then.
        """

    def attached(self, wanted: CommitMount) -> bool:
        """Say whether it is mounted where it belongs."""

    def detach(self, wanted: CommitMount) -> None:
        """Unmount it. Nothing happens if it is not mounted.

        Raises: LimosaError LIM-MOUNT-002: a process uses it; it stays mounted.
        """
