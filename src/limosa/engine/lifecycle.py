"""Containers: start, stop, restart, signal, wait, remove. `creation` makes them; an end is seen to in `ending`."""

from collections.abc import Callable
from contextlib import ExitStack, suppress

from limosa.engine import bundle, ending, hooks, mounts, pausing, system
from limosa.engine.ending import networked, process_of
from limosa.engine.host import Host
from limosa.model.container import ContainerConfig, ContainerRecord, Phase, ProcessName
from limosa.model.errors import LimosaError
from limosa.model.hints import Final
from limosa.model.ids import ContainerId
from limosa.model.signals import number_of
from limosa.ports.runtime import ExecRequest, Started

_SIGKILL: Final = 9
_KILL_SECONDS: Final = 10.0


def start(
    host: Host,
    container_id: ContainerId,
    before_program: Callable[[], None] | None = None,
    *,
    although_moved: bool = False,
) -> ContainerRecord:
    """Start a container that does not run; `before_program` is called when all is there but the program's start.

    Raises: LimosaError; it is stopped, as before, then. LIM-CONT-011: it is paused, and was not restored so;
    LIM-MIG-005: it has moved to another host, unless the caller says `although_moved`.
    """
    with host.containers.locked(container_id):
        record = ending.loaded(host, container_id)
        if record.phase == "running":
            return record
        if record.phase == "paused" and record.held:
            return pausing.let_go(host, record)
        if record.phase == "paused":
            name = record.config.name
            raise LimosaError(
                "LIM-CONT-011",
                f'cannot start "{name}": it is paused',
                state=f'"{name}" is paused; nothing changed',
                hint=f"limosa unpause {name}",
            )
        ending.refuse_moved(record, although_moved)
        if record.keeper.pid:
            host.keepers.end(record.keeper)
        if record.started_ns:  # whoever noted its end may have been killed before it took the runtime's state away
            host.runtime.delete(container_id)
        idle = "stopped" if record.phase == "restarting" else record.phase
        record = record._replace(
            phase=idle, restarts=0, restart_delay_ns=0, restart_at_ns=0, keeper=ProcessName(), moved_to=""
        )
        return start_locked(host, record, before_program)


def start_locked(
    host: Host, record: ContainerRecord, before_program: Callable[[], None] | None = None
) -> ContainerRecord:
    """Start a container that is idle, or `migrating`; the caller holds its lock.

    Raises: LimosaError, or what `before_program` raises; `record` holds again then.
    """
    container_id = record.container_id
    host.storage.prepare()
    with ExitStack() as undo:
        undo.callback(host.containers.save, record)
        if record.phase != "migrating":
            host.containers.save(record._replace(phase="starting"))
        register_undoing(host, record, undo)
        undo.callback(host.runtime.delete, container_id)
        undo.callback(host.cgroups.kill, container_id)
        host.runtime.begin(container_id, record.config)
        rootfs = acquire(host, record, lambda: host.runtime.join(container_id, host.cgroups.procs_files(container_id)))
        system.personalize(host, record, bundle.hostname(record))
        plan = bundle.plan(host, record, rootfs)
        started = host.runtime.create(plan, lambda: _look_ahead(host, record, attended=before_program is not None))
        if networked(record.config):
            host.networks.connect(container_id, started.init_pid)
        system.furnish(host, record, started)
        hooks.before_start(host, record, started.init_pid)
        if before_program is not None:
            before_program()
        host.runtime.start(container_id)
        record = running(host, record, started)
        undo.pop_all()
    return hooks.notify(host, record, "poststart")


def _look_ahead(host: Host, record: ContainerRecord, *, attended: bool) -> None:
    """Do what can be done while the runtime is at work; `attended`: somebody will connect to the streams."""
    if networked(record.config):
        host.networks.prepare(record.container_id)
    if attended:
        host.runtime.expect_connection()


def register_undoing(host: Host, record: ContainerRecord, undo: ExitStack) -> None:
    """Put on `undo` what takes back `acquire` and a connection to the network, however far they came."""
    container_id = record.container_id
    undo.callback(host.cgroups.destroy, container_id)
    undo.callback(host.rootfs.unmount, container_id)
    if networked(record.config):
        undo.callback(host.networks.disconnect, container_id)


