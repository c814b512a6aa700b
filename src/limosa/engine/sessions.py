"""Programs executed in a running container."""

from typing import NamedTuple

from limosa.engine import bundle, lifecycle
from limosa.engine.host import Host
from limosa.model.container import ContainerRecord
from limosa.model.errors import EXIT_USAGE, LimosaError
from limosa.ports.runtime import ExecRequest


class Wanted(NamedTuple):
    """What `exec` was asked for; `user` None is the container's own."""

    command: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    cwd: str = ""
    user: str | None = None
    terminal: bool = False
    stdin_open: bool = False


def execute(host: Host, record: ContainerRecord, wanted: Wanted) -> int:
    """Execute a program and return its status. Raises: LimosaError LIM-CONT-002: the container does not run."""
    if not wanted.command:
        raise LimosaError(
            "LIM-CONT-006", "no command was given", hint="limosa exec NAME COMMAND", exit_status=EXIT_USAGE
        )
    lifecycle.require_running(record, "exec in")
    user = bundle.account(host, record, record.config.user if wanted.user is None else wanted.user)
    env = {"PATH": bundle.PATH, "HOME": user.home, **dict(record.config.env), **dict(wanted.env)}
    request = ExecRequest(
        argv=wanted.command,
        env=tuple(env.items()),
        cwd=wanted.cwd or record.config.cwd,
        uid=user.uid,
        gid=user.gid,
        terminal=wanted.terminal,
        stdin_open=wanted.stdin_open,
    )
    return host.runtime.execute(record.container_id, request, host.cgroups.exec_procs_files(record.container_id))
