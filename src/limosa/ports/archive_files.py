"""The files of an image's archive, as they are sent to another host."""

from collections.abc import Iterable, Iterator

from limosa.model.hints import Protocol


class ArchiveFiles(Protocol):
    """Files of a directory that an image is read from or was received into."""

    def listed(self, directory: str) -> list[tuple[str, int]]:
        """Return the files of an OCI layout, (name, bytes), those that are named by others first."""

    def read(self, directory: str, name: str) -> Iterator[bytes]:
        """Yield a file's content in parts of at most 256 KiB."""

    def write(self, directory: str, name: str, parts: Iterable[bytes]) -> None:
        """Write a file of a layout. Raises: ValueError: a layout has no file of that name; LIM-IMG-007: disk full."""