def acquired(host: Host, record: ContainerRecord, undo: ExitStack, device_number: int = 0) -> str:
    """Do what `acquire` does, with its undoing on `undo`."""
    register_undoing(host, record, undo)
    return acquire(host, record, device_number=device_number)


def acquire(
    host: Host, record: ContainerRecord, grouped: Callable[[], None] | None = None, device_number: int = 0
) -> str:
    """Make cgroups and mount the rootfs (on `device_number`, see `Rootfs.mount`); `grouped` is called between them."""
    container_id = record.container_id
    host.cgroups.create(container_id, record.config.limits, record.first_host_id)
    if grouped is not None:
        grouped()
    layers = host.oci_images.layer_directories(record.layers)
    writable = host.storage.locate(container_id)
    rootfs = host.rootfs.mount(
        *(container_id, layers, writable, record.first_host_id, device_number),
        awaited=device_number == record.device_number,  # it may have been this container's own, until a moment ago
    )
    mounts.attach(host, record)
    return rootfs


def running(host: Host, record: ContainerRecord, started: Started, *, phase: Phase = "running") -> ContainerRecord:
    """Record that a container runs, or `phase`: "paused" before its processes have run at all; return the record."""
    by_itself = record.restarts > 0 or (record.exit is not None and record.exit.reboot)
    record = with_processes(record, started)._replace(
        phase=phase,
        device_number=host.rootfs.device_number(record.container_id),
        held=phase == "paused",
        warm_of=record.warm_of if phase == "paused" else "",
        started_ns=host.now_ns(),
        boot_id=host.boot_id(),
        keeper=ProcessName(),
        restart_at_ns=0,
        exit=record.exit if by_itself else None,  # `wait` may still have to tell how the last life ended
        stopped_by_user=False,
        hook_failure="",
    )
    host.containers.save(record)
    return record


def with_processes(record: ContainerRecord, started: Started) -> ContainerRecord:
    """Return a record that names a first process and its monitor."""
    return record._replace(
        init_pid=started.init_pid, init_start_ticks=started.init_start_ticks, monitor_pid=started.monitor_pid
    )


def require_running(record: ContainerRecord, verb: str) -> None:
    """Raise LimosaError LIM-CONT-002 unless the container runs."""
    if record.phase != "running":
        name = record.config.name
        raise LimosaError(
            "LIM-CONT-002",
            f'cannot {verb} "{name}": it {"is paused" if record.phase == "paused" else "does not run"}',
            state=f'"{name}" is {record.phase}; nothing changed',
            hint=f"limosa unpause {name}" if record.phase == "paused" else f"limosa start {name}",
        )


def stop(host: Host, container_id: ContainerId, timeout_s: float | None = None) -> ContainerRecord:
    """Ask the program to end, and kill it when `timeout_s` (its own setting by default) has gone by."""
    with host.containers.locked(container_id):
        return _stop_locked(host, ending.loaded(host, container_id), timeout_s)


def _stop_locked(host: Host, record: ContainerRecord, timeout_s: float | None) -> ContainerRecord:
    if record.phase not in ("running", "paused", "restarting"):
        return record
    record = record._replace(stopped_by_user=True, warm_of="")
    if record.phase == "restarting":
        if record.keeper.pid:
            host.keepers.end(record.keeper)
        record = record._replace(phase="stopped", keeper=ProcessName(), restart_at_ns=0)
        host.containers.save(record)
        return record
    host.containers.save(record)
    record, status = end_program(host, record, timeout_s)
    return ending.settle(host, record, status)


def end_program(
    host: Host, record: ContainerRecord, timeout_s: float | None = None
) -> tuple[ContainerRecord, int | None]:
    """Ask a program that runs to end, kill it when its time has gone by, and return its status, if it can be had.

    Its prestop hooks are executed first. The caller holds the lock; what the container holds is still there.
    """
    container_id = record.container_id
    record = hooks.notify(host, record, "prestop")
    status = None
    try:
        if record.phase == "paused":
            host.cgroups.thaw(container_id)  # nobody can obey who is frozen
        _ask_to_end(host, record)
        seconds = stop_timeout_s(record.config) if timeout_s is None else timeout_s
        status = host.runtime.wait(container_id, process_of(record), seconds)
        if status is None:
            host.runtime.signal(container_id, _SIGKILL)
    except ProcessLookupError:
        pass
    if status is None:
        status = host.runtime.wait(container_id, process_of(record), _KILL_SECONDS)
    return record, status


