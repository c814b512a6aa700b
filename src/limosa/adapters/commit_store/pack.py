"""Packs: files of records, one after the other, that are only ever appended to.

    "LIMOSAPK" version(2) key included(1) zero(5) key id(8) key or zero(32) zero(8)    then records

The process that appends holds a lock on the pack; it goes with the process. What follows a pack's last whole record
was being written when its writer died, and is passed over.
"""

import fcntl
import os
import struct
from collections.abc import Iterator

from limosa.adapters.commit_store import record as records
from limosa.linux import writeback
from limosa.model.commit_store import Malformed
from limosa.model.hints import Final

_HEAD: Final = struct.Struct("<8sHB5x8s32s8x")
HEAD_BYTES: Final = _HEAD.size
_MAGIC: Final = b"LIMOSAPK"
MAX_PACK_BYTES: Final = 512 << 20
_SUFFIX: Final = ".pack"
_BEGIN_BYTES: Final = 8 << 20  # as soon as there are so many, the disk may begin with them


def head(key_id: bytes, key: bytes | None = None) -> bytes:
    """Return the first bytes of a pack; with `key`, of an exported file that brings its key."""
    return _HEAD.pack(_MAGIC, 1, int(key is not None), key_id, key or b"")


def parse_head(data: bytes) -> tuple[bytes, bytes | None]:
    """Return the key id of a pack that begins with `data`, and the key if it brings it. Raises: Malformed."""
    if len(data) < HEAD_BYTES:
        raise Malformed("a pack ends in its header")
    magic, version, has_key, key_id, key = _HEAD.unpack_from(data)
    if magic != _MAGIC:
        raise Malformed("it is not a pack")
    if version != 1 or has_key > 1:
        raise Malformed(f"a pack of version {version}.{has_key}, which is newer than this limosa")
    return bytes(key_id), bytes(key) if has_key else None


def names(directory: str) -> dict[str, int]:
    """Return the packs of a directory and their sizes."""
    found = {}
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.endswith(_SUFFIX):
                try:
                    found[entry.name] = entry.stat().st_size
                except FileNotFoundError:  # removed by a collection since
                    continue
    return found


def try_lock(descriptor: int, *, exclusive: bool) -> bool:
    """Take the lock on a pack unless another process has it."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class PackWriter:
    """Appends records to one pack. Its lock is held until `close`."""

    def __init__(self, directory: str, name: str, descriptor: int, end: int) -> None:
        self.name = name
        self.end = end
        self.began_at = end
        self._begun = end
        self._directory = directory
        self._descriptor = descriptor

    @classmethod
    def create(cls, directory: str, key_id: bytes) -> "PackWriter":
        """Begin a new pack. Raises: OSError; nothing is left."""
        name = os.urandom(16).hex() + _SUFFIX
        path = f"{directory}/{name}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        writer = cls(directory, name, descriptor, 0)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            writer.append(head(key_id))
        except BaseException:
            os.close(descriptor)
            os.unlink(path)
            raise
        return writer

    @classmethod
    def reopen(cls, directory: str, name: str, end: int) -> "PackWriter | None":
        """Go on with a pack that ends at `end` exactly and that nobody else appends to, else return None."""
        try:
            descriptor = os.open(f"{directory}/{name}", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        if try_lock(descriptor, exclusive=True):
            status = os.fstat(descriptor)
            if status.st_nlink and status.st_size == end:
                return cls(directory, name, descriptor, end)
        os.close(descriptor)
        return None

    def append(self, data: bytes) -> int:
        """Write a record and return where it begins. Raises: OSError (ENOSPC…): `abandon` takes it back."""
        start = self.end
        view = memoryview(data)
        while view:
            written = os.pwrite(self._descriptor, view, self.end)
            self.end += written
            view = view[written:]
        if self.end - self._begun >= _BEGIN_BYTES:
            writeback.begin(self._descriptor, self._begun, self.end - self._begun)
            self._begun = self.end
        return start

    def sync(self) -> None:
        """Return when all that was written, and the pack's name, would survive a power failure."""
        os.fsync(self._descriptor)
        if self.began_at == 0:
            directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)

    def settle(self) -> None:
        """Let `abandon` leave alone what was written so far."""
        self.began_at = self.end

    def abandon(self) -> None:
        """Take back what was written since the last `settle`, so that a full disk gets its space back, and close."""
        try:
            if self.began_at == 0:
                os.unlink(f"{self._directory}/{self.name}")
            elif self.began_at < self.end:
                os.ftruncate(self._descriptor, self.began_at)
        except OSError:
            pass  # what stays is passed over by readers and taken by a collection
        finally:
            self.close()

    def close(self) -> None:
        """Give the pack and its lock back. It may be called again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def scan(descriptor: int, start: int, end: int) -> Iterator[tuple[int, records.Header, bytes]]:
    """Yield (offset, header, whole record) of the records between two offsets.

    Raises: Malformed: what stands at the offset after the last one yielded is no whole record.
    """
    at = start
    while at < end:
        header = records.parse_header(os.pread(descriptor, records.HEADER_BYTES, at))
        if at + header.total_bytes > end:
            raise Malformed("a record ends too early")
        data = os.pread(descriptor, header.total_bytes, at)
        records.check(header, data)
        yield at, header, data
        at += header.total_bytes


def salvage(descriptor: int, start: int, end: int) -> Iterator[tuple[int, records.Header, bytes]]:
    """Yield the whole records between two offsets of a pack of our own, passing over what is none.

    Not for packs of strangers, who could make each byte look like the beginning of a record.
    """
    at = start
    while at < end:
        try:
            for offset, header, data in scan(descriptor, at, end):
                yield offset, header, data
                at = offset + header.total_bytes
        except Malformed:
            at = _next_magic(descriptor, at + 1, end)


def _next_magic(descriptor: int, start: int, end: int) -> int:
    step = 1 << 20
    for at in range(start, end, step):
        found = os.pread(descriptor, step + len(records.MAGIC) - 1, at).find(records.MAGIC)
        if found >= 0:
            return at + found
    return end
