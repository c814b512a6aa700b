"""Waiting until a system container has booted."""

from limosa.engine import bundle, ending, lifecycle, system
from limosa.engine.host import Host
from limosa.model import init
from limosa.model.container import ContainerRecord
from limosa.model.errors import LimosaError
from limosa.model.hints import Final
from limosa.ports.runtime import ExecRequest

_STEP_S: Final = 0.2


def wait_until_up(host: Host, record: ContainerRecord, timeout_s: float) -> None:
    """Return when the init of a running system container has started what it starts by itself.

    At once for an app container, and for an init that cannot be asked (`init.booted_command`).
    Raises: LimosaError LIM-CONT-008: not within `timeout_s`, it goes on booting; LIM-CONT-002: it ended meanwhile.
    """
    lifecycle.require_running(record, "wait for")
    command = init.booted_command(system.init_of(host, record).family) if record.config.kind == "system" else ()
    if not command:
        return
    container_id = record.container_id
    request = ExecRequest(command, env=(("PATH", bundle.PATH),), cwd="/")
    deadline_ns = host.now_ns() + int(timeout_s * 1e9)
    while not _says_yes(host, record, request):
        if host.runtime.wait(container_id, ending.process_of(record), _STEP_S) is not None:
            lifecycle.require_running(ending.on_exit(host, container_id), "wait for")
            record = host.containers.load(container_id)  # it was rebooted from inside, and runs again
        if host.now_ns() > deadline_ns:
            name = record.config.name
            raise LimosaError(
                "LIM-CONT-008",
                f'"{name}" has not booted within {timeout_s:g} s',
                state=f'"{name}" is running and goes on booting',
                hint=f"limosa logs {name}; limosa enter {name} shows what it waits for; --timeout gives it longer",
            )


def _says_yes(host: Host, record: ContainerRecord, request: ExecRequest) -> bool:
    container_id = record.container_id
    try:
        return host.runtime.execute(container_id, request, host.cgroups.exec_procs_files(container_id)) == 0
    except LimosaError:  # there is nobody to ask yet, or nobody any more
        return False
