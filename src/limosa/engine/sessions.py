"""Programs executed in a running container."""

from limosa.engine import bundle, lifecycle
from limosa.engine.host import Host
from limosa.model import capabilities
from limosa.model.container import ContainerRecord
from limosa.model.errors import EXIT_USAGE, LimosaError
from limosa.model.hints import Final
from limosa.model.value import NamedTuple
from limosa.ports.runtime import ExecRequest, Streams

_SHELLS: Final = ("/bin/bash", "/bin/sh")
_NO_LOGIN: Final = ("nologin", "false", "sync")


class Wanted(NamedTuple):
    """What `exec` was asked for; `user` None is the container's own."""

    command: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    cwd: str = ""
    user: str | None = None
    privileged: bool = False
    streams: Streams = Streams()


def execute(host: Host, record: ContainerRecord, wanted: Wanted) -> int:
    """Execute a program and return its status. Raises: LimosaError LIM-CONT-002: the container does not run."""
    request = _request(host, record, wanted)
    return host.runtime.execute(record.container_id, request, host.cgroups.exec_procs_files(record.container_id))


def execute_detached(host: Host, record: ContainerRecord, wanted: Wanted) -> None:
    """Start a program and leave it running. Raises: LimosaError LIM-CONT-002: the container does not run."""
    request = _request(host, record, wanted)
    host.runtime.execute_detached(record.container_id, request, host.cgroups.exec_procs_files(record.container_id))


def enter(host: Host, record: ContainerRecord, user: str, streams: Streams, terminal_kind: str) -> int:
    """Run a login shell of `user` ("" is root) and return its status.

    It is the shell of the container's own /etc/passwd, bash or sh where that is none or is not there, and starts as
    a login would: in the home directory, with nothing of the container's or the caller's environment.
    Raises: LimosaError LIM-CONT-002: it does not run; LIM-RUN-005: there is no such user.
    """
    lifecycle.require_running(record, "enter")
    account = bundle.account(host, record, user)
    env = {
        "PATH": bundle.PATH,
        "HOME": account.home,
        "USER": account.name or str(account.uid),
        "LOGNAME": account.name or str(account.uid),
        "container": "limosa",
    }
    if streams.terminal:
        env["TERM"] = terminal_kind or "xterm"
    own = () if account.shell.rpartition("/")[2] in ("", *_NO_LOGIN) else (account.shell,)
    shells = [shell for shell in (*own, *_SHELLS) if host.rootfs.resolve(record.container_id, shell)]
    shell = shells[0] if shells else _SHELLS[-1]
    request = ExecRequest(
        argv=(shell, "-l"),
        env=(*env.items(), ("SHELL", shell)),
        cwd=account.home,
        uid=account.uid,
        gid=account.gid,
        groups=account.groups,
        streams=streams,
    )
    return host.runtime.execute(record.container_id, request, host.cgroups.exec_procs_files(record.container_id))


def _request(host: Host, record: ContainerRecord, wanted: Wanted) -> ExecRequest:
    if not wanted.command:
        raise LimosaError(
            "LIM-CONT-006", "no command was given", hint="limosa exec NAME COMMAND", exit_status=EXIT_USAGE
        )
    lifecycle.require_running(record, "exec in")
    user = bundle.account(host, record, record.config.user if wanted.user is None else wanted.user)
    env = {"PATH": bundle.PATH, "HOME": user.home, **dict(record.config.env)}
    if wanted.streams.terminal:
        env.setdefault("TERM", "xterm")
    return ExecRequest(
        argv=wanted.command,
        env=tuple({**env, **dict(wanted.env)}.items()),
        cwd=wanted.cwd or record.config.cwd,
        uid=user.uid,
        gid=user.gid,
        groups=user.groups,
        capabilities=capabilities.ALL if wanted.privileged else (),
        streams=wanted.streams,
    )
