"""Exec sessions: one more program in a running container, joined to the caller's streams or left to itself.

The runtime gives a program's standard streams to the container's user, so a terminal, a regular file or a device of
the host must never reach it: what it gets are pipes, or a pty of the container's own whose master is sent to us. Files,
beside the container's config.json: `exec-<pid>.*`, and a directory `exec-<pid>` for the monitor of a detached one.
"""

import os
import time

from limosa.adapters.crun_runtime import monitor, relay
from limosa.linux import process, terminal
from limosa.model import json_text
from limosa.model.hints import TYPE_CHECKING, Any, Final
from limosa.model.ids import ContainerId
from limosa.model.value import NamedTuple
from limosa.ports.runtime import ExecRequest

if TYPE_CHECKING:
    import socket

_BLOCK_BYTES: Final = 1 << 16
_PID_STEPS: Final = 200
_PID_STEP_SECONDS: Final = 0.01


class Place(NamedTuple):
    """What a session is started with."""

    container_id: ContainerId
    bundle: str
    enter: str  # the script that joins the cgroups and becomes crun
    arguments: tuple[str, ...]  # for crun, before its verb
    env: dict[str, str]

    def file(self, kind: str) -> str:
        """Return the path of a file of this process's session."""
        return f"{self.bundle}/exec-{os.getpid()}.{kind}"


def execute(place: Place, request: ExecRequest) -> tuple[int, str]:
    """Run a program and return its status and crun's own words, which are none unless crun itself failed."""
    kinds = ("json", "log", "pid", "socket")
    try:
        _write_spec(place, request)
        status = _with_terminal(place, request) if request.streams.terminal else _with_pipes(place, request)
        return status, _text(place.file("log")) if status else ""
    finally:
        for kind in kinds:
            if os.path.lexists(place.file(kind)):
                os.unlink(place.file(kind))


def detach(conmon: str, place: Place, request: ExecRequest) -> None:
    """Start a program under a monitor of its own, which throws its output away, and return.

    Raises: LimosaError LIM-RUN-001: the runtime refused.
    """
    directory = f"{place.bundle}/exec-{os.getpid()}"
    os.makedirs(directory, mode=0o700)
    _write_spec(place, request)
    plan = monitor.MonitorPlan(
        container_id=place.container_id,
        bundle=directory,
        runtime=place.enter,
        runtime_args=place.arguments,
        env=tuple(place.env.items()),
        log_path="",
        terminal=request.streams.terminal,
        stdin_open=False,
        exit_command=("/bin/rm", "-rf", directory),
        exec_spec=place.file("json"),
    )
    try:
        monitor.first_pid(monitor.start(conmon, plan))
    finally:
        os.unlink(place.file("json"))


def _write_spec(place: Place, request: ExecRequest) -> None:
    with open(f"{place.bundle}/config.json", encoding="utf-8") as file:
        spec: dict[str, Any] = json_text.loads(file.read())["process"]
    spec["args"] = list(request.argv)
    spec["env"] = [f"{name}={value}" for name, value in request.env]
    spec["cwd"] = request.cwd or "/"
    spec["terminal"] = request.streams.terminal
    spec["user"] = {"uid": request.uid, "gid": request.gid, "additionalGids": list(request.groups)}
    if request.capabilities:
        caps = list(request.capabilities)
        spec["capabilities"] = {"bounding": caps, "effective": caps, "permitted": caps}
        spec["noNewPrivileges"] = False
    with open(place.file("json"), "w", encoding="utf-8") as file:
        file.write(json_text.dumps(spec))


def _argv(place: Place, *more: str) -> list[str]:
    argv = [place.enter, *place.arguments, f"--log=file:{place.file('log')}", "exec"]
    argv += ["--process", place.file("json"), "--pid-file", place.file("pid")]
    return [*argv, *more, place.container_id]


