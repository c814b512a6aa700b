"""Memory and process state between criu's images and the commit store."""

from collections.abc import Mapping, Sequence

from limosa.model.commit_contents import CommittedProcess
from limosa.model.commit_store import Entry
from limosa.model.hints import Final, Protocol
from limosa.ports.commit_store import CommitReader, CommitWriter
from limosa.ports.page_servers import LazyMemory
from limosa.ports.written_pages import KeepAhead, ProcessMemory

IMAGE_PREFIX: Final = b"criu/"
"""Keys of criu's metadata images: the prefix and the image's name."""

MEMORY_PREFIX: Final = b"memory/"
"""Keys of memories: the prefix and the name of the pagemap image that describes one; page number = address / 4096."""


class MemoryArchive(Protocol):
    """Both directions. What a commit says is not believed: it may be a stranger's."""

    def save(
        self,
        writer: CommitWriter,
        criu_images: str,
        memories: Sequence[ProcessMemory] = (),
        parent: CommitReader | None = None,
    ) -> Mapping[bytes, Entry]:
        """Put a finished dump into the store and return the manifest's entries for it. The directory stays.

        `memories` are what was followed, of the same moment: the dump may have left it out. Where one counts since
        the parent, `parent` is that commit.
        Raises: LimosaError LIM-CRIU-030: it is no whole dump; those of `writer`.
        """

    def keep_ahead(self, writer: CommitWriter, parent: CommitReader | None) -> KeepAhead:
        """Return what puts memory of processes that still run into the store, for a `save` that follows with `parent`.

        Raises, when it is called: those of `writer`.
        """

    def load(self, reader: CommitReader, criu_images: str) -> None:
        """Write the images of a commit into the empty directory `criu_images`, as the dump left them.

        Raises: LimosaError LIM-CRIU-031: the commit has no whole dump, or one that would write elsewhere; those of
        `reader`; LIM-STORE-006: the disk is full. What was written stays; the caller removes the directory.
        """

    def load_lazily(self, reader: CommitReader, criu_images: str) -> tuple[LazyMemory, ...]:
        """Do what `load` does, but leave out what may come later, and return that; nothing if it is not worth it.

        Raises: as `load`.
        """

    def processes(self, reader: CommitReader) -> list[CommittedProcess]:
        """Return the processes of a commit by pid, without those that had ended. Raises: as `load`; writes nothing."""

    def kept_by_kernel(self, reader: CommitReader, pid: int) -> list[tuple[int, int]]:
        """Return first byte and end of memory of a committed process that the kernel writes as it needs it.

        It may do so while a dump is made: a stopped thread goes back to user mode for criu. Where the process is
        restored the kernel writes it again, before the first instruction. Raises: as `load`.
        """
