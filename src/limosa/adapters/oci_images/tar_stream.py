"""Read a tar that strangers wrote, forwards only, in bounded memory.

The standard library's `tarfile` does the parsing. Around it: a source that cannot seek backwards (a header with a
negative size would otherwise be read for ever), headers of bounded length (a "name" of 8 GB), and errors where
`tarfile` takes damage for the end of the archive.
"""

import bz2
import gzip
import hashlib
import io
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Final, Protocol

from limosa.linux import process

_BLOCK_BYTES: Final = 256 << 10
_LONGEST_HEADER_BYTES: Final = 1 << 20
_XZ_MEMORY: Final = "--memlimit-decompress=512MiB"
_LONG_HEADERS: Final = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


class MalformedTar(Exception):
    """The archive is damaged, or says something that no archive may say."""


class Source(Protocol):
    """Where bytes come from."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, b"" at the end."""


class ForwardStream:
    """A source as `tarfile` needs it, which goes forwards only and hashes all that passes."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._buffer = memoryview(b"")
        self._position = 0
        self._state = hashlib.sha256()

    def read(self, size: int) -> bytes:
        """Return `size` bytes, fewer only at the end."""
        parts = []
        while size > 0:
            part = self.read_some(size)
            if not part:
                break
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def read_some(self, size: int) -> memoryview:
        """Return 1 to `size` bytes without copying them, or none at the end."""
        if not self._buffer:
            block = self._source.read(_BLOCK_BYTES)
            self._state.update(block)
            self._buffer = memoryview(block)
        part, self._buffer = self._buffer[:size], self._buffer[size:]
        self._position += len(part)
        return part

    def tell(self) -> int:
        """Return how many bytes were read."""
        return self._position

    def seek(self, position: int) -> None:
        """Skip to `position`. Raises: MalformedTar: it lies behind, or beyond the end."""
        if position < self._position:
            raise MalformedTar("a header's size is wrong")
        while self._position < position:
            if not self.read_some(position - self._position):
                raise MalformedTar("the archive ends in the middle of a member")

    def digest(self) -> str:
        """Read to the end and return `sha256:<hex>` of everything."""
        while self.read_some(_BLOCK_BYTES):
            pass
        return f"sha256:{self._state.hexdigest()}"


class _GuardedTarInfo(tarfile.TarInfo):
    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> "_GuardedTarInfo":  # the standard library's name
        try:
            return super().fromtarfile(tarfile)
        except _DAMAGE as damage:
            raise MalformedTar(str(damage)) from damage

    def _proc_member(self, archive: tarfile.TarFile) -> Any:
        if self.size < 0 or (self.type in _LONG_HEADERS and self.size > _LONGEST_HEADER_BYTES):
            raise MalformedTar(f"a header of {self.size} bytes")
        return super()._proc_member(archive)  # type: ignore[misc]


_DAMAGE: Final = (
    tarfile.InvalidHeaderError,  # type: ignore[attr-defined]
    tarfile.TruncatedHeaderError,  # type: ignore[attr-defined]
)


def members(stream: ForwardStream) -> Iterator[tarfile.TarInfo]:
    """Yield the members in order; the data of the latest one is next in `stream`, data left there is skipped.

    Raises: MalformedTar.
    """
    try:
        archive = tarfile.TarFile(
            fileobj=stream,  # type: ignore[arg-type]
            tarinfo=_GuardedTarInfo,
            encoding="utf-8",
            errors="surrogateescape",
        )
        while (member := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]
            yield member
    except (tarfile.TarError, ValueError, ArithmeticError, IndexError, RecursionError) as damage:
        raise MalformedTar(str(damage) or type(damage).__name__) from damage


_MAGIC: Final = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xfd7zXZ\0", "xz"),
    (b"BZh", "bzip2"),
)


def compression(file: BinaryIO) -> str:
    """Return "gzip", "zstd", "xz", "bzip2" or "" by the first bytes of `file`, whose position stays."""
    try:
        start = os.pread(file.fileno(), 8, 0)
    except OSError:
        return ""  # a pipe; what limosa reads from one is not compressed
    if start[1:4] == b"\x2a\x4d\x18" and start[:1] and start[0] & 0xF0 == 0x50:
        return "zstd"  # a skippable frame comes first
    return next((name for magic, name in _MAGIC if start.startswith(magic)), "")


@contextmanager
def decompressed(file: BinaryIO, program: Callable[[str], str]) -> Iterator[Source]:
    """Give what is compressed in `file`, from its current position, by the method that its first bytes name.

    Raises: MalformedTar: the compressed data is damaged (while reading, or at the end of the `with` block).
    """
    method = compression(file)
    if method in ("zstd", "xz"):
        argv = {"zstd": ["-dcq"], "xz": ["-dcq", _XZ_MEMORY]}[method]
        with _piped([program(method), *argv], file) as source:
            yield source
    elif method in ("gzip", "bzip2"):
        try:
            yield gzip.GzipFile(fileobj=file, mode="rb") if method == "gzip" else bz2.BZ2File(file)
        except (EOFError, gzip.BadGzipFile, zlib.error) as damage:
            raise MalformedTar(f"damaged {method} data: {damage}") from damage
    else:
        yield file


@contextmanager
def _piped(argv: list[str], file: BinaryIO) -> Iterator[Source]:
    reading, writing = os.pipe2(os.O_CLOEXEC)
    with open(reading, "rb", buffering=0) as pipe:
        try:
            pid = process.spawn(argv, env={"LC_ALL": "C"}, files=[(file.fileno(), 0), (writing, 1)])
        finally:
            os.close(writing)
        try:
            yield io.BufferedReader(pipe, _BLOCK_BYTES)
        except BaseException:
            pipe.close()
            process.wait(pid)
            raise
        at_end = not pipe.read(1)
    status = process.wait(pid)
    if at_end and status != 0:
        raise MalformedTar(f"damaged data: {os.path.basename(argv[0])} ended with {status}")
