"""Processes in a container's groups, for the suites over the adapters and over the fake."""

import os
import signal
import subprocess

from tests.waiting import eventually

from limosa.model.container import Limits
from limosa.model.ids import ContainerId
from limosa.ports.cgroups import Cgroups

ENTER = 'for file in $PROCS; do echo 0 >"$file" || exit 99; done; exec "$@"'
UNLIMITED = Limits(pids=None)


class Laboratory:
    """An adapter with a group of its own, and the processes that the tests start in it."""

    def __init__(self, cgroups: Cgroups, real: bool) -> None:
        self.cgroups = cgroups
        self.real = real
        self._children: list[subprocess.Popen[str]] = []
        self._ids: list[ContainerId] = []
        self._next_pid = 1 << 22

    def new_id(self) -> ContainerId:
        """Return an id that no container has; its groups go when the test is over."""
        self._ids.append(ContainerId(os.urandom(12).hex()))
        return self._ids[-1]

    def created(self, limits: Limits = UNLIMITED, owner_id: int = 0) -> ContainerId:
        """Return the id of a container with groups."""
        container_id = self.new_id()
        self.cgroups.create(container_id, limits, owner_id)
        return container_id

    def start(self, container_id: ContainerId, *argv: str, **options: object) -> subprocess.Popen[str]:
        """Start `argv` as a member of every group of the container."""
        child = subprocess.Popen(
            ["/bin/sh", "-c", ENTER, "sh", *argv],
            env={**os.environ, "PROCS": " ".join(self.cgroups.procs_files(container_id))},
            text=True,
            **options,  # type: ignore[call-overload]
        )
        self._children.append(child)
        return child

    def member(self, container_id: ContainerId) -> int:
        """Return the pid of a process that sleeps in the container's groups."""
        if not self.real:
            self._next_pid += 1
            self.cgroups.enter(container_id, self._next_pid)  # type: ignore[attr-defined]
            return self._next_pid
        pid = self.start(container_id, "/bin/sleep", "600").pid
        eventually(lambda: comm(pid) == "sleep")
        return pid

    def close(self) -> None:
        """End everything that was started and remove the groups."""
        for container_id in self._ids:
            self.cgroups.kill(container_id)
        for child in self._children:
            child.kill()
            child.wait()
            for stream in (child.stdin, child.stdout):
                if stream:
                    stream.close()
        for container_id in self._ids:
            self.cgroups.destroy(container_id)
        self.cgroups.close()


def comm(pid: int) -> str:
    """Return the name of a process, "" if it is gone."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""


def cpu_ticks(pid: int) -> int:
    """Return the processor time that a process has used."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def dead(child: subprocess.Popen[str]) -> bool:
    """Say whether SIGKILL ended a child."""
    return child.wait(timeout=10) == -signal.SIGKILL
