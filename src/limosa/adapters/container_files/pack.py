"""Write a file or a directory tree as a tar archive whose names begin with one given name. Source: tar(5)."""

import os
import stat
import tarfile
from typing import IO, Final

from limosa.adapters.container_files import sparse, xattrs

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
    info.pax_headers = _attributes(path, info, follow_link=not stat.S_ISLNK(status.st_mode))
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
        size = os.fstat(file.fileno()).st_size
        sparse.add(archive, info, file, size)
    return False


def _attributes(path: str, info: tarfile.TarInfo, *, follow_link: bool) -> dict[str, str]:
    """Return the extended attributes of a file or directory as tar has them. Source: star(5), SCHILY.xattr."""
    if info.type not in (tarfile.REGTYPE, tarfile.DIRTYPE):
        return {}
    found = {}
    for name in os.listxattr(path, follow_symlinks=follow_link):
        if name.startswith(xattrs.PREFIXES):
            value = os.getxattr(path, name, follow_symlinks=follow_link)
            found[f"{xattrs.RECORD}{name}"] = value.decode("utf-8", "surrogateescape")
    return found