def _with_pipes(place: Place, request: ExecRequest) -> int:
    in_read, in_write = os.pipe()
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    try:
        # A session of its own: what the caller's terminal sends to its foreground comes through us.
        pid = process.spawn(
            _argv(place), env=place.env, files=[(in_read, 0), (out_write, 1), (err_write, 2)], session=True
        )
    finally:
        for descriptor in (in_read, out_write, err_write):
            os.close(descriptor)
    os.set_blocking(in_write, False)
    ended = os.pidfd_open(pid)
    forward = relay.pipe_forward({out_read: 2 if request.streams.to_errors else 1, err_read: 2})

    def forward_but_words(descriptor: int) -> bool:
        # What crun says of its own failure becomes an error message; it is in its log before it is here.
        if descriptor == err_read and _text(place.file("log")):
            return bool(os.read(err_read, _BLOCK_BYTES))
        return forward(descriptor)

    wires = relay.Wires(
        outputs=(out_read, err_read),
        forward=forward_but_words,
        input_fd=in_write,
        send=lambda data: os.write(in_write, data),
        finish_input=lambda: os.close(in_write),
        resize=lambda _rows, _columns: None,
        signal=lambda number: _signal_program(place, number),
        ended_fd=ended,
    )
    outcome = relay.run(wires, request.streams)
    if outcome.why == "interrupted":
        return 128 + outcome.signal
    return process.wait(pid)


def _signal_program(place: Place, number: int) -> None:
    # crun writes the pid a moment after the program has begun.
    for _ in range(_PID_STEPS):
        text = _text(place.file("pid"))
        if text:
            break
        time.sleep(_PID_STEP_SECONDS)
    else:
        return
    try:
        os.kill(int(text), number)
    except ProcessLookupError:
        pass


def _with_terminal(place: Place, request: ExecRequest) -> int:
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        directory = os.open(place.bundle, os.O_PATH | os.O_DIRECTORY)
        # A socket's path has at most 107 bytes; both names are short wherever the bundle is.
        name = os.path.basename(place.file("socket"))
        listener.bind(f"/proc/self/fd/{directory}/{name}")
        listener.listen(1)
        in_read, in_write = os.pipe()
        words_read, out_write = os.pipe()
        argv = _argv(place, "--tty", "--console-socket", f"/proc/{os.getpid()}/fd/{directory}/{name}")
        try:
            files = [(in_read, 0), (out_write, 1), (out_write, 2)]
            pid = process.spawn(argv, env=place.env, files=files, session=True)
        finally:
            for descriptor in (in_read, in_write, out_write):
                os.close(descriptor)
        ended = os.pidfd_open(pid)
        master = _received_master(listener, ended)
        os.close(directory)
        os.close(words_read)  # crun's words are in its log too
    if master < 0:
        return process.wait(pid)
    outcome = relay.run(_pty_wires(master, ended, place), request.streams)
    if outcome.why == "detached":
        _keep_running(master)
        return 0
    os.close(master)  # the program's terminal hangs up
    return 128 + outcome.signal if outcome.why == "interrupted" else process.wait(pid)


def _received_master(listener: "socket.socket", ended: int) -> int:
    """Return the pty's master that crun sends, -1 if crun ended first."""
    import select
    import socket

    poll = select.poll()
    poll.register(listener, select.POLLIN)
    poll.register(ended, select.POLLIN)
    while True:
        ready = [descriptor for descriptor, _ in poll.poll()]
        if listener.fileno() in ready:
            connection, _ = listener.accept()
            with connection:
                _, descriptors, _, _ = socket.recv_fds(connection, _BLOCK_BYTES, 1)
            if descriptors:
                os.set_inheritable(descriptors[0], False)
                return descriptors[0]
        elif ended in ready:
            return -1


def _pty_wires(master: int, ended: int, place: Place) -> relay.Wires:
    os.set_blocking(master, False)

    def forward(descriptor: int) -> bool:
        try:
            data = os.read(descriptor, _BLOCK_BYTES)
        except BlockingIOError:
            return True
        except OSError:  # EIO: nobody has the terminal open any more
            return False
        return bool(data) and relay.write_out(1, data)

    return relay.Wires(
        outputs=(master,),
        forward=forward,
        input_fd=master,
        send=lambda data: os.write(master, data),
        finish_input=lambda: None,
        resize=lambda rows, columns: terminal.set_size(master, rows, columns),
        signal=lambda number: _signal_program(place, number),
        ended_fd=ended,
    )


def _keep_running(master: int) -> None:
    """Leave a process behind that holds the terminal and throws away what is printed, until the program has ended."""
    os.set_blocking(master, True)
    null = os.open("/dev/null", os.O_WRONLY)
    process.spawn(["/bin/cat"], env={"PATH": monitor.PATH}, files=[(master, 0), (null, 1), (null, 2)], session=True)


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except FileNotFoundError:
        return ""
