"""userfaultfd as a mark on pages that are written: asynchronous write protection, no fault is ever told to anybody.

A descriptor belongs to one address space, and only a thread in it can make one; everything else is done from outside.
While it is open the kernel marks; at its last close it takes all marks back.
Source: userfaultfd(2), ioctl_userfaultfd(2), Linux Documentation/admin-guide/mm/userfaultfd.rst.
"""

import errno
import os
import struct

from limosa.linux import libc, ptrace
from limosa.model.hints import Final

_API_REQUEST: Final = 0xC018AA3F
_REGISTER: Final = 0xC020AA00
_API: Final = 0xAA
_WP_UNPOPULATED: Final = 1 << 13
_WP_ASYNC: Final = 1 << 15
_PAGEFAULT_FLAG_WP: Final = 1
_MODE_WP: Final = 2
_USER_MODE_ONLY: Final = 1  # what everybody may ask for; with asynchronous protection no fault comes here anyway
_SYS_USERFAULTFD: Final = 323
_SYS_CLOSE: Final = 3
_SYS_PIDFD_GETFD: Final = 438


def from_outside(pid: int) -> int:
    """Return a userfaultfd of the address space of a process, which does not keep one; it stands still for 0.2 ms.

    A child of this process sees to it, see `ptrace.by_child`.
    Raises: ProcessLookupError: it has ended; TimeoutError: none of its threads could be stopped within a second;
    PermissionError: it may not be traced; OSError: it is no 64-bit program (ENOEXEC), or the kernel gives none
    (ENOSYS), or not with asynchronous write protection (EINVAL: Linux before 6.7). The process is as it was.
    """
    (descriptor,) = ptrace.by_child(lambda: [_taken(pid)])
    try:
        _enable(descriptor)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def can_mark() -> bool:
    """Say whether this kernel marks written pages for us."""
    if os.uname().machine != "x86_64":
        return False
    descriptor = int(libc.loaded().syscall(_SYS_USERFAULTFD, os.O_CLOEXEC | _USER_MODE_ONLY))
    if descriptor < 0:
        return False
    try:
        _enable(descriptor)
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _taken(pid: int) -> int:
    try:
        tids = sorted(os.listdir(f"/proc/{pid}/task"), key=lambda tid: tid != str(pid))
    except FileNotFoundError as gone:
        raise ProcessLookupError(f"no process {pid}") from gone
    last: OSError = ProcessLookupError(errno.ESRCH, f"no thread of {pid}")
    for tid in tids:
        try:
            with ptrace.stopped(int(tid)) as thread:
                number = thread.call(_SYS_USERFAULTFD, os.O_CLOEXEC | os.O_NONBLOCK | _USER_MODE_ONLY)
                if number < 0:
                    raise OSError(-number, f"userfaultfd: {os.strerror(-number)}")
                try:
                    return _take(pid, number)
                finally:
                    thread.call(_SYS_CLOSE, number)
        except (ProcessLookupError, PermissionError) as ended:  # a leader that has ended may not be seized
            last = ended
    raise last


def _take(pid: int, number: int) -> int:
    process = os.pidfd_open(pid)
    try:
        return taken(process, number)
    finally:
        os.close(process)


def taken(pidfd: int, number: int) -> int:
    """Return a duplicate of descriptor `number` of a process. Raises: OSError: EBADF: it has none of that number, …

    Source: pidfd_getfd(2).
    """
    found = int(libc.loaded().syscall(_SYS_PIDFD_GETFD, pidfd, number, 0))
    if found < 0:
        libc.failed("")
    return found


def _enable(descriptor: int) -> None:
    features = _PAGEFAULT_FLAG_WP | _WP_UNPOPULATED | _WP_ASYNC
    libc.ioctl(descriptor, _API_REQUEST, struct.pack("<QQQ", _API, features, 0))


def register(descriptor: int, first: int, size_bytes: int) -> None:
    """Let the kernel mark what is written to a mapping; doing it again changes nothing.

    Raises: OSError: EBUSY: another userfaultfd has it; EINVAL: a mapping that cannot be marked; ENOMEM: it is gone;
    ESRCH: the address space is gone.
    """
    libc.ioctl(descriptor, _REGISTER, struct.pack("<QQQQ", first, size_bytes, _MODE_WP, 0))
