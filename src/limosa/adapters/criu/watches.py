"""Which files and directories of a container's root file system its processes watch by inotify.

The kernel tells a watch's inode, and on overlayfs nothing leads from there to a path, which a dump needs. CRIU would
search the whole tree while everything is stopped; here the tree is searched before, and CRIU gets the paths.
"""

import os
from collections.abc import Collection, Iterator

from limosa.model.hints import Final

_LIKELY: Final = ("/etc", "/usr/share/dbus-1", "/usr/lib/systemd", "/usr/local", "/var/spool", "/var/lib", "/usr/share")
_MOST_ENTRIES: Final = 200_000
_MINOR_BITS: Final = 20


def watched_paths(pids: Collection[int], rootfs: str) -> list[str]:
    """Return the paths inside of what the processes watch, those furthest down first: CRIU searches below each."""
    status = os.stat(rootfs)
    wanted = _watched_inodes(pids, (os.major(status.st_dev) << _MINOR_BITS) | os.minor(status.st_dev))
    found = {"/"} if status.st_ino in wanted else set()
    wanted.discard(status.st_ino)
    for looked_at, (path, inode) in enumerate(_entries(rootfs)):
        if not wanted or looked_at > _MOST_ENTRIES:
            break
        if inode in wanted:
            wanted.discard(inode)
            found.add(path)
    return sorted(found, key=lambda path: (-path.count("/") if path != "/" else 0, path))


def _watched_inodes(pids: Collection[int], device: int) -> set[int]:
    found: set[int] = set()
    for pid in pids:
        try:
            numbers = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            continue  # it has ended
        for number in numbers:
            try:
                if "inotify" not in os.readlink(f"/proc/{pid}/fd/{number}"):
                    continue
                with open(f"/proc/{pid}/fdinfo/{number}", encoding="ascii") as file:
                    found.update(_inodes_of(file.read(), device))
            except OSError:
                continue  # closed in the meantime
    return found


def _inodes_of(text: str, device: int) -> Iterator[int]:
    """Yield the inodes on `device` of the `inotify wd:… ino:… sdev:…` lines. Source: proc_pid_fdinfo(5)."""
    for line in text.splitlines():
        fields = dict(word.split(":", 1) for word in line.split() if ":" in word)
        if line.startswith("inotify ") and int(fields.get("sdev", "0"), 16) == device:
            yield int(fields["ino"], 16)


def _entries(rootfs: str) -> Iterator[tuple[str, int]]:
    """Yield (path inside, inode), likely places first. No link is followed and no other file system entered."""
    device = os.stat(rootfs).st_dev
    for start in (*_LIKELY, "/"):
        top = f"{rootfs}{start}".rstrip("/")
        try:
            yield start, os.lstat(top).st_ino
        except OSError:
            continue
        for place, directories, names, place_fd in os.fwalk(top):
            inside = place.removeprefix(rootfs).rstrip("/")
            entered = []
            for name in (*directories, *names):
                try:
                    status = os.lstat(name, dir_fd=place_fd)
                except OSError:
                    continue
                if status.st_dev == device:
                    entered.append(name)
                    yield f"{inside}/{name}", status.st_ino
            directories[:] = [name for name in directories if name in entered]
            if start == "/" and not inside:
                directories[:] = [name for name in directories if name not in ("proc", "sys", "dev")]
