"""conmon: parent of a container's first process, holder of its terminal or pipes, its log and its exit status.

conmon is started once per start or restore, forks itself into the background, becomes a subreaper and starts "the
runtime" (crun through enter.pl, or the restore shim), whose orphaned child it then watches.  Files, all below the
bundle: `pidfile`, `conmon.pid`, `attach` (a SOCK_SEQPACKET socket), `ctl`, `winsz`, `exit/<id>`.
Source: conmon(8).
"""

import errno
import fcntl
import os
import time

from limosa.linux import process
from limosa.linux.files import remove_tree, working_directory
from limosa.model import json_text
from limosa.model.hints import Final
from limosa.model.ids import ContainerId
from limosa.model.value import NamedTuple

_LATE_STEPS: Final = 100
_LATE_STEP_SECONDS: Final = 0.01
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class MonitorPlan(NamedTuple):
    """How to start conmon for one container."""

    container_id: ContainerId
    bundle: str
    runtime: str  # path of the program that conmon starts
    runtime_args: tuple[str, ...]
    env: tuple[tuple[str, str], ...]  # for the runtime
    log_path: str
    terminal: bool
    stdin_open: bool
    exit_command: tuple[str, ...]
    passed_fd: int = -1  # a descriptor that the runtime gets as 3
    leave_stdin_open: bool = False  # standard input stays open when an attached person leaves
    log_max_bytes: int | None = None
    exec_spec: str = ""  # not a container but a program in one: its process.json, and no log


class Starting(NamedTuple):
    """A conmon whose runtime is at work; `first_pid` waits for its end."""

    sync_fd: int
    plan: MonitorPlan
    launcher_pid: int = 0  # conmon's first process, which ends once the monitor is up; 0: it was waited for


def start(conmon: str, plan: MonitorPlan) -> Starting:
    """Start conmon in the background. Raises: OSError: it cannot be started; nothing is left."""
    bundle = plan.bundle
    os.makedirs(f"{bundle}/exit", mode=0o700, exist_ok=True)
    for stale in ("pidfile", "conmon.pid", f"exit/{plan.container_id}"):
        if os.path.exists(f"{bundle}/{stale}"):
            os.unlink(f"{bundle}/{stale}")
    argv = [conmon, "--api-version", "1", "-c", plan.container_id, "-u", plan.container_id, "-n", plan.container_id]
    argv += ["-r", plan.runtime, "-b", bundle, "-p", f"{bundle}/pidfile", "-P", f"{bundle}/conmon.pid"]
    argv += ["--exit-dir", f"{bundle}/exit", "--full-attach", "--log-level", "error", "--no-sync-log"]
    argv += ["-l", f"k8s-file:{plan.log_path}" if plan.log_path else "off"]
    argv += [] if plan.log_max_bytes is None else ["--log-size-max", str(plan.log_max_bytes)]
    argv += ["--exec", "--exec-process-spec", plan.exec_spec] if plan.exec_spec else []
    argv += [f"--runtime-arg={argument}" for argument in plan.runtime_args]
    argv += (["-t"] if plan.terminal else []) + (["-i"] if plan.stdin_open else [])
    argv += ["--leave-stdin-open"] if plan.leave_stdin_open else []
    if plan.exit_command:
        argv += ["--exit-command", plan.exit_command[0]]
        argv += [f"--exit-command-arg={argument}" for argument in plan.exit_command[1:]]
    return _started(argv, plan)


def _started(argv: list[str], plan: MonitorPlan) -> Starting:
    read_end, write_end = os.pipe()
    null = os.open("/dev/null", os.O_RDWR)
    errors = os.open(f"{plan.bundle}/conmon.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    try:
        env = {"PATH": PATH, "_OCI_SYNCPIPE": "4", **dict(plan.env)}
        files = [(null, 0), (null, 1), (errors, 2)]
        # Sources are moved above every target first, so that no target overwrites a source still needed.
        high = [
            fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 64)
            for descriptor in (write_end, plan.passed_fd)
            if descriptor >= 0
        ]
        files.append((high[0], 4))
        if plan.passed_fd >= 0:
            env["LISTEN_FDS"] = "1"  # newer conmons close whatever systemd's convention does not name
            files.append((high[1], 3))
        # It writes a file `oom` where it runs, and what it starts at the end is looked for there, by Python at least.
        with working_directory(plan.bundle):
            pid = process.spawn(argv, env=env, files=files, session=True)
        for descriptor in high:
            os.close(descriptor)
    except OSError:
        os.close(read_end)
        raise
    finally:
        for descriptor in (write_end, null, errors):
            os.close(descriptor)
    return Starting(read_end, plan, pid)


def launched(starting: Starting) -> None:
    """Wait until the monitor is in the background and has noted its pid."""
    if starting.launcher_pid:
        process.wait(starting.launcher_pid)


def first_pid(starting: Starting) -> int:
    """Wait until conmon's runtime is done; return the pid of the container's first process.

    Raises: LimosaError LIM-RUN-001: the runtime failed; the message has its words. conmon has ended then.
    """
    launched(starting)
    plan = starting.plan
    with os.fdopen(starting.sync_fd, "rb") as sync:
        # One line: the pid, or -1 and the runtime's words. conmon keeps its end open for as long as it lives.
        line = sync.readline()
    said = json_text.loads(line) if line.strip() else {}
    first = int(said.get("data", said.get("pid", -1)))
    if first > 0:
        return first
    words = str(said.get("message", "")).strip()
    if not words:
        with open(f"{plan.bundle}/conmon.log", encoding="utf-8", errors="replace") as file:
            words = file.read()[-2000:].strip()
    from limosa.adapters.crun_runtime.refusals import not_created

    raise not_created(words or "conmon ended without a word")


def pid(bundle: str) -> int:
    """Return conmon's pid, 0 if it never wrote one."""
    try:
        with open(f"{bundle}/conmon.pid", encoding="utf-8") as file:
            return int(file.read() or 0)
    except FileNotFoundError:
        return 0


def remove_files(directory: str) -> None:
    """Remove a directory of a monitor. One whose command was killed may be making a last file there."""
    for _ in range(_LATE_STEPS):
        try:
            return remove_tree(directory)
        except OSError as late:
            if late.errno != errno.ENOTEMPTY:
                raise
        time.sleep(_LATE_STEP_SECONDS)
    return remove_tree(directory)


def exit_status(bundle: str, container_id: ContainerId) -> int | None:
    """Return the status that conmon noted when the first process ended, or None."""
    try:
        with open(f"{bundle}/exit/{container_id}", encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        return None
    return int(text) if text else None
