"""Unpack a layer that strangers wrote into a directory, as a lower layer of overlayfs.

Every path is resolved by the kernel as if the directory were "/" (openat2, RESOLVE_IN_ROOT): no name, link or
hard link of the archive leads out. Owners are kept as they are in the archive: they are ids inside the container.
Device nodes are made, and are inert: the directory is closed to everybody but root and a rootfs is mounted `nodev`.

Whiteouts (OCI layer.md) take overlayfs's form: a removed name is a character device 0:0, a directory that hides
what is below has the attribute `trusted.overlay.opaque`.
Source: Linux Documentation/filesystems/overlayfs.rst, OCI image-spec layer.md.
"""

import errno
import os
import stat
import tarfile
from typing import Final

from limosa.adapters.oci_images.tar_stream import ForwardStream, MalformedTar, members
from limosa.linux import files
from limosa.linux.openat2 import open_on_mount

_WHITEOUT: Final = b".wh."
_OPAQUE: Final = b".wh..wh..opq"
_RESERVED: Final = b".wh..wh."
_OPAQUE_ATTRIBUTE: Final = "trusted.overlay.opaque"
_PAX_XATTR: Final = "SCHILY.xattr."
_MOST_LINKS: Final = 40
_WRITE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY
_IGNORED_TYPES: Final = (b"V", b"M", b"N")  # GNU: volume label, continued file, old long names
_REGULAR: Final = (*tarfile.REGULAR_TYPES, tarfile.GNUTYPE_SPARSE)
_NODES: Final = {tarfile.FIFOTYPE: stat.S_IFIFO, tarfile.CHRTYPE: stat.S_IFCHR, tarfile.BLKTYPE: stat.S_IFBLK}

# What no archive is to blame for.
_MACHINE: Final = frozenset(
    (
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EPIPE,
        errno.EIO,
        errno.EROFS,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ENOTSUP,
    )
)


def unpack(stream: ForwardStream, directory: str) -> int:
    """Unpack all members of `stream` into the empty `directory` and return how many bytes of files they have.

    Raises: MalformedTar: the archive is damaged or says something that no archive may say. OSError: disk full, …; in
    both cases what was unpacked so far lies in `directory`.
    """
    root_fd = os.open(directory, _DIRECTORY | os.O_CLOEXEC)
    tree = _Tree(root_fd, stream)
    try:
        for member in members(stream):
            try:
                tree.add(member)
            except (ValueError, OverflowError) as nonsense:
                raise MalformedTar(f"{member.name[:200]!r}: {nonsense}") from nonsense
            except OSError as refused:
                if refused.errno in _MACHINE:
                    raise
                raise MalformedTar(f"{member.name[:200]!r}: {refused.strerror}") from refused
        tree.finish()
        return tree.size_bytes
    finally:
        tree.close()
        os.close(root_fd)


