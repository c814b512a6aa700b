"""Device numbers of file systems without a disk: what stat(2) says that files of an overlay are on."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from limosa.linux import mount


@contextmanager
def room_below(count: int) -> Iterator[None]:
    """Hold the `count` lowest free device numbers of file systems without a disk, for the time of a `with` block.

    A file system that is made in the block has a number that nobody gets soon after it is gone, since these go first.
    They are held by file systems that are not mounted: taking a mount back would wait for a grace period each.
    """
    with ExitStack() as held:
        for _ in range(count):
            held.callback(os.close, mount.new_filesystem("tmpfs"))
        yield


@contextmanager
def lower_taken(number: int) -> Iterator[bool]:
    """Hold every free device number of file systems without a disk below `number`, for the time of a `with` block.

    The kernel gives a new one the lowest that is free, so the next gets `number`. Yields whether that is free now;
    somebody else may be quicker. Source: Linux fs/super.c, get_anon_bdev.
    Raises: OSError, EMFILE among others: more are free than this process may hold.
    """
    with ExitStack() as held:
        found = 0
        while found < number:
            descriptor = mount.make_filesystem("tmpfs", ())
            found = os.fstat(descriptor).st_dev
            if found < number:
                held.callback(os.close, descriptor)
            else:
                os.close(descriptor)
        yield found == number


def mounted() -> set[int]:
    """Return the device numbers of all that is mounted in this mount namespace. Source: proc_pid_mountinfo(5)."""
    found = set()
    with open("/proc/self/mountinfo", "rb") as file:
        for line in file:
            major, _, minor = line.split(b" ", 3)[2].partition(b":")
            found.add(os.makedev(int(major), int(minor)))
    return found
