"""The `Runtime` port: crun under conmon."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress

from limosa.adapters.crun_runtime import monitor, refusals, waiting
from limosa.linux import files, process, syscalls
from limosa.model import json_text
from limosa.model.confinement import Allowance
from limosa.model.container import ContainerConfig
from limosa.model.errors import LimosaError
from limosa.model.hints import TYPE_CHECKING, Final
from limosa.model.ids import ContainerId, looks_like_id
from limosa.model.init import RunFile
from limosa.ports.runtime import BundlePlan, ExecRequest, ExecSession, Outcome, RestoreSeat, Started, Streams

if TYPE_CHECKING:
    from limosa.adapters.crun_runtime import session
    from limosa.model.console_log import Entry

_ENTER: Final = os.path.join(os.path.dirname(__file__), "enter.pl")
_EXEC: Final = os.path.join(os.path.dirname(__file__), "exec.sh")
_EXITED: Final = os.path.join(os.path.dirname(__file__), "exited.sh")

_STATUS_STEPS: Final = 200
_STATUS_STEP_SECONDS: Final = 0.01
_KILLED: Final = 137
_OF_NOBODY: Final = 1  # clock ticks after boot: no process of a container is so old


class CrunRuntime:
    """Containers started by crun, watched by conmon.

    On disk, below the run directory: `crun/<id>/` crun's own state, `bundles/<id>/` config.json and conmon's files.
    """

    def __init__(
        self,
        run_directory: str,
        state_directory: str,
        crun: str,
        conmon: str,
        exit_command: tuple[str, ...],
        hidden_mount: str,
        init_helper: Callable[[], str],
    ) -> None:
        """`hidden_mount` is what crun must not see (see enter.pl); `exit_command` gets the container's id appended."""
        self._run = run_directory
        self._state = state_directory
        self._crun = crun
        self._conmon = conmon
        self._exit_command = exit_command
        self._hidden_mount = hidden_mount
        self._init_helper = init_helper
        self._waiting: dict[ContainerId, waiting.Waiting] = {}

    def bundle(self, container_id: ContainerId) -> str:
        """Return the directory with config.json and conmon's files."""
        return f"{self._run}/bundles/{container_id}"

    def log_path(self, container_id: ContainerId) -> str:
        """Return the log that conmon appends to, across starts and restores."""
        return f"{self._state}/containers/{container_id}/console.log"

    def _arguments(self) -> tuple[str, ...]:
        return ("--root", f"{self._run}/crun", "--cgroup-manager=disabled")

    def begin(self, container_id: ContainerId, config: ContainerConfig) -> None:
        """See the port."""
        if container_id in self._waiting:
            return
        env = {
            **self._entering(),
            "LIMOSA_TOLD": "yes",
            "LIMOSA_PRIVATE": "yes",
            "LIMOSA_STDIN": "" if config.terminal or config.stdin_open else "none",
        }
        self._make_places(container_id, config)
        plan = self._monitor_plan(container_id, config, _ENTER, self._arguments(), env)
        self._waiting[container_id] = waiting.start(self._conmon, plan)

    def _entering(self) -> dict[str, str]:
        """Return what enter.pl has to know wherever it is used."""
        return {
            "LIMOSA_HIDE": self._hidden_mount,
            "LIMOSA_CALLS": " ".join(map(str, syscalls.numbers("unshare", "mount", "clone3"))),
            "LIMOSA_CRUN": self._crun,
        }

    def join(self, container_id: ContainerId, procs_files: tuple[str, ...]) -> None:
        """See the port."""
        waiting.say(self._waiting[container_id], " ".join(procs_files))

    def create(self, plan: BundlePlan, meanwhile: Callable[[], None]) -> Started:
        """See the port."""
        self._write_bundle(plan)
        starting = waiting.go_on(self._waiting.pop(plan.container_id))
        try:
            meanwhile()
        except BaseException:
            with suppress(LimosaError):  # nobody is at work any more when the caller takes back what there is
                monitor.first_pid(starting)
            raise
        try:
            return self._started(starting)
        except LimosaError as failed:
            self.delete(plan.container_id)
            raise refusals.translated(failed, plan.argv) from failed

    def make_ready(self, container_id: ContainerId, config: ContainerConfig, first_host_id: int) -> None:
        """See the port."""
        from limosa.adapters.crun_runtime import restored

        restored.make_ready(self._run, self._session(container_id, ()), config, first_host_id)

    def begin_restore(self, plan: BundlePlan, criu_argv: tuple[str, ...], connection: int) -> RestoreSeat:
        """See the port."""
        from limosa.adapters.crun_runtime import restored

        self._write_bundle(plan)
        restored.keep_filter(self._run, self._session(plan.container_id, ()))
        console = restored.console(self.bundle(plan.container_id)) if plan.config.terminal else ""
        env = {"LIMOSA_ARGV": "\n".join(criu_argv), "LIMOSA_CONSOLE": console}
        self._make_places(plan.container_id, plan.config)
        monitoring = self._monitor_plan(plan.container_id, plan.config, _EXEC, (), env)
        starting = monitor.start(self._conmon, monitoring._replace(passed_fd=connection))
        monitor.launched(starting)
        return RestoreSeat(plan.container_id, f"{self.bundle(plan.container_id)}/pidfile", starting.sync_fd)

    def allowance(self, plan: BundlePlan) -> Allowance:
        """See the port."""
        from limosa.adapters.crun_runtime import allowance, seccomp_filter, spec

        config = spec.config(plan)
        profile = config["linux"].get("seccomp")
        path = profile and seccomp_filter.compiled(profile, self._run, _ENTER, self._session(plan.container_id, ()).env)
        return allowance.of(config, plan.first_host_id, path)

    def give_terminal(self, seat: RestoreSeat, master: int) -> None:
        """See the port."""
        from limosa.adapters.crun_runtime import restored

        restored.give_terminal(self.bundle(seat.container_id), master)

    def finish_restore(self, plan: BundlePlan, seat: RestoreSeat) -> Started:
        """See the port."""
        monitoring = self._monitor_plan(plan.container_id, plan.config, _EXEC, (), {})
        started = self._started(monitor.Starting(seat.sync_fd, monitoring), goes_on=True)
        self.adopt(plan.container_id, started)
        return started

    def abandon_restore(self, seat: RestoreSeat) -> None:
        """See the port."""
        os.close(seat.sync_fd)
        self.delete(seat.container_id)

    def _write_bundle(self, plan: BundlePlan) -> str:
        from limosa.adapters.crun_runtime import spec

        bundle = self.bundle(plan.container_id)
        os.makedirs(bundle, mode=0o700, exist_ok=True)
        with open(f"{bundle}/config.json", "w", encoding="utf-8") as file:
            file.write(json_text.dumps(spec.config(plan)))  # dump() would not use the encoder in C
        return bundle

    def _monitor_plan(
        self,
        container_id: ContainerId,
        config: ContainerConfig,
        program: str,
        arguments: tuple[str, ...],
        env: dict[str, str],
    ) -> monitor.MonitorPlan:
        exit_command = (_EXITED, f"{self._state}/containers/{container_id}", *self._exit_command, container_id)
        return monitor.MonitorPlan(
            container_id=container_id,
            bundle=self.bundle(container_id),
            runtime=program,
            runtime_args=arguments,
            env=tuple(env.items()),
            log_path=self.log_path(container_id),
            terminal=config.terminal,
            stdin_open=config.stdin_open,
            log_max_bytes=config.log_max_bytes,
            leave_stdin_open=config.terminal or not config.stdin_once,
            exit_command=exit_command if self._exit_command else (),
        )

    def _make_places(self, container_id: ContainerId, config: ContainerConfig) -> None:
        closed = "" if config.security.privileged else files.closed_to_others(self._run)
        if closed:
            raise refusals.closed_root(closed)
        os.makedirs(f"{self._run}/crun", mode=0o700, exist_ok=True)
        os.makedirs(os.path.dirname(self.log_path(container_id)), mode=0o700, exist_ok=True)
        os.makedirs(self.bundle(container_id), mode=0o700, exist_ok=True)

    def _started(self, starting: monitor.Starting, *, goes_on: bool = False) -> Started:
        """A first process that `goes_on` without us may have ended by now; its monitor knows how."""
        init_pid = monitor.first_pid(starting)
        try:
            ticks = process.start_ticks(init_pid)
        except ProcessLookupError:
            if not goes_on:
                raise
            ticks = _OF_NOBODY
        return Started(init_pid, ticks, monitor.pid(starting.plan.bundle))

    def start(self, container_id: ContainerId) -> None:
        """See the port."""
        # What `crun start` does, without the 7 ms of starting it: the first process waits for a byte from this pipe.
        pipe = f"{self._run}/crun/{container_id}/exec.fifo"
        try:
            descriptor = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                os.unlink(pipe)
                os.write(descriptor, b"0")
            finally:
                os.close(descriptor)
        except OSError as ended:
            raise LimosaError(
                "LIM-RUN-001",
                "the program cannot be started",
                cause=f"its first process has ended before the start: {ended.strerror}",
                hint="was it killed? start it again",
            ) from ended

    def init_helper(self) -> str:
        """See the port."""
        return self._init_helper()

    def furnish(self, started: Started, owner_id: int, files: tuple[RunFile, ...]) -> None:
        """See the port."""
        from limosa.adapters.crun_runtime import run_files

        run_files.put(started.init_pid, owner_id, files)

    def seated(self, container_id: ContainerId, init_pid: int) -> Started:
        """See the port."""
        return Started(init_pid, process.start_ticks(init_pid), monitor.pid(self.bundle(container_id)))

    def left_alone(self, started: Started, timeout_s: float) -> bool:
        """See the port."""
        import time

        deadline = time.monotonic() + timeout_s
        while set(process.children(started.monitor_pid)) - {started.init_pid}:
            if time.monotonic() > deadline:
                return False
            time.sleep(_STATUS_STEP_SECONDS)
        return True

    def adopt(self, container_id: ContainerId, started: Started) -> None:
        """See the port."""
        from limosa.adapters.crun_runtime import restored

        restored.adopt(self._run, self.bundle(container_id), container_id, started)

    def standard_streams(self, container_id: ContainerId) -> tuple[str, str, str]:
        """See the port."""
        from limosa.adapters.crun_runtime import first_process

        return first_process.streams(self.bundle(container_id), self._crun)

    def signal(self, container_id: ContainerId, signal_number: int) -> None:
        """See the port."""
        from limosa.adapters.crun_runtime import first_process

        first_process.send(self.bundle(container_id), signal_number, lambda: self.exit_status(container_id) is not None)

    def wait(self, container_id: ContainerId, started: Started, timeout_s: float | None) -> int | None:
        """See the port."""
        if not process.ended(started.init_pid, started.init_start_ticks, timeout_s):
            return None
        if not os.path.isdir(self.bundle(container_id)):
            return _KILLED
        # conmon writes the status a moment after it has reaped the process, mostly less than a millisecond.
        for step in range(_STATUS_STEPS):
            status = self.exit_status(container_id)
            if status is not None:
                return status
            process.ended(started.monitor_pid, 0, min(_STATUS_STEP_SECONDS, 0.001 + step / 4000))
        return _KILLED

    def expect_connection(self) -> None:
        """See the port."""
        from limosa.adapters.crun_runtime import attach  # noqa: F401 - with it socket, relay, terminal: 5 ms

    def connect(self, container_id: ContainerId) -> int:
        """See the port."""
        from limosa.adapters.crun_runtime import attach

        return attach.connect(self.bundle(container_id))

    def redraw(self, container_id: ContainerId) -> None:
        """See the port."""
        from limosa.adapters.crun_runtime import attach, relay

        size = relay.person_size()
        if size is not None:
            attach.resize(self.bundle(container_id), size[0] + 1, size[1] + 1)

    def relay(self, container_id: ContainerId, connection: int, streams: Streams) -> Outcome:
        """See the port."""

        def pass_on(number: int) -> None:
            try:
                self.signal(container_id, number)
            except ProcessLookupError:
                pass

        import socket

        from limosa.adapters.crun_runtime import attach, relay

        with socket.socket(fileno=connection) as ours:
            return relay.run(attach.wires(ours, self.bundle(container_id), pass_on), streams)

    def execute(self, container_id: ContainerId, request: ExecRequest, procs_files: tuple[str, ...]) -> int:
        """See the port."""
        from limosa.adapters.crun_runtime import session

        status, words = session.execute(self._session(container_id, procs_files), request)
        if words:
            raise refusals.translated(refusals.not_executed(words), request.argv)
        return status

    def execute_detached(self, container_id: ContainerId, request: ExecRequest, procs_files: tuple[str, ...]) -> None:
        """See the port."""
        from limosa.adapters.crun_runtime import session

        try:
            session.detach(self._conmon, self._session(container_id, procs_files), request)
        except LimosaError as failed:
            raise refusals.translated(refusals.not_executed(failed.cause), request.argv) from failed

    def _session(self, container_id: ContainerId, procs_files: tuple[str, ...]) -> "session.Place":
        from limosa.adapters.crun_runtime import session

        env = {
            "PATH": monitor.PATH,
            "LIMOSA_PROCS": " ".join(procs_files),
            **self._entering(),
        }
        return session.Place(container_id, self.bundle(container_id), _ENTER, self._arguments(), env)

    def sessions(self, started: Started, processes: list[int]) -> list[ExecSession]:
        """See the port."""
        from limosa.adapters.crun_runtime import outsiders  # with it ctypes and socket

        return outsiders.sessions(started, processes)

    def end_sessions(self, started: Started, processes: list[int]) -> list[ExecSession]:
        """See the port."""
        from limosa.adapters.crun_runtime import outsiders

        return outsiders.end(started, processes)

    def log(self, container_id: ContainerId) -> "Iterator[Entry]":
        """See the port."""
        from limosa.adapters.crun_runtime import console

        return console.entries(self.log_path(container_id))

    def follow_log(
        self, container_id: ContainerId, started_of: Callable[[], Started | None]
    ) -> "Iterator[Entry | None]":
        """See the port."""
        from limosa.adapters.crun_runtime import console

        return console.follow(self.log_path(container_id), started_of)

    def exit_status(self, container_id: ContainerId) -> int | None:
        """See the port."""
        return monitor.exit_status(self.bundle(container_id), container_id)

    def delete(self, container_id: ContainerId) -> None:
        """See the port."""
        if container_id in self._waiting:
            waiting.abandon(self._waiting.pop(container_id))
        for directory in (f"{self._run}/crun/{container_id}", self.bundle(container_id)):
            monitor.remove_files(directory)

    def present(self) -> list[ContainerId]:
        """See the port."""
        found: set[str] = set()
        for directory in (f"{self._run}/crun", f"{self._run}/bundles"):
            if os.path.isdir(directory):
                found.update(os.listdir(directory))
        return [ContainerId(name) for name in sorted(found) if looks_like_id(name)]  # crun has a .cache there
