"""POSIX locks, of which criu leaves some out of a dump, and gives others back too early. See docs/adr/0034.

It dumps a file that several processes have inherited once, with the locks of the first of them: those of the others are
added while everything stands still. At a restore it lets a process take its locks when its files are open, opens those
that it maps anew, and closes that descriptor once they are mapped, which gives up the process's locks on the file: they
are taken once more before the processes go on. Source: fcntl(2), F_SETLK; CRIU criu/files.c, do_dump_gen_file;
criu/cr-restore.c, restore_one_alive_task; images/file-lock.proto.
"""

import errno
import itertools
import os
from collections import Counter
from collections.abc import Sequence

from limosa.adapters.criu import images
from limosa.adapters.criu.schema import Message
from limosa.adapters.criu.wire import WireError
from limosa.linux import namespaces, posix_locks, process, ptrace, ptrace_through
from limosa.linux.posix_locks import Lock
from limosa.model.errors import LimosaError
from limosa.model.hints import Final
from limosa.model.value import NamedTuple

_IMAGE: Final = "filelocks"
_KIND, _TYPE, _PID, _DESCRIPTOR, _FIRST, _SIZE = 1, 2, 3, 4, 5, 6
_POSIX: Final = 1
_SHARED, _EXCLUSIVE = 0, 1
_LIMIT_S: Final = 60.0  # one takes two milliseconds


def complete(criu_images: str, init_pid: int) -> None:
    """Add to a dump what locks of the processes beside `init_pid`, who all stand still, are not in it.

    Raises: LimosaError LIM-CRIU-030: they cannot be told.
    """
    everybodys = posix_locks.everybodys()
    ours = namespaces.same(init_pid, {one.pid for one in everybodys}, "pid")
    held = [one for one in everybodys if one.pid in ours]
    if not held:
        return
    path = f"{criu_images}/{_IMAGE}.img"
    try:
        dumped = _dumped(path)
        inside = {pid: process.pid_inside(pid) for pid in ours}
        if Counter((inside[one.pid], one.lock) for one in held) == Counter(map(_owned, filter(_posix, dumped))):
            return
        found = {one: number for pid in inside for one, number in posix_locks.by_descriptor(pid).items()}
        added = [_message(inside[one.pid], found[one], one.lock) for one in held]
    except (WireError, LookupError, OSError) as failed:
        raise LimosaError(
            "LIM-CRIU-030",
            "the locks that processes have on files cannot be stored",
            state="the container is running; nothing changed",
            cause=f"it cannot be told which they are: {failed}",
            hint="please report it with the kernel's version",
        ) from failed
    images.write_all(path, _IMAGE, [*itertools.filterfalse(_posix, dumped), *added])


def require_none_awaited(init_pid: int) -> None:
    """See that no process beside `init_pid` waits for a lock, as criu lets it for one that somebody else has.

    Raises: LimosaError LIM-CRIU-033: one does. The processes stand still otherwise, or are not there.
    """
    waiting = posix_locks.waiting()
    for pid in namespaces.same(init_pid, waiting, "pid"):
        raise _excluded(process.pid_inside(pid), _path(pid, waiting[pid]))


class _Lost(NamedTuple):
    pid: int  # on this machine
    pid_inside: int
    descriptor: int
    lock: Lock


def require_takeable(criu_images: str, processes: Sequence[int]) -> None:
    """Do what `Checkpointer.require_locks` says."""
    for lost in _lost(criu_images, processes):
        try:
            ptrace.instruction(lost.pid)
        except OSError as failed:
            raise _refused(lost, failed) from failed


def take(criu_images: str, processes: Sequence[int]) -> None:
    """Do what `Checkpointer.take_locks` says."""
    lost = _lost(criu_images, processes)
    if not lost:
        return
    failure: OSError = OSError(errno.ENOLCK, "it is gone again")
    try:
        ptrace.by_child(lambda: _take(lost))
    except OSError as failed:
        failure = failed
    left = _lost(criu_images, processes)
    if left:
        raise _refused(left[0], failure) from failure


