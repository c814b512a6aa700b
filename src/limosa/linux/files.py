"""Files that are whole or not there, and paths that stay below a directory."""

import os
from typing import Final

_SYS_OPENAT2: Final = 437
_SECTOR_BYTES: Final = 512  # of st_blocks
_RESOLVE_IN_ROOT: Final = 0x10
_RESOLVE_NO_MAGICLINKS: Final = 0x02


def write_durably(path: str, data: bytes) -> None:
    """Replace `path` by a file with `data`, in one step; both file and name are on disk afterwards.

    A crash leaves the old file or the new one. Source: rename(2), fsync(2).
    """
    unfinished = f"{path}.{os.getpid()}.new"
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(unfinished, path)
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def open_below(root: str, path: str, flags: int = os.O_RDONLY, mode: int = 0) -> int:
    """Open `path` as if `root` were "/": no link and no ".." leads out of it, and a pipe keeps nobody waiting.

    Raises: OSError as open(2). Source: openat2(2), RESOLVE_IN_ROOT.
    """
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    how = (ctypes.c_uint64 * 3)(
        flags | os.O_CLOEXEC | (0 if flags & os.O_PATH else os.O_NONBLOCK),
        mode,
        _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS,
    )
    directory = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        size = ctypes.c_size_t(ctypes.sizeof(how))
        found = libc.syscall(_SYS_OPENAT2, directory, os.fsencode(path), ctypes.byref(how), size)
        if found < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
        return int(found)
    finally:
        os.close(directory)


def remove_tree(directory: str) -> None:
    """Remove a directory and all below it, following no link. Nothing happens if it is gone."""
    for place, directories, names in os.walk(directory, topdown=False):
        for name in names:
            os.unlink(f"{place}/{name}")
        for name in directories:
            path = f"{place}/{name}"
            os.unlink(path) if os.path.islink(path) else os.rmdir(path)
    if os.path.isdir(directory):
        os.rmdir(directory)


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
