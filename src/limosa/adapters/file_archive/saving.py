"""From a snapshot to entries: what changed since the parent's snapshot, by transactions; contents by extents."""

import os
import stat
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial

from limosa.linux import btrfs, btrfs_changes, extents
from limosa.model import file_entry
from limosa.model.commit_store import (
    BATCH_PAGES,
    PAGE_BYTES,
    WHOLE_FILE_BYTES,
    Content,
    Entry,
    Inline,
    Paged,
    PageMap,
)
from limosa.model.errors import LimosaError, words_of
from limosa.model.file_entry import FILES_PREFIX, FileEntry
from limosa.model.hints import Final
from limosa.model.value import NamedTuple
from limosa.ports.commit_store import CommitReader, CommitWriter, NewMap, Unread

_AT_ONCE_BYTES: Final = BATCH_PAGES * PAGE_BYTES
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
        large = []
        seen = set()
        for path, status in _walk(os.fsencode(snapshot)):
            key = prefix + path
            seen.add(key)
            entry, old = _entry(writer, os.fsencode(snapshot), path, status, before)
            if entry is not None:
                edits[key] = entry
                if _is_large(status):
                    full = os.fsencode(snapshot) + b"/" + path
                    large.append(_Large(key, full, status, old, before.changes if before is not None else None))
        for key, content in _large_contents(writer, large):
            edits[key] = edits[key]._replace(content=content)  # type: ignore[union-attr]
        if parent is not None:
            edits.update((key, None) for key, _ in parent.entries(prefix) if key not in seen)
        return edits
    except OSError as failed:
        raise LimosaError(
            "LIM-COMM-010",
            "the files of a checkpoint cannot be stored",
            cause=words_of(failed),
            hint="limosa doctor shows whether storage works on this machine",
        ) from failed


class _Large(NamedTuple):
    """A file whose content goes in pages."""

    key: bytes
    full: bytes
    status: os.stat_result
    old: Entry | None  # what the parent has of it
    changes: btrfs_changes.Changes | None


def _is_large(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_size > WHOLE_FILE_BYTES


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
) -> tuple[Entry | None, Entry | None]:
    """Return the entry of one file, None where the parent's holds, and the parent's; of a large one without content."""
    old = _same_file_before(path, status, before)
    if old is not None and before is not None and status.st_ino not in before.changes.inodes:
        return None, old
    full = top + b"/" + path if path else top
    content: Content = Inline(b"")
    if stat.S_ISLNK(status.st_mode):
        content = Inline(os.readlink(full))
    elif stat.S_ISREG(status.st_mode) and not _is_large(status):
        data = _whole(full, status.st_size)
        content = Inline(data) if len(data) <= _INLINE_BYTES else writer.put_blob(data)
    return Entry(file_entry.encode(_attributes(full, status)), content), old


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


def _whole(full: bytes, size_bytes: int) -> bytes:
    descriptor = _opened(full)
    try:
        data = os.pread(descriptor, size_bytes, 0)
        while len(data) < size_bytes and (more := os.pread(descriptor, size_bytes - len(data), len(data))):
            data += more
        return data
    finally:
        os.close(descriptor)


def _opened(full: bytes) -> int:
    return os.open(full, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOATIME)


def _large_contents(writer: CommitWriter, files: Sequence[_Large]) -> Iterator[tuple[bytes, Content]]:
    """Yield key and content of each file. Several are read at once."""
    opened: deque[int] = deque()

    def maps() -> Iterator[NewMap]:
        for file in files:
            opened.append(_opened(file.full))
            yield _new_map(opened[-1], file)

    try:
        with closing(writer.put_maps(maps())) as made:
            for file, pages in zip(files, made, strict=True):
                os.close(opened.popleft())
                yield file.key, Paged(pages, file.status.st_size)
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _new_map(descriptor: int, file: _Large) -> NewMap:
    size_bytes, old = file.status.st_size, file.old
    data_ranges = list(extents.data_ranges(descriptor, size_bytes))
    base, wanted = PageMap(), data_ranges
    if old is not None and file.changes is not None and isinstance(old.content, Paged):
        base = old.content.pages
        written = file.changes.extents.get(file.status.st_ino, [])
        if old.content.size_bytes != size_bytes:
            # What lies behind the end was cut off, and the last page may have been cut inside.
            end = min(old.content.size_bytes, size_bytes)
            written = [*written, (end - end % PAGE_BYTES, PAGE_BYTES)]
        wanted = extents.common(extents.whole_pages(written), data_ranges)
    holes = extents.page_holes(data_ranges) if base.root is not None else []
    return NewMap(base, _unread(descriptor, wanted), holes)


def _unread(descriptor: int, ranges: list[tuple[int, int]]) -> Iterator[Unread]:
    """Yield ranges of whole pages; what lies behind the end of the file is zero."""
    for first_byte, size_bytes in ranges:
        for offset in range(first_byte, first_byte + size_bytes, _AT_ONCE_BYTES):
            n_pages = min(_AT_ONCE_BYTES, first_byte + size_bytes - offset) // PAGE_BYTES
            yield Unread(((offset // PAGE_BYTES, n_pages),), partial(_fill, descriptor, offset))


def _fill(descriptor: int, offset: int, into: memoryview) -> None:
    done = 0
    while done < len(into):
        got = os.preadv(descriptor, [into[done:]], offset + done)
        if got == 0:
            into[done:] = bytes(len(into) - done)
            return
        done += got
