"""Replace a file so that a reader, or a machine that lost power, has the old content or the new one."""

import os


def replace(path: str, data: bytes, mode: int = 0o600, *, lasting: bool = True) -> None:
    """Make `data` the content of the file at `path`, and return when it would survive a crash of the machine.

    Not `lasting`, nothing is waited for: whoever reads it has the old content or the new one, also when this process
    is killed, but a machine that loses its power may leave anything in the file, or no file.
    The caller holds the lock that keeps other writers away. Raises: OSError (ENOSPC…): the old content still stands.
    Source: fsync(2), rename(2).
    """
    unfinished = f"{path}.new"
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        if lasting:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(unfinished, path)
    if not lasting:
        return
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
