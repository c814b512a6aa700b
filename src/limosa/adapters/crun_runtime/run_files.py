"""Files below a container's /run, which is a tmpfs of its own, before its init starts."""

import os

from limosa.linux import filesystem, identity, openat2
from limosa.model.errors import LimosaError
from limosa.model.init import RunFile, directories_of


def put(init_pid: int, owner_id: int, wanted: tuple[RunFile, ...]) -> None:
    """See `Runtime.furnish`.

    They are made by the container's own root: in its tmpfs the host's root is nobody and could own nothing.
    """
    if not wanted:
        return
    # The image decides what leads to /run, so nothing on the way there may lead out of the container.
    run = openat2.open_below(f"/proc/{init_pid}/root", "/run", os.O_PATH | os.O_DIRECTORY)
    try:
        if filesystem.magic(f"/proc/self/fd/{run}") != filesystem.TMPFS_MAGIC:
            raise LimosaError(
                "LIM-RUN-006",
                "the container's /run cannot be filled",
                cause="it is not the tmpfs that was mounted there",
                hint="take the mount over /run out of the options",
            )
        with identity.file_owner(owner_id):
            for directory in directories_of(wanted):
                os.mkdir(directory, 0o755, dir_fd=run)
            for file in wanted:
                _put(run, file)
    finally:
        os.close(run)


def _put(run: int, file: RunFile) -> None:
    if file.link:
        os.symlink(file.link, file.path, dir_fd=run)
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(file.path, flags, 0o644, dir_fd=run)
    try:
        os.write(descriptor, file.text.encode())
    finally:
        os.close(descriptor)
