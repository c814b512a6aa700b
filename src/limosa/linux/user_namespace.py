"""User namespaces made only to carry an id mapping (for idmapped mounts)."""

import os
from collections.abc import Sequence
from typing import Final

_CLONE_NEWUSER: Final = 0x10000000
_PR_SET_PDEATHSIG: Final = 1


def with_mapping(extents: Sequence[tuple[int, int, int]]) -> int:
    """Return a descriptor of a new user namespace with the map `extents`: (first inside, first outside, count).

    A child holds the namespace while the maps are written and ends before this returns, or with this process; the
    descriptor keeps it alive.  Raises: OSError: user namespaces are not allowed here (user.max_user_namespaces, a
    seccomp filter).
    Source: user_namespaces(7), mount_setattr(2) "ID-mapped mounts".
    """
    import ctypes  # here, not above: who only asks where a container's files are needs none of it
    import signal

    libc = ctypes.CDLL(None, use_errno=True)
    ready_read, ready_write = os.pipe()
    parent, child = os.getpid(), os.fork()
    if child == 0:
        # Nobody else would end it, and it has copies of this process's locks.
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        failed = libc.unshare(_CLONE_NEWUSER) != 0
        os.write(ready_write, bytes([ctypes.get_errno() if failed else 0]))
        signal.pause()
        os._exit(0)
    try:
        os.close(ready_write)
        (error,) = os.read(ready_read, 1) or b"\x01"
        if error:
            raise OSError(error, f"unshare(CLONE_NEWUSER): {os.strerror(error)}")
        mapping = "".join(f"{inside} {outside} {count}\n" for inside, outside, count in extents).encode()
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/{child}/{name}", "wb", buffering=0) as file:
                file.write(mapping)
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(ready_read)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
