"""Advisory file locks: the kernel drops them with their owner, however it dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def locked(path: str, exclusive: bool = True, blocking: bool = True) -> Iterator[None]:
    """Hold a lock on the file at `path` (made if missing) for the time of a `with` block.

    Raises: BlockingIOError: not `blocking`, and somebody else holds it. State: the file stays; it is never removed,
    since a lock on a removed file excludes nobody. Source: flock(2).
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        operation = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        fcntl.flock(descriptor, operation if blocking else operation | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
