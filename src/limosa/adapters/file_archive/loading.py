"""From entries to a directory. The commit may be a stranger's: nothing outside of the directory is touched.

Nobody else writes below the directory meanwhile, and a path's parents have to be directories that were made here, so
no link is ever followed.

Programs that have a file open may compare its inode number with that of its name (SQLite does, and refuses to write, or
takes one file for two), so files get the numbers that they had, as far as a new subvolume allows: it counts upwards.
Files are made first, in that order and under names of their own; then directories, and each file goes to its place.
"""

import os
from typing import Final, NamedTuple

from limosa.linux import files
from limosa.model import file_entry
from limosa.model.commit_store import PAGE_BYTES, Blob, Entry, Inline, Paged
from limosa.model.errors import LimosaError, words_of
from limosa.model.file_entry import FILES_PREFIX, FileEntry
from limosa.ports.commit_store import CommitReader

_FORMATS: Final = {"character": 0o020000, "block": 0o060000, "pipe": 0o010000, "socket": 0o140000}
_MOST_SIZE_BYTES: Final = 1 << 62
_MOST_SKIPPED: Final = 50_000  # inode numbers, each 20 µs


class _File(NamedTuple):
    """Something to make that is no directory."""

    path: bytes
    entry: Entry
    said: FileEntry


def load(reader: CommitReader, directory: str, prefix: bytes = FILES_PREFIX) -> None:
    """See the port."""
    top = os.fsencode(directory)
    made: dict[bytes, FileEntry] = {}
    try:
        found = _sorted(reader, prefix, made)
        places = _make_files(reader, top, found)
        for path in made:
            if path:
                os.mkdir(top + b"/" + path, 0o700)
        _bring(top, found, places)
        # Making files changes the times of their directories, and a mode may keep even root's programs out: last, and
        # the deepest first.
        for path in sorted(made, key=lambda path: path.count(b"/"), reverse=True):
            _finish(top + b"/" + path if path else top, made[path])
    except ValueError as made_up:
        raise LimosaError(
            "LIM-COMM-011",
            "the files of a commit cannot be brought back",
            cause=words_of(made_up),
            hint="limosa verify shows whether the commit is whole; it may come from somebody who means harm",
        ) from made_up
    except OSError as failed:
        raise LimosaError(
            "LIM-COMM-012",
            "the files of a commit cannot be brought back",
            cause=words_of(failed),
            hint="make room in the pool, or remove containers and commits",
        ) from failed


def _sorted(reader: CommitReader, prefix: bytes, directories: dict[bytes, FileEntry]) -> list[_File]:
    """Return what is no directory, by inode number; `directories` gets the others, each after the one it is in."""
    found = []
    for key, entry in reader.entries(prefix):
        path = file_entry.checked_path(key, prefix)
        said = file_entry.decode(entry.attributes)
        if not path and said.kind != "directory":
            raise ValueError("the root of the files is no directory")
        _require_parent(path, directories)
        if said.kind == "directory":
            directories[path] = said
        else:
            found.append(_File(path, entry, said))
    return sorted(found, key=lambda one: one.said.link_group)


def _require_parent(path: bytes, directories: dict[bytes, FileEntry]) -> None:
    if path and path.rpartition(b"/")[0] not in directories:
        raise ValueError(f"{path[:80]!r} has no directory")


def _make_files(reader: CommitReader, top: bytes, found: list[_File]) -> list[bytes]:
    """Make each file in `top`, finished but for its place. Returns where each is, the same for names of one file."""
    names = os.urandom(8).hex().encode()
    made: dict[int, bytes] = {}
    places = []
    numbers = _Numbers(top)
    for index, one in enumerate(found):
        group = one.said.link_group
        if group in made:
            places.append(made[group])
            continue
        full = top + b"/" + names + b"-%d" % index
        numbers.reach(group)
        if one.said.kind == "file":
            _write(reader, one.entry, full)
        elif one.said.kind == "link":
            os.symlink(_target(reader, one.entry), full)
        else:
            os.mknod(full, _FORMATS[one.said.kind] | 0o600, os.makedev(*one.said.device))
        _finish(full, one.said)
        places.append(full)
        if group:
            made[group] = full
    return places


class _Numbers:
    """The inode numbers that a subvolume gives: each new file the next."""

    def __init__(self, top: bytes) -> None:
        self._top = top
        self._left = _MOST_SKIPPED
        self._last = os.stat(top).st_ino  # it is new itself

    def _given(self) -> int:
        descriptor = os.open(self._top, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            return os.fstat(descriptor).st_ino
        finally:
            os.close(descriptor)

    def reach(self, number: int) -> None:
        """Let the next file have `number`, unless that was given or is too far."""
        if number - self._last - 1 <= self._left:
            while self._last < number - 1 and self._left:
                before, self._last = self._last, self._given()
                self._left = self._left - 1 if self._last > before else 0  # not a file system that counts
        self._last += 1


def _bring(top: bytes, found: list[_File], places: list[bytes]) -> None:
    """Let each file have its names; the first is where it stays."""
    at: dict[bytes, bytes] = {}
    for one, place in zip(found, places, strict=True):
        full = top + b"/" + one.path
        if place in at:
            os.link(at[place], full, follow_symlinks=False)
        else:
            os.rename(place, full)
            at[place] = full


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
