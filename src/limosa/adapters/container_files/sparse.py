"""Files with holes in a tar archive, in GNU tar's format 1.0: a map of what there is, then that, without the holes.

Source: GNU tar manual, "Sparse Formats"; lseek(2), SEEK_DATA.
"""

import errno
import os
import tarfile
from collections.abc import Iterator
from typing import IO, Any, Final

from limosa.model.value import NamedTuple

_BLOCK_BYTES: Final = 512
_COPY_BYTES: Final = 1 << 20
_LARGEST: Final = 8 << 30  # what a plain header can say; Python reads no map behind a larger one


class Segment(NamedTuple):
    """A part of a file that is no hole."""

    offset: int
    size: int


def add(archive: tarfile.TarFile, info: tarfile.TarInfo, file: IO[bytes], size: int) -> None:
    """Add a regular file of `size` bytes; what becomes shorter meanwhile is filled with zeros."""
    segments = _segments(file.fileno(), size)
    stored = sum(segment.size for segment in segments)
    table = b"".join(b"%d\n" % number for number in (len(segments), *(word for one in segments for word in one)))
    table += bytes(-len(table) % _BLOCK_BYTES)
    if stored + len(table) >= size or len(table) + stored >= _LARGEST:
        info.size = size
        archive.addfile(info, _Reader(b"", file, [Segment(0, size)]))  # type: ignore[arg-type]
        return
    words = {"major": "1", "minor": "0", "name": info.name, "realsize": str(size)}
    info.pax_headers = {**info.pax_headers, **{f"GNU.sparse.{key}": value for key, value in words.items()}}
    info.size = len(table) + stored
    archive.addfile(info, _Reader(table, file, segments))  # type: ignore[arg-type]


def _segments(descriptor: int, size: int) -> list[Segment]:
    """Return what there is of a file, and an empty part at its end, by which readers know its size."""
    found, at = [], 0
    while at < size:
        try:
            start = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError as none:
            if none.errno == errno.ENXIO:  # a hole up to the end
                break
            return [Segment(0, size)]  # a file system that tells nothing about holes
        at = min(os.lseek(descriptor, start, os.SEEK_HOLE), size)
        if start < at:
            found.append(Segment(start, at - start))
    return [*found, Segment(size, 0)]


class _Reader:
    """What tarfile takes a file's content from: the map, then the segments."""

    def __init__(self, table: bytes, file: IO[bytes], segments: list[Segment]) -> None:
        self._table, self._file, self._segments = table, file, list(segments)

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes, less only at the end."""
        parts = [self._table[:size]]
        self._table = self._table[size:]
        size -= len(parts[0])
        while size and self._segments:
            offset, left = self._segments.pop(0)
            wanted = min(size, left)
            parts.append(os.pread(self._file.fileno(), wanted, offset).ljust(wanted, b"\0"))
            size -= wanted
            if wanted < left:
                self._segments.insert(0, Segment(offset + wanted, left - wanted))
        return b"".join(parts)


def write(archive: tarfile.TarFile, info: tarfile.TarInfo, file: IO[bytes]) -> None:
    """Write the content of a regular file of an archive to a new, empty file; its holes become holes."""
    content = archive.extractfile(info)
    assert content is not None
    there: Any = info.sparse  # of (offset, size), whatever the type checker has heard
    at = 0
    for offset, size in there or [(0, info.size)]:
        for _ in _parts(content, offset - at):  # zeros; a stream cannot be positioned
            continue
        file.seek(offset)
        for part in _parts(content, size):
            file.write(part)
        at = offset + size
    file.truncate(info.size)


def _parts(content: IO[bytes], size: int) -> Iterator[bytes]:
    """Yield the next `size` bytes in parts. Raises: tarfile.ReadError: there are less."""
    while size > 0 and (part := content.read(min(_COPY_BYTES, size))):
        yield part
        size -= len(part)
