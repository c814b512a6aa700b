"""What kinds of files an import understands, and how each is read."""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final, Literal

from limosa.adapters.oci_images.tar_stream import ForwardStream, compression, decompressed, members
from limosa.linux import process

Archive = Literal["docker-archive", "oci-archive", "rootfs"]
_TAR: Final = ("--create", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--sparse", "--sort=name", "--file=-")
_PACKED: Final = re.compile(
    r"(?:blobs(?:/.*)?|oci-layout|index\.json|manifest\.json|repositories|[0-9a-f]{64}(?:/.*|\.tar|\.json)?)\Z"
)
_BLOCK_BYTES: Final = 1 << 20
_MOST_MEMBERS: Final = 10_000


def kind_of(file: BinaryIO, program: Callable[[str], str]) -> Archive:
    """Say what a tar is by its members' names; `file` is at its beginning afterwards.

    Raises: MalformedTar: it is no tar.
    """
    seen: set[str] = set()
    try:
        with decompressed(file, program) as source:
            for count, member in enumerate(members(ForwardStream(source))):
                name = member.name.removeprefix("./").strip("/")
                if count > _MOST_MEMBERS or (name not in ("", ".") and not _PACKED.match(name)):
                    return "rootfs"
                seen.add(name)
    finally:
        file.seek(0)
    if "manifest.json" in seen:
        return "docker-archive"
    return "oci-archive" if "index.json" in seen else "rootfs"


def plain(file: BinaryIO, path: str, target: str, program: Callable[[str], str]) -> None:
    """Make `target` lead to the archive without compression, which not every program undoes. Raises: MalformedTar."""
    if not compression(file):
        os.symlink(os.path.abspath(path), target)
        return
    with decompressed(file, program) as source, open(target, "xb") as copy:
        while block := source.read(_BLOCK_BYTES):
            copy.write(block)


@contextmanager
def packed(directory: str, workspace: str, program: Callable[[str], str]) -> Iterator[BinaryIO]:
    """Give a tar of a directory as it is read. Raises: OSError: tar could not read all of it."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    said = f"{workspace}/tar.err"
    with open(reading, "rb", buffering=0) as pipe, open(said, "w+b") as errors:
        try:
            argv = [program("tar"), *_TAR, "--directory", directory, "."]
            pid = process.spawn(argv, env={"LC_ALL": "C"}, files=[(writing, 1), (errors.fileno(), 2)])
        finally:
            os.close(writing)
        try:
            yield _Blocks(pipe)  # type: ignore[misc]
        finally:
            pipe.close()
            status = process.wait(pid)
        if status > 1:  # 1: a file changed while it was read
            errors.seek(0)
            raise OSError(errors.read().decode(errors="replace").strip()[-500:])


class _Blocks:
    """A pipe whose reads wait for whole blocks, so that little is copied."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe

    def fileno(self) -> int:
        return self._pipe.fileno()

    def read(self, size: int) -> bytes:
        parts = []
        while size > 0 and (part := self._pipe.read(size)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def time_of(path: str) -> str:
    """Return when a file was written as an image's "created": the same file makes the same image."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(os.stat(path).st_mtime))