def _lost(criu_images: str, processes: Sequence[int]) -> list[_Lost]:
    """Return the locks of a dump that its processes do not have, those of one process together."""
    try:
        dumped = [message for message in _dumped(f"{criu_images}/{_IMAGE}.img") if _posix(message)]
        by_inner = {process.pid_inside(pid): pid for pid in processes if dumped}
        lost = []
        for message in dumped:
            (pid_inside, lock), descriptor = _owned(message), message[_DESCRIPTOR]
            pid = by_inner[pid_inside]
            if all(one.lock != lock for one in posix_locks.of_descriptor(pid, descriptor)):
                lost.append(_Lost(pid, pid_inside, descriptor, lock))
        return sorted(lost)
    except (WireError, LookupError, OSError) as malformed:
        raise LimosaError(
            "LIM-CRIU-031",
            "the locks of a commit cannot be brought back",
            state="it was not restored",
            cause=f"they are not of its processes: {malformed}",
            hint="limosa verify shows whether the commit is whole",
        ) from malformed


def _dumped(path: str) -> list[Message]:
    return images.read_all(path, _IMAGE) if os.path.exists(path) else []


def _posix(message: Message) -> bool:
    return bool(message[_KIND] == _POSIX)


def _message(pid_inside: int, descriptor: int, lock: Lock) -> Message:
    kind = _EXCLUSIVE if lock.exclusive else _SHARED
    return {
        _KIND: _POSIX,
        _TYPE: kind,
        _PID: pid_inside,
        _DESCRIPTOR: descriptor,
        _FIRST: lock.first,
        _SIZE: lock.size_bytes,
    }


def _owned(message: Message) -> tuple[int, Lock]:
    return message[_PID], Lock(message[_TYPE] == _EXCLUSIVE, message[_FIRST], message[_SIZE])


def _take(lost: Sequence[_Lost]) -> tuple[()]:
    with ptrace_through.tracing(process.tracer(lost[0].pid), _LIMIT_S) as tracer:
        for pid in dict.fromkeys(one.pid for one in lost):
            with tracer.held(pid) as thread, ptrace_through.scratch(thread) as page:
                for one in lost:
                    if one.pid == pid:
                        posix_locks.take(thread, page, one.descriptor, one.lock)
    return ()


def _refused(lost: _Lost, why: OSError) -> LimosaError:
    try:
        path = os.readlink(f"/proc/{lost.pid}/fd/{lost.descriptor}")
    except OSError:
        path = f"descriptor {lost.descriptor}"
    if why.errno in (errno.EAGAIN, errno.EACCES):
        return _excluded(lost.pid_inside, path)
    return _not_back(lost.pid_inside, path, why.strerror or str(why), "please report it with the kernel's version")


def _excluded(pid_inside: int, path: str) -> LimosaError:
    cause = "somebody outside of the container has locked the file"
    return _not_back(pid_inside, path, cause, "end whoever uses it: /proc/locks has the pid")


def _not_back(pid_inside: int, path: str, cause: str, hint: str) -> LimosaError:
    return LimosaError(
        "LIM-CRIU-033",
        f"process {pid_inside} cannot get its lock on {path} back",
        state="it was not restored",
        cause=cause,
        hint=hint,
    )


def _path(pid: int, file: str) -> str:
    """Return the path of a file that a process has open; `file` is what /proc/locks calls it."""
    for name in os.listdir(f"/proc/{pid}/fd"):
        about = os.stat(f"/proc/{pid}/fd/{name}")
        if f"{os.major(about.st_dev):02x}:{os.minor(about.st_dev):02x}:{about.st_ino}" == file:
            return os.readlink(f"/proc/{pid}/fd/{name}")
    return "a file"
