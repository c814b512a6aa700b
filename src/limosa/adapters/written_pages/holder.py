"""The process that holds a container's userfaultfds (keeper/descriptors.py), as commands see it."""

import fcntl
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from limosa.linux import process, userfaultfd
from limosa.model.hints import Final

_FIRST: Final = 4  # 3 is the pidfd of the container's first process
_FAR: Final = 400  # numbers that none of the holder's own descriptors gets


def start(program: Sequence[str], init_pid: int, descriptors: Sequence[int]) -> tuple[int, int]:
    """Start a holder of `descriptors`, which are 4, 5, … there; return its pid and start. Raises: OSError."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    given = [null]
    try:
        given.append(os.pidfd_open(init_pid))
        far = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, _FAR) for one in (given[1], *descriptors)]
        given += far
        files = [(null, number) for number in range(3)]
        files += [(here, _FIRST - 1 + place) for place, here in enumerate(far)]
        pid = process.spawn(program, env={}, files=files, session=True)
        return pid, process.start_ticks(pid)
    finally:
        for one in given:
            os.close(one)


def numbers(count: int) -> range:
    """Return the numbers that a holder has `count` descriptors under."""
    return range(_FIRST, _FIRST + count)


@contextmanager
def opened(holder: tuple[int, int]) -> Iterator[int | None]:
    """Give a pidfd of a holder, None if it has died."""
    pid, ticks = holder
    try:
        descriptor = os.pidfd_open(pid) if pid else None
    except ProcessLookupError:
        descriptor = None
    if descriptor is None:
        yield None
        return
    try:
        yield descriptor if process.alive(pid, ticks) else None
    finally:
        os.close(descriptor)


def end(holder: tuple[int, int]) -> None:
    """End a holder. Nothing happens if it has ended."""
    with opened(holder) as descriptor:
        if descriptor is not None:
            try:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            except ProcessLookupError:
                return
    try:
        os.waitpid(holder[0], os.WNOHANG)  # it may be a child of this very command
    except (ChildProcessError, ProcessLookupError):
        return


def end_strays(program: Sequence[str], but: tuple[int, int]) -> bool:
    """End the holders of a container that nobody knows of, since the command that started them died; say if any was."""
    wanted = "\0".join(program).encode()
    found = False
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == but[0]:
            continue
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                mine = file.read().rstrip(b"\0") == wanted
            if mine:
                end((int(name), process.start_ticks(int(name))))
                found = True
        except (OSError, ValueError):
            continue
    return found


def taken(pidfd: int, number: int) -> int | None:
    """Return a duplicate of a holder's descriptor, None if it has died since."""
    try:
        return userfaultfd.taken(pidfd, number)
    except OSError:
        return None
