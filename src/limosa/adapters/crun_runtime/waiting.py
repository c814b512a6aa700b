"""A monitor that is started before there is anything to run: its runtime waits for the parts of the container.

conmon and the script need as long to come up as cgroups and root file system to be made, so both happen at once. What
the script is told, and when, it reads from a pipe (enter.pl). It ends if the pipe does, and conmon with it: whether
limosa gives up or is killed, nothing waits for ever.
"""

import os

from limosa.adapters.crun_runtime import monitor
from limosa.model.value import NamedTuple


class Waiting(NamedTuple):
    """A monitor whose runtime waits, and the pipe through which it is told."""

    starting: monitor.Starting
    tell_fd: int


def start(conmon: str, plan: monitor.MonitorPlan) -> Waiting:
    """Start the monitor. Raises: OSError: it cannot be started; nothing is left."""
    told, tell = os.pipe()
    try:
        return Waiting(monitor.start(conmon, plan._replace(passed_fd=told)), tell)
    except OSError:
        os.close(tell)
        raise
    finally:
        os.close(told)


def say(waiting: Waiting, line: str) -> None:
    """Send a line. Nothing happens if nobody is there any more: `monitor.first_pid` tells why."""
    try:
        os.write(waiting.tell_fd, f"{line}\n".encode())
    except BrokenPipeError:
        return


def go_on(waiting: Waiting) -> monitor.Starting:
    """Let the runtime become crun."""
    say(waiting, "go")
    os.close(waiting.tell_fd)
    return waiting.starting


def abandon(waiting: Waiting) -> None:
    """Give up; the monitor has ended when this returns."""
    os.close(waiting.tell_fd)
    monitor.launched(waiting.starting)
    while os.read(waiting.starting.sync_fd, 4096):
        pass
    os.close(waiting.starting.sync_fd)
