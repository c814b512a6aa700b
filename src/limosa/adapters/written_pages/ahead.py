"""Copies made while processes run, so that little is left to copy when they stand still.

Protecting a page does not reach who has it pinned for writing already: a direct read, or a read of a FUSE file, goes on
filling it without a fault. Such a pin ends with its system call. So a copy is made only after every thread of the
container was seen outside of the kernel since the protection; what it pins after that is marked. A process with
asynchronous I/O, which is not bound to a call, is not copied ahead.
"""

import os
import threading
from collections.abc import Sequence

from limosa.linux import process_memory, ptrace


def all_passed(pids: Sequence[int]) -> bool:
    """Say whether every thread of these processes was seen outside of the kernel since the call began."""
    tids = [tid for pid in pids for tid in _threads(pid)]
    failures: list[OSError] = []

    def trace() -> None:
        for tid in tids:
            try:
                ptrace.pass_by(tid)
            except ProcessLookupError:
                continue  # what it was doing has ended with it
            except OSError as failed:
                if _ended(tid):
                    continue
                failures.append(failed)
                return

    # A tracer of its own: what it could not stop is let go when it ends.
    tracer = threading.Thread(target=trace)
    tracer.start()
    tracer.join()
    return not failures


def _threads(pid: int) -> list[int]:
    try:
        return [int(tid) for tid in os.listdir(f"/proc/{pid}/task")]
    except FileNotFoundError:
        return []


def _ended(tid: int) -> bool:
    try:
        with open(f"/proc/{tid}/stat", "rb") as file:
            return file.read().rsplit(b")", 1)[1].split()[0] in (b"Z", b"X")
    except (FileNotFoundError, ProcessLookupError):
        return True


def possible(pid: int) -> bool:
    """Say whether a process has no asynchronous I/O. Raises: ProcessLookupError: it is gone."""
    return not any(one.name.startswith("/[aio]") for one in process_memory.mappings(pid))
