"""Take a tar archive apart below a directory that is there, without ever leaving it by a link of the archive."""

import errno
import os
import stat
import tarfile
from typing import IO, Final

from limosa.adapters.container_files import sparse, xattrs
from limosa.model.value import NamedTuple

_SPECIAL_MODE: Final = stat.S_ISUID | stat.S_ISGID


class Refused(Exception):
    """The target cannot take the source; the message says why."""


class Target(NamedTuple):
    """Where to."""

    path: str
    owner: tuple[int, int] | None  # None: as the archive says
    trusted: bool  # links that are there already are followed: this process cannot leave the container anyway
    contents_only: bool = False  # the source's contents, not the source
    archive: bool = False  # an archive of somebody else: its names are taken as they are


def read(source: IO[bytes], target: Target) -> None:
    """Take `source` apart. Raises: Refused; OSError; tarfile.TarError: it is damaged or ends too soon."""
    _Unpacker(target).run(source)


class _Unpacker:
    def __init__(self, target: Target) -> None:
        self._target = target
        self._base = -1
        self._first: str | None = None  # what the first part of each name becomes; None: it stays
        self._directories: list[tuple[list[str], tarfile.TarInfo]] = []

    def run(self, source: IO[bytes]) -> None:
        with tarfile.open(fileobj=source, mode="r|*" if self._target.archive else "r|") as archive:
            for info in archive:
                if self._base < 0:
                    self._base = self._prepared(info)
                parts = self._parts(info.name)
                if parts or info.isdir():
                    self._take(archive, info, parts)
        if self._base < 0:
            if not self._target.archive:
                raise Refused("the source cannot be copied: it is a device or a socket")
            return
        for parts, info in reversed(self._directories):  # a mode may forbid, and each new file changes the time
            parent = self._parent(parts)
            try:
                self._finish(parent, parts[-1], info)
            finally:
                os.close(parent)
        os.close(self._base)

    def _prepared(self, info: tarfile.TarInfo) -> int:
        """Return the directory that the names are below, and set what the source is called there."""
        path = self._target.path
        if os.path.islink(path):
            path = os.path.realpath(path)
        there = os.path.isdir(path)
        if self._target.archive:
            if not there:
                raise Refused(f"{path} is no directory")
            return _directory(path)
        if there and self._target.contents_only:
            self._first = ""
            return _directory(path)
        if there:
            return _directory(path)
        if info.isdir():
            if os.path.lexists(path):
                raise Refused(f"{path} is no directory")
        elif path.endswith("/"):
            raise Refused(f"there is no directory {path}")
        parent, self._first = os.path.split(path.rstrip("/") or "/")
        if not os.path.isdir(parent or "."):
            raise Refused(f"there is no directory {parent}")
        return _directory(parent or ".")

    def _parts(self, name: str) -> list[str]:
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise Refused(f"{name!r} in the archive leads out of its directory")
        if self._first is None:
            return parts
        rest = parts if name.split("/", maxsplit=1)[0] == "." else parts[1:]
        return [part for part in (self._first, *rest) if part]

    def _parent(self, parts: list[str]) -> int:
        """Return the directory of a name, made where it is missing."""
        here = os.dup(self._base)
        for part in parts[:-1]:
            flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC | (0 if self._target.trusted else os.O_NOFOLLOW)
            try:
                try:
                    there = os.open(part, flags, dir_fd=here)
                except FileNotFoundError:
                    os.mkdir(part, 0o755, dir_fd=here)
                    there = os.open(part, flags, dir_fd=here)
            finally:
                os.close(here)
            here = there
        return here

    def _take(self, archive: tarfile.TarFile, info: tarfile.TarInfo, parts: list[str]) -> None:
        parent = self._parent(parts)
        try:
            name = parts[-1] if parts else "."
            if info.isdir():
                self._make_directory(parent, name)
                if parts:
                    self._directories.append((parts, info))
                return
            _clear(parent, name)
            if info.issym():
                os.symlink(info.linkname, name, dir_fd=parent)
            elif info.islnk():
                self._link(info, parent, name)
                return
            elif info.isfifo():
                os.mkfifo(name, 0o600, dir_fd=parent)
            elif info.isdev():
                if not self._target.trusted:
                    return
                kind = stat.S_IFCHR if info.ischr() else stat.S_IFBLK
                os.mknod(name, 0o600 | kind, os.makedev(info.devmajor, info.devminor), dir_fd=parent)
            else:
                self._write(archive, info, parent, name)
            self._finish(parent, name, info)
        finally:
            os.close(parent)

    def _make_directory(self, parent: int, name: str) -> None:
        try:
            status = os.stat(name, dir_fd=parent, follow_symlinks=self._target.trusted)
            if stat.S_ISDIR(status.st_mode):
                return
            raise Refused(f"{name} is no directory")
        except FileNotFoundError:
            os.mkdir(name, 0o700, dir_fd=parent)

    def _link(self, info: tarfile.TarInfo, parent: int, name: str) -> None:
        parts = self._parts(info.linkname)
        if not parts:
            raise Refused(f"{info.name!r} in the archive is a link to nothing")
        original = self._parent(parts)
        try:
            os.link(parts[-1], name, src_dir_fd=original, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(original)

    def _write(self, archive: tarfile.TarFile, info: tarfile.TarInfo, parent: int, name: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(name, flags, 0o600, dir_fd=parent), "wb") as file:
            sparse.write(archive, info, file)

    def _finish(self, parent: int, name: str, info: tarfile.TarInfo) -> None:
        """Give owner, attributes, mode and time to what was made."""
        uid, gid = self._target.owner or (info.uid, info.gid)
        os.chown(name, uid, gid, dir_fd=parent, follow_symlinks=False)
        self._put_attributes(parent, name, info)
        if not info.issym():
            # A program that runs as its owner is not made anybody else's.
            mode = info.mode & 0o7777 & ~(_SPECIAL_MODE if self._target.owner and info.isreg() else 0)
            os.chmod(name, mode, dir_fd=parent)
        os.utime(name, (info.mtime, info.mtime), dir_fd=parent, follow_symlinks=False)

    def _put_attributes(self, parent: int, name: str, info: tarfile.TarInfo) -> None:
        owners = self._target.owner is None
        wanted = xattrs.taken(info.pax_headers, owners=owners, trusted=self._target.trusted)
        if not wanted or not (info.isreg() or info.isdir()):
            return
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
        try:
            for attribute, value in wanted.items():
                try:
                    os.setxattr(descriptor, attribute, value)
                except OSError as refused:
                    if refused.errno != errno.ENOTSUP:  # a file system that has none
                        raise
        finally:
            os.close(descriptor)


def _directory(path: str) -> int:
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _clear(parent: int, name: str) -> None:
    """Remove a file in the way; a directory in the way is refused."""
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        pass
    except (IsADirectoryError, PermissionError) as directory:
        if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            raise Refused(f"{name} is a directory, and the source is none") from directory
        raise
