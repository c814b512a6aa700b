"""Locks between processes that the kernel releases when their holder dies."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def locked(path: str, *, exclusive: bool = True, blocking: bool = True) -> Iterator[None]:
    """Hold a lock on the file `path` (made if it is missing) for the time of a `with` block.

    The holder's pid stands in the file, for messages. Raises: BlockingIOError: another process has it (only without
    `blocking`); its `filename2` is that process's pid. Source: flock(2).
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        mode = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        try:
            fcntl.flock(descriptor, mode | (0 if blocking else fcntl.LOCK_NB))
        except BlockingIOError as busy:
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
            raise BlockingIOError(errno.EWOULDBLOCK, "locked by another process", path, None, holder) from busy
        if exclusive:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def locked_meanwhile(path: str) -> Iterator[None]:
    """Hold an exclusive lock on the file `path`, which is there only while somebody has or wants it.

    Who is killed leaves the file; whoever has it next removes it. Source: flock(2).
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_at(descriptor, path):  # not one that its last holder has removed since
                try:
                    yield
                finally:
                    with suppress(FileNotFoundError):
                        os.unlink(path)
                return
        finally:
            os.close(descriptor)


def _is_at(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


@contextmanager
def locked_directory(path: str) -> Iterator[None]:
    """Hold an exclusive lock on the directory `path` itself for the time of a `with` block; no file is made.

    Raises: FileNotFoundError, NotADirectoryError. Source: flock(2).
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
