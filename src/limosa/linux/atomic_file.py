"""Replace a file so that a reader, or a machine that lost power, has the old content or the new one."""

import os

from limosa.linux import files


def replace(
    path: str, data: bytes, mode: int = 0o600, *, lasting: bool = True, name_too: bool = True, locked: bool = False
) -> None:
    """Make `data` the content of the file at `path`, and return when it would survive a crash of the machine.

    Without `name_too` such a crash may bring the old file back, whole. Not `lasting`, nothing is waited for: whoever
    reads it has the old content or the new one, also when this process is killed, but a machine that loses its power
    may leave anything in the file, or no file.
    A killed writer leaves its unfinished file, `path` and ".new". `locked`, the caller's lock keeps other writers
    away, and the next one writes over it; otherwise each writer has one of its own, and whoever reads the directory
    removes those. Raises: OSError (ENOSPC…): the old content still stands. Source: fsync(2), rename(2).
    """
    unfinished = f"{path}.new" if locked else f"{path}.{os.getpid()}.new"
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        files.write_all(descriptor, data, 0)
        if lasting:
            os.fsync(descriptor)
        os.rename(unfinished, path)
    except BaseException:
        os.unlink(unfinished)
        raise
    finally:
        os.close(descriptor)
    if lasting and name_too:
        files.sync_directory(os.path.dirname(path))