def _components(name: str) -> list[bytes]:
    parts = [part for part in os.fsencode(name).split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise MalformedTar(f"{name[:200]!r} has '..' in it")
    return parts


class _Tree:
    """A directory that is being filled."""

    def __init__(self, root_fd: int, stream: ForwardStream) -> None:
        self._root = root_fd
        self._stream = stream
        self._times: dict[bytes, int] = {}  # of directories: set last, since filling them changes it
        self._parent_path: bytes | None = None  # the parent that is open, since members come sorted
        self._parent_fd = -1
        self.size_bytes = 0

    def add(self, member: tarfile.TarInfo) -> None:
        """Make one member; its data is next in the stream."""
        if member.type in _IGNORED_TYPES:
            return
        parts = _components(member.name)
        if not parts:
            if member.isdir():
                self._dress_directory(self._root, member)
                self._times[b""] = _nanoseconds(member)
            return
        *above, base = parts
        parent = self._parent(b"/".join(above))
        if base.startswith(_WHITEOUT):
            self._whiteout(parent, b"/".join(above), base)
        elif member.isdir():
            self._make_directory(parent, base, member)
            self._times[b"/".join(parts)] = _nanoseconds(member)
        elif member.type in _REGULAR:
            self._make_file(parent, base, member)
        else:
            try:
                self._make_other(parent, base, member)
            except PermissionError:
                # Where this host's root may make no device nodes. A container never uses its layers' own.
                if not member.isdev() or member.isfifo():
                    raise

    def finish(self) -> None:
        """Set the directories' times, deepest first."""
        for path in sorted(self._times, reverse=True):
            try:
                descriptor = open_on_mount(self._root, path or b".", _DIRECTORY | os.O_NOFOLLOW)
            except OSError:
                continue  # a later member took its place
            try:
                os.utime(descriptor, ns=(self._times[path], self._times[path]))
            finally:
                os.close(descriptor)

    # Places

    def _parent(self, path: bytes) -> int:
        if self._parent_path != path:
            self.close()
            self._parent_fd = self._open_directory(path, 0)
            self._parent_path = path
        return self._parent_fd

    def close(self) -> None:
        """Close what is open."""
        if self._parent_fd >= 0:
            os.close(self._parent_fd)
        self._parent_path, self._parent_fd = None, -1

    def _open_directory(self, path: bytes, depth: int) -> int:
        """Open a directory of the tree, and make it where it is missing."""
        try:
            return open_on_mount(self._root, path or b".", _DIRECTORY)
        except FileNotFoundError:
            if depth > _MOST_LINKS:
                raise MalformedTar(f"{os.fsdecode(path)[:200]!r} is behind too many links") from None
        above, _, base = path.rpartition(b"/")
        parent = self._open_directory(above, depth + 1)
        try:
            try:
                os.mkdir(base, 0o755, dir_fd=parent)
            except FileExistsError:
                target = os.readlink(base, dir_fd=parent)  # EINVAL: no link, so no directory either
                return self._open_directory(_followed(above, target), depth + 1)
            return os.open(base, _DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        finally:
            os.close(parent)

    def _displace(self, parent: int, base: bytes) -> bool:
        """Remove what an earlier member made under a name; say whether it had removed that name from below."""
        found = os.stat(base, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            files.remove_tree_at(parent, base)
        else:
            os.unlink(base, dir_fd=parent)
        return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0

    # Kinds of members

    def _whiteout(self, parent: int, above: bytes, base: bytes) -> None:
        if base == _OPAQUE:
            os.setxattr(parent, _OPAQUE_ATTRIBUTE, b"y")
            return
        if base.startswith(_RESERVED):
            return  # an AUFS driver's own files
        name = base.removeprefix(_WHITEOUT)
        if name in (b"", b".", b".."):
            raise MalformedTar(f"{os.fsdecode(above)[:200]!r}: a whiteout of {os.fsdecode(name)!r}")
        try:
            os.mknod(name, stat.S_IFCHR, 0, dir_fd=parent)
        except FileExistsError:
            # The layer has the name too; only what is below a directory still has to be hidden.
            if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                self._make_opaque(parent, name)

    def _make_opaque(self, parent: int, base: bytes) -> None:
        descriptor = os.open(base, _DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            os.setxattr(descriptor, _OPAQUE_ATTRIBUTE, b"y")
        finally:
            os.close(descriptor)

    def _make_directory(self, parent: int, base: bytes, member: tarfile.TarInfo) -> None:
        try:
            os.mkdir(base, 0o700, dir_fd=parent)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(base, dir_fd=parent, follow_symlinks=False).st_mode):
                whiteout = self._displace(parent, base)
                os.mkdir(base, 0o700, dir_fd=parent)
                if whiteout:
                    self._make_opaque(parent, base)
        descriptor = os.open(base, _DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            self._dress_directory(descriptor, member)
        finally:
            os.close(descriptor)

    def _dress_directory(self, descriptor: int, member: tarfile.TarInfo) -> None:
        os.fchown(descriptor, member.uid, member.gid)
        os.fchmod(descriptor, member.mode & 0o7777)
        _set_attributes(descriptor, member)

    def _make_file(self, parent: int, base: bytes, member: tarfile.TarInfo) -> None:
        try:
            descriptor = os.open(base, _WRITE, 0o600, dir_fd=parent)
        except FileExistsError:
            self._displace(parent, base)
            descriptor = os.open(base, _WRITE, 0o600, dir_fd=parent)
        try:
            self._write(descriptor, member)
            os.fchown(descriptor, member.uid, member.gid)
            os.fchmod(descriptor, member.mode & 0o7777)  # after the owner, which clears set-id bits
            _set_attributes(descriptor, member)
            when = _nanoseconds(member)
            os.utime(descriptor, ns=(when, when))
        finally:
            os.close(descriptor)

    def _write(self, descriptor: int, member: tarfile.TarInfo) -> None:
        pieces: list[tuple[int, int]] | None = getattr(member, "sparse", None)
        if pieces is None:
            self._copy(descriptor, member.size)
            return
        for offset, size in pieces:
            if offset < 0 or size < 0 or offset + size > member.size:
                raise MalformedTar("a sparse file has a piece outside of it")
            os.lseek(descriptor, offset, os.SEEK_SET)
            self._copy(descriptor, size)
        os.ftruncate(descriptor, member.size)

    def _copy(self, descriptor: int, size: int) -> None:
        self.size_bytes += size
        while size > 0:
            part = self._stream.read_some(size)
            if not part:
                raise MalformedTar("the archive ends in the middle of a file")
            size -= len(part)
            while part:
                part = part[os.write(descriptor, part) :]

    def _make_other(self, parent: int, base: bytes, member: tarfile.TarInfo) -> None:
        try:
            self._make_link_or_node(parent, base, member)
        except FileExistsError:
            if member.islnk() and _components(member.linkname) == _components(member.name):
                return  # a link to itself changes nothing
            self._displace(parent, base)
            self._make_link_or_node(parent, base, member)
        if member.islnk():
            return
        os.chown(base, member.uid, member.gid, dir_fd=parent, follow_symlinks=False)
        if not member.issym():
            os.chmod(base, member.mode & 0o7777, dir_fd=parent)  # what was just made is no link
        when = _nanoseconds(member)
        os.utime(base, ns=(when, when), dir_fd=parent, follow_symlinks=False)

    def _make_link_or_node(self, parent: int, base: bytes, member: tarfile.TarInfo) -> None:
        if member.issym():
            os.symlink(os.fsencode(member.linkname), base, dir_fd=parent)
        elif member.islnk():
            self._hard_link(parent, base, member.linkname)
        elif member.type in _NODES:
            device = 0 if member.isfifo() else os.makedev(member.devmajor, member.devminor)
            os.mknod(base, _NODES[member.type] | 0o600, device, dir_fd=parent)
        else:
            raise MalformedTar(f"{member.name[:200]!r} is of the unknown type {member.type!r}")

    def _hard_link(self, parent: int, base: bytes, target: str) -> None:
        parts = _components(target)
        if not parts:
            raise MalformedTar("a hard link to the top directory")
        above = open_on_mount(self._root, b"/".join(parts[:-1]) or b".", _DIRECTORY)
        try:
            os.link(parts[-1], base, src_dir_fd=above, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(above)


def _followed(above: bytes, target: bytes) -> bytes:
    """Return where a link in the directory `above` leads, never above the top."""
    parts = [] if target.startswith(b"/") else above.split(b"/")
    for part in target.split(b"/"):
        if part == b"..":
            parts = parts[:-1]
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/".join(part for part in parts if part)


def _nanoseconds(member: tarfile.TarInfo) -> int:
    return int(member.mtime * 1_000_000_000)


def _set_attributes(descriptor: int, member: tarfile.TarInfo) -> None:
    """Set what a container may bring: its users' own attributes and file capabilities, nothing of overlayfs's."""
    for key, value in member.pax_headers.items():
        if not key.startswith(_PAX_XATTR):
            continue
        name = key.removeprefix(_PAX_XATTR)
        if name == "security.capability" or (name.startswith("user.") and not name.startswith("user.overlay.")):
            try:
                os.setxattr(descriptor, name, value.encode("utf-8", "surrogateescape"))
            except OSError as refused:
                if refused.errno != errno.ENOTSUP or not name.startswith("user."):
                    raise  # without its capabilities a program would not work; without a note it does
