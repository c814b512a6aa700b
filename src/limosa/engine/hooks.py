"""Programs of the host at the turns of a container's life.

    prestart   namespaces, mounts and network are there, the program is not yet executed; a failure gives the start up
    poststart  the program runs
    prestop    `stop` or `restart` is about to signal it
    poststop   the program has ended, by whatever cause, and what it held is released

The container's lock is held: a hook may use `inspect` and `exec`, but no verb that changes this container. In its
environment are LIMOSA_EVENT, LIMOSA_ID, LIMOSA_NAME, LIMOSA_PID (of the first process, in the host's pid namespace),
and after an end LIMOSA_STATUS and LIMOSA_PHASE: "restarting" if it will be started again by itself, else "stopped".
"""

from limosa.engine.host import Host
from limosa.model.container import ContainerRecord
from limosa.model.errors import LimosaError
from limosa.model.hints import TYPE_CHECKING
from limosa.ports.hooks import HookFailed

if TYPE_CHECKING:
    from limosa.model.commit import CommitRecord


def before_start(host: Host, record: ContainerRecord, init_pid: int) -> None:
    """Execute the prestart hooks. Raises: LimosaError LIM-HOOK-001: one failed."""
    failure = _run(host, record, "prestart", init_pid)
    if failure:
        raise LimosaError(
            "LIM-HOOK-001",
            f'"{record.config.name}" is not started: a prestart hook failed',
            cause=failure,
            hint="mend the hook's program; it is executed on the host, by no shell",
        )


def notify(host: Host, record: ContainerRecord, event: str) -> ContainerRecord:
    """Execute the hooks of an event that has happened; what fails is noted in the record, which is returned."""
    failure = _run(host, record, event, record.init_pid)
    if failure:
        record = record._replace(hook_failure=failure)
        host.containers.save(record)
    return record


def in_copy(
    host: Host,
    record: ContainerRecord,
    commit: "CommitRecord",
    command: tuple[str, ...],
) -> None:
    """Execute a command inside a copy whose own processes are there and stand still; what it prints goes to stderr.

    Raises: LimosaError LIM-HOOK-002: it failed, or cannot be executed.
    """
    from limosa.engine import bundle
    from limosa.ports.runtime import ExecRequest, Started, Streams

    env = {
        "PATH": bundle.PATH,
        "HOME": "/root",
        **dict(record.config.env),
        "LIMOSA_NAME": record.config.name,
        "LIMOSA_ID": record.container_id,
        "LIMOSA_COMMIT": commit.commit_id,
        "LIMOSA_COPY_OF": commit.container.config.name,
    }
    host.runtime.adopt(record.container_id, Started(record.init_pid, record.init_start_ticks, record.monitor_pid))
    request = ExecRequest(argv=command, env=tuple(env.items()), streams=Streams(to_errors=True))
    try:
        status = host.runtime.execute(record.container_id, request, host.cgroups.exec_procs_files(record.container_id))
        failure = f"it ended with {status}" if status else ""
    except LimosaError as refused:
        failure = refused.cause or refused.summary
    if failure:
        raise LimosaError(
            "LIM-HOOK-002",
            f'there is no copy "{record.config.name}": its hook failed',
            state="nothing of the copy is left",
            cause=f"{' '.join(command)[:200]}: {failure}",
            hint="the hook is executed inside the copy, by no shell; limosa exec tries it in the original",
        )


def _run(host: Host, record: ContainerRecord, event: str, init_pid: int) -> str:
    """Return what the first failing hook said, "" if none failed."""
    for wanted, command in record.config.hooks:
        if wanted != event:
            continue
        env = (
            ("LIMOSA_EVENT", event),
            ("LIMOSA_ID", record.container_id),
            ("LIMOSA_NAME", record.config.name),
            ("LIMOSA_PID", str(init_pid or "")),
            ("LIMOSA_PHASE", "" if init_pid else record.phase),
            ("LIMOSA_STATUS", str(record.exit.status) if record.exit and not init_pid else ""),
        )
        try:
            host.hooks.run(command, env)
        except HookFailed as failed:
            return f"{event} hook {command!r}: {failed}"
    return ""
