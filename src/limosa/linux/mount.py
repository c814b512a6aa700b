"""Mounts: mount(2), umount2(2) and the file-descriptor based calls (fsopen, open_tree, move_mount, mount_setattr).

Everything here acts on the calling process's mount namespace and raises OSError with the kernel's errno; nothing
is undone here.
"""

import os
from collections.abc import Iterable, Iterator

from limosa.linux import libc
from limosa.model.hints import Final

MS_RDONLY: Final = 0x1
MS_NOSUID: Final = 0x2
MS_NODEV: Final = 0x4
MS_NOEXEC: Final = 0x8
MS_REMOUNT: Final = 0x20
MS_NOATIME: Final = 0x400
MS_BIND: Final = 0x1000
MS_REC: Final = 0x4000
MS_PRIVATE: Final = 1 << 18
MS_SLAVE: Final = 1 << 19
MS_SHARED: Final = 1 << 20

_MNT_DETACH: Final = 2
_UMOUNT_NOFOLLOW: Final = 8

# x86-64 and every other architecture since 5.2 share these numbers (asm-generic/unistd.h).
_SYS_OPEN_TREE: Final = 428
_SYS_MOVE_MOUNT: Final = 429
_SYS_FSOPEN: Final = 430
_SYS_FSCONFIG: Final = 431
_SYS_FSMOUNT: Final = 432
_SYS_MOUNT_SETATTR: Final = 442

_AT_FDCWD: Final = -100
_AT_EMPTY_PATH: Final = 0x1000
_AT_RECURSIVE: Final = 0x8000
_OPEN_TREE_CLONE: Final = 1
_OPEN_TREE_CLOEXEC: Final = os.O_CLOEXEC
_MOVE_MOUNT_F_EMPTY_PATH: Final = 4
_FSOPEN_CLOEXEC: Final = 1
_FSMOUNT_CLOEXEC: Final = 1
_FSCONFIG_SET_FLAG: Final = 0
_FSCONFIG_SET_STRING: Final = 1
_FSCONFIG_CMD_CREATE: Final = 6
MOUNT_ATTR_RDONLY: Final = 0x1
MOUNT_ATTR_NOSUID: Final = 0x2
MOUNT_ATTR_NODEV: Final = 0x4
MOUNT_ATTR_IDMAP: Final = 0x00100000


def _checked(result: int, what: str) -> int:
    if result < 0:
        libc.failed(what)
    return result


def mount(source: str, target: str, fstype: str = "", flags: int = 0, data: str = "") -> None:
    """Mount `source` on `target`. Source: mount(2)."""
    import ctypes

    _checked(
        libc.loaded().mount(
            os.fsencode(source), os.fsencode(target), os.fsencode(fstype), ctypes.c_ulong(flags), os.fsencode(data)
        ),
        f"mount {fstype or source} on {target}",
    )


def umount(target: str, *, lazy: bool = False) -> None:
    """Unmount `target` without following a last symbolic link; `lazy` detaches it even when it is busy.

    Raises: OSError EINVAL: it is no mount point; EBUSY: it is in use. Source: umount2(2).
    """
    flags = _UMOUNT_NOFOLLOW | (_MNT_DETACH if lazy else 0)
    _checked(libc.loaded().umount2(os.fsencode(target), flags), f"umount {target}")


def bind(source: str, target: str, *, recursive: bool = False) -> None:
    """Bind-mount `source` on `target`. Source: mount(2), MS_BIND."""
    mount(source, target, "", MS_BIND | (MS_REC if recursive else 0))


def set_propagation(target: str, flag: int, *, recursive: bool = False) -> None:
    """Make `target` MS_PRIVATE, MS_SLAVE or MS_SHARED. Source: mount_namespaces(7)."""
    mount("none", target, "", flag | (MS_REC if recursive else 0))


