"""Keep CRIU's knowledge of the kernel from one run to the next where /run is not a tmpfs.

CRIU probes the kernel at each start (40 to 100 ms) unless it can read what an earlier run found in /run/criu.kdat.  It
writes that file only to a tmpfs, so that it is gone after a reboot, but reads it from anywhere.  So, where /run is on a
disk, one run of CRIU with a tmpfs over /run in a mount namespace of its own makes the file, and a copy of it on a small
tmpfs is bind-mounted on /run/criu.kdat: one mount of one file, which the next reboot takes away.  docs/adr/0001.
"""

import os

from limosa.linux import filesystem, mount, process
from limosa.model.hints import Final

CACHE: Final = "/run/criu.kdat"
_PROBE: Final = 'mount -t tmpfs limosa-criu /run && "$1" check >/dev/null 2>&1; exec cat /run/criu.kdat'


def keep(criu: str) -> bool:
    """Make `criu` find its cache from now until the next reboot; cheap when it does already.

    Returns: whether the cache is there, or CRIU will make it by itself. False is no failure: each start probes again.
    State: at most one mount, on CACHE; nothing else changes.
    """
    if filesystem.magic("/run") == filesystem.TMPFS_MAGIC or _present():
        return True
    made = process.capture(["unshare", "--mount", "--propagation", "private", "sh", "-c", _PROBE, "sh", criu])
    if made.status != 0 or not made.stdout:
        return False
    try:
        _publish(made.stdout)
    except OSError:
        return False
    return True


def drop() -> None:
    """Take the cache away (after another CRIU was selected). Nothing happens if it is not there."""
    while _present() and filesystem.magic("/run") != filesystem.TMPFS_MAGIC:
        mount.umount(CACHE, lazy=True)


def _present() -> bool:
    try:
        return filesystem.magic(CACHE) == filesystem.TMPFS_MAGIC
    except FileNotFoundError:
        return False


def _publish(content: bytes) -> None:
    place = f"/run/limosa-criu.{os.getpid()}"
    os.mkdir(place, 0o700)
    try:
        tmpfs = mount.make_filesystem("tmpfs", [("size", "64k"), ("mode", "0700")])
        try:
            mount.attach(tmpfs, place)
        finally:
            os.close(tmpfs)
        try:
            with open(os.open(f"{place}/criu.kdat", os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
                file.write(content)
            os.close(os.open(CACHE, os.O_CREAT | os.O_RDONLY | os.O_CLOEXEC, 0o600))
            mount.bind(f"{place}/criu.kdat", CACHE)
        finally:
            mount.umount(place, lazy=True)
    finally:
        os.rmdir(place)
