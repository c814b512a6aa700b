"""A container's own files between a snapshot and the commit store."""

from collections.abc import Mapping

from limosa.model.commit_store import Entry
from limosa.model.file_entry import FILES_PREFIX
from limosa.model.hints import Protocol
from limosa.ports.commit_store import CommitReader, CommitWriter


class FileArchive(Protocol):
    """Both directions. Entries are those of `limosa.model.file_entry`, below a prefix: of the container or a volume."""

    def save(
        self,
        writer: CommitWriter,
        snapshot: str,
        parent: CommitReader | None = None,
        parent_snapshot: str = "",
        prefix: bytes = FILES_PREFIX,
    ) -> Mapping[bytes, Entry | None]:
        """Return what differs in the files of `snapshot`, an unchanging directory, from those of `parent`.

        With `parent_snapshot`, the files of the parent commit in the same line of snapshots, only extents that were
        written since are read, and files that were not touched are not opened; None for what is gone.
        Raises: LimosaError LIM-COMM-010: a file cannot be read; those of `writer` and `parent`.
        """

    def load(self, reader: CommitReader, directory: str, prefix: bytes = FILES_PREFIX) -> None:
        """Make the files of a commit in the empty directory `directory`, whose own owner and mode they set too.

        What a commit says is not believed: no path and no link leads out of the directory.
        Raises: LimosaError LIM-COMM-011: a path or an attribute that cannot be; LIM-STORE-006: the disk is full. What
        was written stays; the caller removes it.
        """
