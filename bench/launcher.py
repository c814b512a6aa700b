"""Start commands from a process that is already where they run, so that only the commands are timed.

A launcher is a child with cgroups of its own (and, for podman, a root file system of its own): entering them costs tens
of milliseconds, which belong to neither command.
"""

import json
import os
import socket
import time
from collections.abc import Callable
from typing import Any, NamedTuple

SETTLE_S = 20.0
_STEP_S = 0.005


class Finished(NamedTuple):
    """One or several copies of a command, started together and ended."""

    wall_ms: float  # from before the first start to after the last end
    statuses: tuple[int, ...]
    output: str  # of the last one to start, both streams

    def checked(self) -> "Finished":
        """Return this. Raises: RuntimeError: a status is not 0."""
        if any(self.statuses):
            raise RuntimeError(f"ended with {self.statuses}: {self.output[-2000:]}")
        return self


class Launcher:
    """A child process that runs one command after the other."""

    def __init__(self, name: str, env: dict[str, str], enter: Callable[[], None], cpu_file: str, group: str):
        """`enter` is called in the child. `group` is its cgroup, whose CPU time is in `cpu_file`."""
        self.name = name
        self._cpu_file, self._group = cpu_file, group
        here, there = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            here.close()
            _serve(there, env, enter)
        there.close()
        self._stream = here.makefile("rw", encoding="utf-8")
        if json.loads(self._stream.readline() or '"it died"') != "ready":
            raise RuntimeError(f"{name} cannot be started here: see above")
        self._idle = self._count()

    def run(self, argv: list[str], copies: int = 1) -> Finished:
        """Run `copies` of a command (an absolute path first) at once and return when all have ended."""
        self._stream.write(json.dumps([argv, copies]) + "\n")
        self._stream.flush()
        wall_ms, statuses, output = json.loads(self._stream.readline())
        return Finished(wall_ms, tuple(statuses), output)

    def _count(self) -> int:
        found = 0
        for directory, _, _ in os.walk(self._group):
            try:
                with open(f"{directory}/cgroup.procs", encoding="ascii") as file:
                    found += len(file.readlines())
            except OSError:  # a container's group that is just going
                continue
        return found

    def cpu_ms(self) -> float:
        """Return the CPU time of this launcher and of everything that its commands started, whoever its parent is."""
        if not self._cpu_file:
            return 0.0
        with open(self._cpu_file, encoding="ascii") as file:
            return int(file.read()) / 1e6

    def settle(self, *, as_before: bool = True) -> None:
        """Wait until what commands left in the background has ended, or until nothing new ends where some is to stay.

        Without a cgroup to count in, this is a pause.
        """
        if not self._group:
            time.sleep(0.5)
            return
        deadline, quiet, last = time.monotonic() + SETTLE_S, 0, -1
        while time.monotonic() < deadline:
            count = self._count()
            if as_before and count <= self._idle:
                return
            quiet = quiet + 1 if count == last else 0
            if not as_before and quiet > 40:
                self._idle = count
                return
            last = count
            time.sleep(_STEP_S)
        raise RuntimeError(f"{self.name}: {self._count()} processes are still there, {self._idle} were before")

    def end(self) -> None:
        """End the child. It is told so: a later launcher has this one's socket open too."""
        try:
            self._stream.write("null\n")
            self._stream.flush()
        except BrokenPipeError:
            pass
        os.waitpid(self.pid, 0)


def _serve(connection: socket.socket, env: dict[str, str], enter: Callable[[], None]) -> None:
    """Be the child: never return."""
    try:
        output = os.memfd_create("output")
        enter()
        # Input is a pipe at its end, as it is in a script; what a device of the host is, no command may change.
        empty, write_end = os.pipe()
        os.close(write_end)
        stream = connection.makefile("rw", encoding="utf-8")
        _say(stream, "ready")
        for line in stream:
            if (request := json.loads(line)) is None:
                break
            argv, copies = request
            _say(stream, _timed(argv, copies, env, empty, output))
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _say(stream: Any, value: object) -> None:
    stream.write(json.dumps(value) + "\n")
    stream.flush()


def _timed(argv: list[str], copies: int, env: dict[str, str], empty: int, output: int) -> tuple[float, list[int], str]:
    os.ftruncate(output, 0)
    os.lseek(output, 0, os.SEEK_SET)
    files = [(os.POSIX_SPAWN_DUP2, here, there) for here, there in ((empty, 0), (output, 1), (output, 2))]
    start = time.perf_counter()
    pids = [os.posix_spawn(argv[0], argv, env, file_actions=files) for _ in range(copies)]
    statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    wall_ms = (time.perf_counter() - start) * 1000
    text = os.pread(output, 1 << 20, 0).decode(errors="replace")
    return wall_ms, statuses, text
