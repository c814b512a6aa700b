"""Enter a namespace for a moment, with setns(2) by way of the C library (os.setns exists only from Python 3.12)."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from limosa.linux import libc, mount
from limosa.model.hints import Final

CLONE_NEWNS: Final = 0x20000
CLONE_NEWNET: Final = 0x40000000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWUTS: Final = 0x04000000
_NAMES: Final = {CLONE_NEWNET: "net", CLONE_NEWUTS: "uts"}


def setns(descriptor: int, flag: int) -> None:
    """Move the calling thread into the namespace that `descriptor` names.

    Raises: OSError: EINVAL for another kind than `flag`, EPERM without CAP_SYS_ADMIN over it. Source: setns(2).
    """
    if hasattr(os, "setns"):
        os.setns(descriptor, flag)
        return
    if libc.loaded().setns(descriptor, flag) != 0:
        libc.failed("setns")


@contextmanager
def entered(descriptor: int, flag: int = CLONE_NEWNET) -> Iterator[None]:
    """Be in another network (or UTS) namespace for the time of a `with` block; only this thread changes.

    Raises: OSError as `setns` does; the thread is then where it was. Sockets made inside stay in that namespace, and
    /proc/sys/net is read and written there.
    """
    own = os.open(f"/proc/thread-self/ns/{_NAMES[flag]}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(descriptor, flag)
        try:
            yield
        finally:
            setns(own, flag)
    finally:
        os.close(own)


def new_mounts() -> None:
    """Let this process have mounts of its own, a copy of those that it saw, which pass nothing on in either direction.

    Raises: OSError EPERM. Source: unshare(2), mount_namespaces(7).
    """
    if libc.loaded().unshare(CLONE_NEWNS) != 0:
        libc.failed("unshare")
    mount.set_propagation("/", mount.MS_PRIVATE, recursive=True)


def new_network() -> int:
    """Return a descriptor of a new network namespace, which lives as long as it is open or mounted somewhere.

    The calling thread stays where it is. Raises: OSError EPERM. Source: unshare(2).
    """
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.loaded().unshare(CLONE_NEWNET) != 0:
            libc.failed("unshare")
        try:
            return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            setns(own, CLONE_NEWNET)
    finally:
        os.close(own)


def open_network(pid: int) -> int:
    """Return a descriptor of the network namespace of `pid`. Raises: ProcessLookupError: there is no such process."""
    return _opened(pid, "net")


def open_uts(pid: int) -> int:
    """Return a descriptor of the UTS namespace of `pid`. Raises: ProcessLookupError: there is no such process."""
    return _opened(pid, "uts")


def same(pid: int, others: Iterable[int], name: str) -> set[int]:
    """Return which of `others` are in a namespace together with `pid`, none if that is gone; `name` is "pid", …"""

    def link(one: int) -> str:
        try:
            return os.readlink(f"/proc/{one}/ns/{name}")
        except (FileNotFoundError, ProcessLookupError):
            return ""

    own = link(pid)
    return {other for other in others if own and link(other) == own}


def _opened(pid: int, name: str) -> int:
    try:
        return os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as gone:
        raise ProcessLookupError(f"no process {pid}") from gone
