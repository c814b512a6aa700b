"""From entries to a directory. The commit may be a stranger's: nothing outside of the directory is touched.

Nobody else writes below the directory meanwhile, and a path's parents have to be directories that were made here, so
no link is ever followed.
"""

import os
from typing import Final

from limosa.linux import files
from limosa.model import file_entry
from limosa.model.commit_store import PAGE_BYTES, Blob, Entry, Inline, Paged
from limosa.model.errors import LimosaError
from limosa.model.file_entry import FILES_PREFIX, FileEntry
from limosa.ports.commit_store import CommitReader

_FORMATS: Final = {"character": 0o020000, "block": 0o060000, "pipe": 0o010000, "socket": 0o140000}
_MOST_SIZE_BYTES: Final = 1 << 62


def load(reader: CommitReader, directory: str, prefix: bytes = FILES_PREFIX) -> None:
    """See the port."""
    top = os.fsencode(directory)
    made: dict[bytes, FileEntry] = {}
    links: dict[int, bytes] = {}
    try:
        for key, entry in reader.entries(prefix):
            path = file_entry.checked_path(key, prefix)
            said = file_entry.decode(entry.attributes)
            _make(reader, top, path, entry, said, made, links)
        # Making files changes the times of their directories, and a mode may keep even root's programs out: last, and
        # the deepest first.
        for path in sorted(made, key=lambda path: path.count(b"/"), reverse=True):
            _finish(top + b"/" + path if path else top, made[path])
    except ValueError as made_up:
        raise LimosaError(
            "LIM-COMM-011",
            "the files of a commit cannot be brought back",
            cause=str(made_up),
            hint="limosa verify shows whether the commit is whole; it may come from somebody who means harm",
        ) from made_up
    except OSError as failed:
        raise LimosaError(
            "LIM-COMM-012",
            "the files of a commit cannot be brought back",
            cause=str(failed),
            hint="make room in the pool, or remove containers and commits",
        ) from failed


def _make(
    reader: CommitReader,
    top: bytes,
    path: bytes,
    entry: Entry,
    said: FileEntry,
    made: dict[bytes, FileEntry],
    links: dict[int, bytes],
) -> None:
    if not path:
        if said.kind != "directory":
            raise ValueError("the root of the files is no directory")
        made[path] = said
        return
    parent = path.rpartition(b"/")[0]
    if parent not in made:
        raise ValueError(f"{path[:80]!r} has no directory")
    full = top + b"/" + path
    earlier = links.get(said.link_group) if said.link_group else None
    if earlier is not None:
        os.link(earlier, full, follow_symlinks=False)
        return
    if said.kind == "directory":
        os.mkdir(full, 0o700)
        made[path] = said
        return
    if said.kind == "file":
        _write(reader, entry, full)
    elif said.kind == "link":
        os.symlink(_target(reader, entry), full)
    else:
        os.mknod(full, _FORMATS[said.kind] | 0o600, os.makedev(*said.device))
    if said.link_group:
        links[said.link_group] = full
    _finish(full, said)


def _target(reader: CommitReader, entry: Entry) -> bytes:
    if not isinstance(entry.content, (Inline, Blob)):
        raise ValueError("a symbolic link with a large target")
    target = reader.content(entry)
    if not target or b"\0" in target or len(target) >= PAGE_BYTES:
        raise ValueError("a symbolic link without a target")
    return target


def _write(reader: CommitReader, entry: Entry, full: bytes) -> None:
    descriptor = os.open(full, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if not isinstance(entry.content, Paged):
            files.write_all(descriptor, reader.content(entry), 0)
            return
        size_bytes = entry.content.size_bytes
        if not 0 <= size_bytes < _MOST_SIZE_BYTES:
            raise ValueError("a file of a size that cannot be")
        for run in reader.page_runs(entry.content.pages, 0, -(-size_bytes // PAGE_BYTES)):
            files.write_all(descriptor, reader.read_run(run), run.first_page * PAGE_BYTES)
        os.ftruncate(descriptor, size_bytes)
    finally:
        os.close(descriptor)


def _finish(full: bytes, said: FileEntry) -> None:
    """Set owner, then what a change of owner takes away (capabilities, setuid), then the time."""
    os.chown(full, said.uid, said.gid, follow_symlinks=False)
    if said.kind != "link":
        os.chmod(full, said.mode)
    for name, value in said.xattrs:
        if file_entry.kept_xattr(name):
            os.setxattr(full, name, value, follow_symlinks=False)
    os.utime(full, ns=(said.modified_ns, said.modified_ns), follow_symlinks=False)
