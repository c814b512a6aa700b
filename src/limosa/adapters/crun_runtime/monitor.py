"""conmon: parent of a container's first process, holder of its terminal or pipes, its log and its exit status.

conmon is started once per start or restore, forks itself into the background, becomes a subreaper and starts "the
runtime" (crun through enter.sh, or the restore shim), whose orphaned child it then watches.  Files, all below the
bundle: `pidfile`, `conmon.pid`, `attach` (a SOCK_SEQPACKET socket), `ctl`, `winsz`, `exit/<id>`.
Source: conmon(8).
"""

import json
import os
from typing import NamedTuple

from limosa.linux import process
from limosa.model.errors import LimosaError
from limosa.model.ids import ContainerId


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


def start(conmon: str, plan: MonitorPlan) -> int:
    """Start conmon and wait until its runtime is done; return the pid of the container's first process.

    Raises: LimosaError LIM-RUN-001: the runtime failed; the message has its words. conmon has ended then.
    """
    bundle = plan.bundle
    os.makedirs(f"{bundle}/exit", mode=0o700, exist_ok=True)
    for stale in ("pidfile", "conmon.pid", f"exit/{plan.container_id}"):
        if os.path.exists(f"{bundle}/{stale}"):
            os.unlink(f"{bundle}/{stale}")
    argv = [conmon, "--api-version", "1", "-c", plan.container_id, "-u", plan.container_id, "-n", plan.container_id]
    argv += ["-r", plan.runtime, "-b", bundle, "-p", f"{bundle}/pidfile", "-P", f"{bundle}/conmon.pid"]
    argv += ["--exit-dir", f"{bundle}/exit", "--full-attach", "-l", f"k8s-file:{plan.log_path}", "--log-level", "error"]
    argv += ["--no-sync-log"]
    argv += [f"--runtime-arg={argument}" for argument in plan.runtime_args]
    argv += (["-t"] if plan.terminal else []) + (["-i", "--leave-stdin-open"] if plan.stdin_open else [])
    if plan.exit_command:
        argv += ["--exit-command", plan.exit_command[0]]
        argv += [f"--exit-command-arg={argument}" for argument in plan.exit_command[1:]]
    return _started(argv, plan)


def _started(argv: list[str], plan: MonitorPlan) -> int:
    read_end, write_end = os.pipe()
    null = os.open("/dev/null", os.O_RDWR)
    errors = os.open(f"{plan.bundle}/conmon.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    try:
        env = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "_OCI_SYNCPIPE": "3",
            **dict(plan.env),
        }
        files = [(null, 0), (null, 1), (errors, 2), (write_end, 3)]
        pid = process.spawn(argv, env=env, files=files, session=True)
    finally:
        for descriptor in (write_end, null, errors):
            os.close(descriptor)
    with os.fdopen(read_end, "rb") as sync:
        process.wait(pid)
        # One line: the pid, or -1 and the runtime's words. conmon keeps its end open for as long as it lives.
        return _first_pid(sync.readline(), plan)


def _first_pid(line: bytes, plan: MonitorPlan) -> int:
    said = json.loads(line) if line.strip() else {}
    first = int(said.get("data", said.get("pid", -1)))
    if first > 0:
        return first
    words = str(said.get("message", "")).strip()
    if not words:
        with open(f"{plan.bundle}/conmon.log", encoding="utf-8", errors="replace") as file:
            words = file.read()[-2000:].strip()
    raise LimosaError("LIM-RUN-001", "the container cannot be created", cause=words or "conmon ended without a word")


def pid(bundle: str) -> int:
    """Return conmon's pid, 0 if it never wrote one."""
    try:
        with open(f"{bundle}/conmon.pid", encoding="ascii") as file:
            return int(file.read() or 0)
    except FileNotFoundError:
        return 0


def exit_status(bundle: str, container_id: ContainerId) -> int | None:
    """Return the status that conmon noted when the first process ended, or None."""
    try:
        with open(f"{bundle}/exit/{container_id}", encoding="ascii") as file:
            text = file.read()
    except FileNotFoundError:
        return None
    return int(text) if text else None