def clone_tree(path: str, *, recursive: bool = False) -> int:
    """Return a descriptor of a detached bind mount of `path`. Source: open_tree(2), OPEN_TREE_CLONE."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | (_AT_RECURSIVE if recursive else 0)
    return _checked(libc.loaded().syscall(_SYS_OPEN_TREE, _AT_FDCWD, os.fsencode(path), flags), f"open_tree {path}")


def set_attributes(mount_fd: int, set_flags: int, *, userns_fd: int = 0, recursive: bool = False) -> None:
    """Set MOUNT_ATTR_ flags on a mount (and all below it); MOUNT_ATTR_IDMAP maps its ids through `userns_fd`.

    Source: mount_setattr(2).
    Raises: OSError EINVAL: the file system cannot be idmapped.
    """
    import ctypes

    attributes = (ctypes.c_uint64 * 4)(set_flags, 0, 0, userns_fd)  # attr_set, attr_clr, propagation, userns_fd
    _checked(
        libc.loaded().syscall(
            _SYS_MOUNT_SETATTR,
            mount_fd,
            b"",
            _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0),
            ctypes.byref(attributes),
            ctypes.c_size_t(ctypes.sizeof(attributes)),
        ),
        "mount_setattr",
    )


def attach(mount_fd: int, target: str) -> None:
    """Attach a detached mount at `target`. Source: move_mount(2)."""
    _checked(
        libc.loaded().syscall(_SYS_MOVE_MOUNT, mount_fd, b"", _AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH),
        f"move_mount to {target}",
    )


def new_filesystem(fstype: str, options: Iterable[tuple[str, str]] = ()) -> int:
    """Return a descriptor of a new file system that is mounted nowhere and goes with it. Source: fsopen(2).

    Raises: OSError with the file system's own message where it gives one.
    """
    context = _checked(libc.loaded().syscall(_SYS_FSOPEN, os.fsencode(fstype), _FSOPEN_CLOEXEC), f"fsopen {fstype}")
    try:
        for key, value in options:
            command = _FSCONFIG_SET_STRING if value else _FSCONFIG_SET_FLAG
            argument = os.fsencode(value) if value else None
            _configured(context, command, key, argument)
        _configured(context, _FSCONFIG_CMD_CREATE, None, None)
    except OSError:
        os.close(context)
        raise
    return context


def make_filesystem(fstype: str, options: Iterable[tuple[str, str]]) -> int:
    """Return a descriptor of a new, detached mount of `fstype`; an empty value sets a flag. Source: fsopen(2).

    Raises: OSError with the file system's own message where it gives one.
    """
    context = new_filesystem(fstype, options)
    try:
        return _checked(libc.loaded().syscall(_SYS_FSMOUNT, context, _FSMOUNT_CLOEXEC, 0), f"fsmount {fstype}")
    finally:
        os.close(context)


def _configured(context: int, command: int, key: str | None, value: bytes | None) -> None:
    result = libc.loaded().syscall(_SYS_FSCONFIG, context, command, None if key is None else os.fsencode(key), value, 0)
    if result < 0:
        number = libc.errno()
        try:
            said = os.read(context, 4096).decode(errors="replace").strip()
        except OSError:
            said = ""
        raise OSError(number, f"fsconfig {key or 'create'}: {said or os.strerror(number)}")


def mount_points(below: str) -> list[str]:
    """Return the mount points at or below `below`, deepest (latest) first. Source: proc_pid_mountinfo(5)."""
    prefix = below.rstrip("/") + "/"
    points = [point for point, _ in _mounted()]
    return [point for point in reversed(points) if point == below or point.startswith(prefix)]


def source_of(point: str) -> str | None:
    """Return the source of what is mounted on top at `point`, None if it is no mount point."""
    found = [source for place, source in _mounted() if place == point]
    return found[-1] if found else None


def _mounted() -> Iterator[tuple[str, str]]:
    """Yield (mount point, source), the latest last. Source: proc_pid_mountinfo(5)."""
    with open("/proc/self/mountinfo", "rb") as file:
        for line in file:
            fields = line.rstrip(b"\n").split(b" ")
            source = fields[fields.index(b"-", 6) + 2]
            yield _unescaped(fields[4]), _unescaped(source)


def _unescaped(field: bytes) -> str:
    if b"\\" in field:
        field = field.replace(b"\\040", b" ").replace(b"\\011", b"\t").replace(b"\\012", b"\n")
        field = field.replace(b"\\134", b"\\")
    return os.fsdecode(field)


_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def short_name(index: int) -> str:
    """Return a name of one letter for the first 62, of two for the next: a hundred fit into a mount option."""
    above, digit = divmod(index, len(_DIGITS))
    return (_DIGITS[above - 1] if above else "") + _DIGITS[digit]
