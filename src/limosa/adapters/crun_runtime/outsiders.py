"""Processes of a container that are no descendants of its first one: they came in by `exec`."""

import os
import select
import signal
import time
from contextlib import suppress

from limosa.linux import descriptors, proc_table, process
from limosa.model.hints import Final
from limosa.ports.runtime import ExecSession, Started

_PATIENCE_SECONDS: Final = 2.0
_KILL_SECONDS: Final = 5.0


def sessions(started: Started, processes: list[int]) -> list[ExecSession]:
    """See the port."""
    found = []
    for pid in _programs(started, processes):
        with suppress(ProcessLookupError):
            row = proc_table.row(pid)
            found.append(ExecSession(pid, row.inner_pid, row.command, " ".join(row.argv)))
    return found


def _programs(started: Started, processes: list[int]) -> list[int]:
    """Return the outermost processes that came in by `exec`, past crun, which waits for its program outside."""
    inside = set(processes)
    parents = {pid: process.parent(pid) for pid in processes}
    outer = [pid for pid in processes if pid != started.init_pid and parents[pid] not in (0, *inside)]
    own = descriptors.namespaces(started.init_pid).get("pid", "")
    found = []
    for pid in outer:
        children = [child for child, parent in parents.items() if parent == pid]
        carries = bool(children) and descriptors.namespaces(pid).get("pid", own) != own
        found += children if carries else [pid]
    return found


def end(started: Started, processes: list[int]) -> list[ExecSession]:
    """See the port."""
    found = sessions(started, processes)
    # By pidfds: a pid may be another process's by the time that it is signalled.
    opened, carriers = [], []
    try:
        for pid in _with_descendants([one.pid for one in found], processes):
            with suppress(ProcessLookupError):
                opened.append(os.pidfd_open(pid))
        for parent in {process.parent(one.pid) for one in found} & set(processes):
            with suppress(ProcessLookupError):
                carriers.append(os.pidfd_open(parent))  # ends by itself, and tells the program's status
        for number, seconds in (
            (signal.SIGHUP, 0.0),
            (signal.SIGTERM, _PATIENCE_SECONDS),
            (signal.SIGKILL, _KILL_SECONDS),
        ):
            for descriptor in opened:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(descriptor, number)
                    signal.pidfd_send_signal(descriptor, signal.SIGCONT)
            if _ended(opened, seconds):
                break
        if not _ended([*opened, *carriers], _KILL_SECONDS):
            raise TimeoutError("an exec session does not end")
        return found
    finally:
        for descriptor in (*opened, *carriers):
            os.close(descriptor)


def _with_descendants(roots: list[int], processes: list[int]) -> list[int]:
    found = list(roots)
    parents = {pid: process.parent(pid) for pid in processes}
    for pid in found:  # grows while it is walked
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def _ended(opened: list[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    for descriptor in opened:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if not poll.poll(max(0, int((deadline - time.monotonic()) * 1000))):
            return False
    return True
