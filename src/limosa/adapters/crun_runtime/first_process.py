"""The first process of a container, by the number that conmon noted: signals for it, and what its streams are."""

import os
import signal
from collections.abc import Callable

from limosa.linux import process
from limosa.model.hints import Final

_STEPS: Final = 200
_STEP_SECONDS: Final = 0.01


def send(bundle: str, signal_number: int, ended: Callable[[], bool]) -> None:
    """Signal it. Raises: ProcessLookupError: there is none, or it has `ended`."""
    try:
        pid = _pid(bundle)
    except FileNotFoundError as never:
        raise ProcessLookupError(f"{bundle} has no first process") from never
    # The pidfd keeps the number from meaning another process between the look and the signal.
    descriptor = os.pidfd_open(pid)
    try:
        if ended():
            raise ProcessLookupError(f"the first process of {bundle} has ended")
        signal.pidfd_send_signal(descriptor, signal_number)
    finally:
        os.close(descriptor)


def streams(bundle: str, crun: str) -> tuple[str, str, str]:
    """Return what its descriptors 0..2 are, as /proc names them, once it has executed its program. Raises: OSError."""
    pid = _pid(bundle)
    _await_program(pid, crun)
    names = [os.readlink(f"/proc/{pid}/fd/{number}") for number in range(3)]
    return names[0], names[1], names[2]


def _pid(bundle: str) -> int:
    with open(f"{bundle}/pidfile", encoding="utf-8") as file:
        return int(file.read())


def _await_program(pid: int, crun: str) -> None:
    """Return once the first process has executed its program: a moment after `start` it may still be crun.

    Between its change of user and the program, nobody may look into it (proc(5), dumpable), so no dump would succeed.
    """
    for _ in range(_STEPS):
        try:
            if os.path.basename(crun) not in os.path.basename(os.readlink(f"/proc/{pid}/exe")):
                return
        except PermissionError:
            pass
        process.ended(pid, 0, _STEP_SECONDS)
