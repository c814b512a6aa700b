"""Write a file or a directory tree as a tar archive whose names begin with one given name. Source: tar(5)."""

import os
import stat
import tarfile
from typing import IO, Final

_KINDS: Final = {
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
}


def write(source: str, name: str, output: IO[bytes], *, follow_link: bool) -> None:
    """Write `source` to `output`, named `name`. Device nodes and sockets are left out.

    Raises: OSError: there is no such file, or it cannot be read.
    """
    links: dict[tuple[int, int], str] = {}
    with tarfile.open(fileobj=output, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        todo = [(source, name)]
        while todo:
            path, inner = todo.pop()
            status = os.stat(path) if follow_link and path == source else os.lstat(path)
            if not _add(archive, path, inner, status, links):
                continue
            with os.scandir(path) as found:
                todo += [(f"{path}/{entry.name}", f"{inner}/{entry.name}") for entry in found]


def _add(
    archive: tarfile.TarFile, path: str, inner: str, status: os.stat_result, links: dict[tuple[int, int], str]
) -> bool:
    """Add one file and say whether it is a directory."""
    kind = _KINDS.get(stat.S_IFMT(status.st_mode))
    if kind is None:
        return False
    info = tarfile.TarInfo(inner)
    info.type, info.mode, info.mtime = kind, stat.S_IMODE(status.st_mode), int(status.st_mtime)
    info.uid, info.gid = status.st_uid, status.st_gid
    if kind == tarfile.SYMTYPE:
        info.linkname = os.readlink(path)
    if kind != tarfile.REGTYPE:
        archive.addfile(info)
        return kind == tarfile.DIRTYPE
    key = (status.st_dev, status.st_ino)
    if status.st_nlink > 1 and key in links:
        info.type, info.linkname = tarfile.LNKTYPE, links[key]
        archive.addfile(info)
        return False
    links[key] = inner
    # Not blocking, should it have become a pipe meanwhile.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return False
        info.size = os.fstat(file.fileno()).st_size
        archive.addfile(info, _Exactly(file, info.size))  # type: ignore[arg-type]
    return False


class _Exactly:
    """A file that has as many bytes as it had when it was looked at: zeros where it has become shorter."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._left = size

    def read(self, size: int) -> bytes:
        wanted = min(size, self._left)
        data = self._file.read(wanted).ljust(wanted, b"\0")
        self._left -= wanted
        return data