def stop_timeout_s(config: ContainerConfig) -> float:
    """Return how long a container may take to end before it is killed: what was asked for, or what its kind needs."""
    if config.stop_timeout_s is not None:
        return config.stop_timeout_s
    return 60 if config.kind == "system" else 10


def _ask_to_end(host: Host, record: ContainerRecord) -> None:
    """Send the signal that was asked for, or what the container's init takes for "power off".

    Raises: ProcessLookupError: the first process has ended.
    """
    container_id, wanted = record.container_id, record.config.stop_signal
    command: tuple[str, ...] = ()
    if not wanted and record.config.kind == "system":
        found = system.init_of(host, record)
        wanted, command = found.poweroff_signal, found.poweroff_command
    if command:
        request = ExecRequest(command, env=(("PATH", bundle.PATH),), cwd="/")
        with suppress(LimosaError):  # it cannot be told, then; the kill comes in its time
            host.runtime.execute(container_id, request, host.cgroups.exec_procs_files(container_id))
    else:
        host.runtime.signal(container_id, number_of(wanted or "SIGTERM"))


def restart(host: Host, container_id: ContainerId, timeout_s: float | None = None) -> ContainerRecord:
    """Stop a container that runs, and start it.

    Raises: LimosaError: it cannot be started; it is stopped then.
    """
    with host.containers.locked(container_id):
        record = ending.loaded(host, container_id)
        ending.refuse_moved(record)
        record = _stop_locked(host, record, timeout_s)
        return start_locked(host, record._replace(restarts=0, restart_delay_ns=0, stopped_by_user=False))


def signal(host: Host, container_id: ContainerId, signal_name: str) -> None:
    """Signal the first process. Raises: LimosaError LIM-CONT-002.

    The signals that end it for certain count as the user's wish that it be stopped. A paused container gets its signal
    when it goes on; SIGKILL makes it go on, and is over when the container has ended, as in docker.
    """
    record = host.containers.load(container_id)
    _require_live(record)
    number = number_of(signal_name)
    if number in (_SIGKILL, number_of(record.config.stop_signal or "SIGTERM")) and not record.stopped_by_user:
        with host.containers.locked(container_id):
            record = ending.loaded(host, container_id)
            _require_live(record)
            host.containers.save(record._replace(stopped_by_user=True))
    try:
        host.runtime.signal(container_id, number)
    except ProcessLookupError:
        return
    if number != _SIGKILL:
        return
    if record.phase == "paused":
        host.cgroups.thaw(container_id)
    if host.runtime.wait(container_id, process_of(record), _KILL_SECONDS) is not None:
        try:
            ending.on_exit(host, container_id)
        except LimosaError as error:
            ending.unless_gone(error)


def _require_live(record: ContainerRecord) -> None:
    if record.phase != "paused":
        require_running(record, "signal")


def wait(host: Host, container_id: ContainerId) -> int:
    """Wait until the container's program has ended and return its status.

    A container that is removed as soon as it has ended is kept until this has read its status.
    """
    with host.containers.watched(container_id):
        record = host.containers.load(container_id)
        seen = record
        while record.phase in ending.LIVE and record.started_ns == seen.started_ns:
            host.runtime.wait(container_id, process_of(record), None)
            record = ending.on_exit(host, container_id)
    return record.exit.status if record.exit else 0


def remove(host: Host, container_id: ContainerId, *, force: bool = False, with_volumes: bool = False) -> None:
    """Remove a container with its files, and its anonymous volumes `with_volumes`; its commits stay.

    Raises: LimosaError LIM-CONT-003: it runs, without `force`.
    """
    with host.containers.locked(container_id):
        record = ending.in_order(host, host.containers.load(container_id))
        if record is None:
            return
        ending.refuse_migrating(record)
        if record.phase in ("running", "paused", "restarting") and not force:
            name = record.config.name
            runs = "runs" if record.phase == "running" else f"is {record.phase}"
            raise LimosaError(
                "LIM-CONT-003",
                f'cannot remove "{name}": it {runs}',
                state=f'"{name}" is {record.phase}; nothing changed',
                hint=f"limosa stop {name} first, or rm --force",
            )
        ending.erase(host, record._replace(volumes_go=with_volumes))
    if not record.config.remove_when_stopped:  # whoever uses --rm is likely to run the next one soon
        host.own_view.close(lambda: bool(host.containers.all()))
