"""From a snapshot to entries: what changed since the parent's snapshot, by transactions; contents by extents."""

import os
import stat
from collections.abc import Iterator, Mapping
from typing import Final

from limosa.linux import btrfs, btrfs_changes, extents
from limosa.model import file_entry
from limosa.model.commit_store import PAGE_BYTES, WHOLE_FILE_BYTES, Content, Entry, Inline, Paged, PageMap
from limosa.model.errors import LimosaError
from limosa.model.file_entry import FILES_PREFIX, FileEntry
from limosa.model.value import NamedTuple
from limosa.ports.commit_store import CommitReader, CommitWriter

_AT_ONCE_BYTES: Final = 4 << 20
_INLINE_BYTES: Final = 256
_KINDS: Final = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "link",
    stat.S_IFCHR: "character",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
}


class _Parent(NamedTuple):
    """What the files were before."""

    reader: CommitReader
    prefix: bytes
    directory: bytes
    changes: btrfs_changes.Changes


def save(
    writer: CommitWriter,
    snapshot: str,
    parent: CommitReader | None = None,
    parent_snapshot: str = "",
    prefix: bytes = FILES_PREFIX,
) -> Mapping[bytes, Entry | None]:
    """See the port."""
    try:
        before = _before(snapshot, parent, parent_snapshot, prefix)
        edits: dict[bytes, Entry | None] = {}
        seen = set()
        for path, status in _walk(os.fsencode(snapshot)):
            key = prefix + path
            seen.add(key)
            entry = _entry(writer, os.fsencode(snapshot), path, status, before)
            if entry is not None:
                edits[key] = entry
        if parent is not None:
            edits.update((key, None) for key, _ in parent.entries(prefix) if key not in seen)
        return edits
    except OSError as failed:
        raise LimosaError(
            "LIM-COMM-010",
            "the files of a checkpoint cannot be stored",
            cause=str(failed),
            hint="limosa doctor shows whether storage works on this machine",
        ) from failed


def _before(snapshot: str, parent: CommitReader | None, parent_snapshot: str, prefix: bytes) -> _Parent | None:
    if parent is None or not parent_snapshot:
        return None
    changes = btrfs_changes.since(snapshot, btrfs.generation(parent_snapshot))
    return _Parent(parent, prefix, os.fsencode(parent_snapshot), changes)


def _walk(top: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
    """Yield `top` itself as b"" and every path below it, directories before what is in them."""
    yield b"", os.lstat(top)
    waiting = [b""]
    while waiting:
        directory = waiting.pop()
        with os.scandir(top + b"/" + directory) as listed:
            for one in listed:
                path = directory + b"/" + one.name if directory else one.name
                yield path, one.stat(follow_symlinks=False)
                if one.is_dir(follow_symlinks=False):
                    waiting.append(path)


def _entry(
    writer: CommitWriter, top: bytes, path: bytes, status: os.stat_result, before: _Parent | None
) -> Entry | None:
    """Return the entry of one file, None where the parent's holds."""
    old = _same_file_before(path, status, before)
    if old is not None and before is not None and status.st_ino not in before.changes.inodes:
        return None
    full = top + b"/" + path if path else top
    content: Content = Inline(b"")
    if stat.S_ISLNK(status.st_mode):
        content = Inline(os.readlink(full))
    elif stat.S_ISREG(status.st_mode):
        content = _content(writer, full, status, old, before)
    return Entry(file_entry.encode(_attributes(full, status)), content)


def _same_file_before(path: bytes, status: os.stat_result, before: _Parent | None) -> Entry | None:
    """Return the parent's entry of this path if it is of this very file: inode numbers are never given twice."""
    if before is None:
        return None
    try:
        old = os.lstat(before.directory + b"/" + path if path else before.directory)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if old.st_ino != status.st_ino or stat.S_IFMT(old.st_mode) != stat.S_IFMT(status.st_mode):
        return None
    return before.reader.entry(before.prefix + path)


def _attributes(full: bytes, status: os.stat_result) -> FileEntry:
    names = os.listxattr(full, follow_symlinks=False)
    xattrs = [
        (name, os.getxattr(full, name, follow_symlinks=False)) for name in sorted(names) if file_entry.kept_xattr(name)
    ]
    return FileEntry(
        kind=_KINDS[stat.S_IFMT(status.st_mode)],  # type: ignore[arg-type]
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        modified_ns=status.st_mtime_ns,
        device=(os.major(status.st_rdev), os.minor(status.st_rdev)),
        link_group=0 if stat.S_ISDIR(status.st_mode) else status.st_ino,
        xattrs=tuple(xattrs),
    )


def _content(
    writer: CommitWriter, full: bytes, status: os.stat_result, old: Entry | None, before: _Parent | None
) -> Content:
    descriptor = os.open(full, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOATIME)
    try:
        if status.st_size <= WHOLE_FILE_BYTES:
            data = _read(descriptor, 0, status.st_size)
            return Inline(data) if len(data) <= _INLINE_BYTES else writer.put_blob(data)
        data_ranges = list(extents.data_ranges(descriptor, status.st_size))
        base, wanted = PageMap(), data_ranges
        if old is not None and before is not None and isinstance(old.content, Paged):
            base = old.content.pages
            written = before.changes.extents.get(status.st_ino, [])
            if old.content.size_bytes != status.st_size:
                # What lies behind the end was cut off, and the last page may have been cut inside.
                end = min(old.content.size_bytes, status.st_size)
                written = [*written, (end - end % PAGE_BYTES, PAGE_BYTES)]
            wanted = extents.common(extents.whole_pages(written), data_ranges)
        holes = extents.page_holes(data_ranges) if base.root is not None else []
        pages = writer.put_pages(base, _pages(descriptor, wanted), holes)
        return Paged(pages, status.st_size)
    finally:
        os.close(descriptor)


def _pages(descriptor: int, ranges: list[tuple[int, int]]) -> Iterator[tuple[int, bytes]]:
    """Yield the content of ranges of whole pages; what lies behind the end of the file is zero."""
    for first_byte, size_bytes in ranges:
        for offset in range(first_byte, first_byte + size_bytes, _AT_ONCE_BYTES):
            wanted = min(_AT_ONCE_BYTES, first_byte + size_bytes - offset)
            data = _read(descriptor, offset, wanted)
            yield offset // PAGE_BYTES, data + bytes(wanted - len(data))


def _read(descriptor: int, offset: int, size_bytes: int) -> bytes:
    data = os.pread(descriptor, size_bytes, offset)
    while len(data) < size_bytes and (more := os.pread(descriptor, size_bytes - len(data), offset + len(data))):
        data += more
    return data
