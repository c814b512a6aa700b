"""What is read, written and removed by path: whole files, and whole trees."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from limosa.model.hints import Final

_SECTOR_BYTES: Final = 512  # of st_blocks


def sync_directory(path: str) -> None:
    """Have on disk which names a directory has. Source: fsync(2)."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def write_all(descriptor: int, data: bytes | bytearray | memoryview, offset: int) -> None:
    """Write all of `data` at `offset`. Raises: OSError. Source: pwrite(2), which may write less than it is given."""
    rest = memoryview(data)
    while rest:
        done = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[done:], offset + done


def names_in(directory: str) -> list[str]:
    """Return the names in a directory, in no order; none if there is no directory. Source: readdir(3)."""
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []


def remove_tree(directory: str) -> None:
    """Remove a directory and all below it, however deep, following no link. Nothing happens if it is gone."""
    above, _, name = directory.rstrip("/").rpartition("/")
    try:
        parent_fd = os.open(above or "/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        remove_tree_at(parent_fd, os.fsencode(name))
    except FileNotFoundError:
        return
    finally:
        os.close(parent_fd)


def remove_tree_at(parent_fd: int, name: bytes) -> None:
    """Remove the directory `name` of `parent_fd` and all below it, following no link.

    A tree may be deeper than a path may be long or than descriptors may be open: every directory below is first moved
    to the top. Raises: FileNotFoundError: there is no such directory.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    top = os.open(name, flags, dir_fd=parent_fd)
    try:
        prefix = b".removing-" + os.urandom(8).hex().encode()
        pending = _empty(top)
        count = 0
        while pending:
            here = pending.pop()
            descriptor = os.open(here, flags, dir_fd=top)
            try:
                for below in _empty(descriptor):
                    moved = b"%s-%d" % (prefix, count)
                    count += 1
                    os.rename(below, moved, src_dir_fd=descriptor, dst_dir_fd=top)
                    pending.append(moved)
            finally:
                os.close(descriptor)
            os.rmdir(here, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=parent_fd)


def _empty(directory_fd: int) -> list[bytes]:
    """Remove everything in a directory but its directories, and return those."""
    directories = []
    with os.scandir(directory_fd) as entries:
        found = [(os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in found:
        if is_directory:
            directories.append(name)
        else:
            try:
                os.unlink(name, dir_fd=directory_fd)
            except FileNotFoundError:
                pass
    return directories


def remove_file(path: str) -> None:
    """Remove a file. Nothing happens if it is gone."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def allocated_bytes(directory: str) -> int:
    """Return what the files below a directory take, each inode once, though files come and go meanwhile."""
    total = 0
    linked: set[int] = set()
    pending = [directory]
    while pending:
        try:
            entries = os.scandir(pending.pop())
        except FileNotFoundError:
            continue
        with entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                elif status.st_nlink == 1 or status.st_ino not in linked:
                    linked.add(status.st_ino)
                    total += status.st_blocks * _SECTOR_BYTES
    return total


def closed_to_others(path: str) -> str:
    """Return the first directory on the way to `path`, or `path`, that users who do not own it cannot enter, or ""."""
    way = ""
    for part in os.path.abspath(path).split("/"):
        way = f"{way}{part}/"
        if not os.stat(way).st_mode & 0o001:
            return way.rstrip("/")
    return ""


@contextmanager
def working_directory(path: str) -> Iterator[None]:
    """Let `path` be the process's working directory for the time of a `with` block. Raises: OSError as chdir(2)."""
    before = os.open(".", os.O_PATH | os.O_CLOEXEC)
    try:
        os.chdir(path)
        try:
            yield
        finally:
            os.fchdir(before)
    finally:
        os.close(before)
