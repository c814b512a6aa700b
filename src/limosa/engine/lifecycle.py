"""Containers: create, start, stop, kill, remove, and what happens when the program ends.

A record's phase is written before anything is acquired and every acquired thing has a name that follows from the
container's id, so that whoever finds a transitional phase of a dead command can take everything back.
"""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Final

from limosa.engine import bundle, inspection, mounts, system
from limosa.engine.host import Host
from limosa.model import init
from limosa.model.container import ContainerConfig, ContainerRecord, ExitState
from limosa.model.errors import EXIT_RUN_FAILED, LimosaError
from limosa.model.ids import ContainerId
from limosa.model.oci import KIND_LABEL
from limosa.model.signals import number_of
from limosa.ports.runtime import ExecRequest, Started

_SIGKILL: Final = 9
_KILL_SECONDS: Final = 10.0


def create(host: Host, config: ContainerConfig, entrypoint: tuple[str, ...] | None = None) -> ContainerRecord:
    """Make a container that does not run yet; `entrypoint` (None: the image's own) comes before its arguments.

    Raises: LimosaError: the image is missing, the name or a port is in use, …; nothing is left of the attempt.
    """
    oci_image = host.oci_images.resolve(config.oci_image)
    if not config.args and not entrypoint and dict(oci_image.labels).get(KIND_LABEL) == "system":
        config = config._replace(kind="system")
    command = config.args
    if config.kind == "app":
        command = command or (oci_image.cmd if entrypoint is None else ())
        command = (*(oci_image.entrypoint if entrypoint is None else entrypoint), *command)
    if not command and config.kind == "app":
        raise LimosaError(
            "LIM-CONT-001",
            f"there is nothing to run in {config.oci_image}",
            cause="neither the image nor the command line names a command",
            hint=f"limosa run {config.oci_image} COMMAND",
            exit_status=EXIT_RUN_FAILED,
        )
    container_id = host.new_id()
    env = {**dict(oci_image.env), **dict(config.env)}
    config = config._replace(
        args=command,
        env=tuple(env.items()),
        labels=tuple({**dict(oci_image.labels), **dict(config.labels)}.items()),
        name=config.name or f"c-{container_id[:8]}",
        user=config.user or ("" if config.kind == "system" else oci_image.user),
        stop_signal=config.stop_signal or ("" if config.kind == "system" else oci_image.stop_signal),
        cwd=config.cwd if config.cwd not in ("", "/") else oci_image.cwd or "/",
    )
    host.storage.prepare()
    with ExitStack() as undo:
        undo.callback(host.containers.remove, container_id)
        record = ContainerRecord(container_id, config, "creating", host.now_ns(), 0, oci_image.layers)
        with mounts.declared(host, config):
            host.containers.add(record)
        if not config.security.privileged:
            in_use = frozenset(other.first_host_id for other in host.containers.all())
            record = record._replace(first_host_id=host.containers.take_id_range(container_id, in_use))
        undo.callback(host.storage.destroy, container_id)
        host.storage.create(container_id, config.limits.disk_bytes)
        if networked(config):
            undo.callback(host.networks.forget, container_id)
            addresses = host.networks.reserve(
                container_id, config.name, config.network, config.ports, bundle.hostname(record)
            )
            chosen = inspection.ports(host, record)
            record = record._replace(addresses=addresses, config=config._replace(ports=chosen))
        record = record._replace(phase="created")
        host.containers.save(record)
        undo.pop_all()
    return record


def networked(config: ContainerConfig) -> bool:
    """Say whether the container is on a network of limosa."""
    return config.network.network not in ("none", "host")


def start(host: Host, container_id: ContainerId, before_program: Callable[[], None] | None = None) -> ContainerRecord:
    """Start a container that does not run; `before_program` is called when all is there but the program's start.

    Raises: LimosaError; it is stopped, as before, then.
    """
    with host.containers.locked(container_id):
        record = host.containers.load(container_id)
        if record.phase == "running":
            return record
        host.storage.prepare()
        with ExitStack() as undo:
            before = record
            undo.callback(host.containers.save, before)
            host.containers.save(record._replace(phase="starting"))
            rootfs = acquire(host, record, undo)
            system.personalize(host, record)
            plan = bundle.plan(host, record, rootfs)
            undo.callback(host.runtime.delete, container_id)
            started = host.runtime.create(plan, host.cgroups.procs_files(container_id))
            undo.callback(host.cgroups.kill, container_id)
            if networked(record.config):
                host.networks.connect(container_id, started.init_pid)
            system.furnish(host, record, started)
            if before_program is not None:
                before_program()
            host.runtime.start(container_id)
            record = running(host, record, started)
            undo.pop_all()
        return record


def acquire(host: Host, record: ContainerRecord, undo: ExitStack) -> str:
    """Make cgroups and mount the rootfs, with their undoing on `undo`; return the rootfs."""
    container_id = record.container_id
    undo.callback(host.cgroups.destroy, container_id)
    host.cgroups.create(container_id, record.config.limits, record.first_host_id)
    layers = host.oci_images.layer_directories(record.layers)
    undo.callback(host.rootfs.unmount, container_id)
    if networked(record.config):
        undo.callback(host.networks.disconnect, container_id)
    rootfs = host.rootfs.mount(container_id, layers, host.storage.locate(container_id), record.first_host_id)
    mounts.attach(host, record)
    return rootfs


def running(host: Host, record: ContainerRecord, started: Started) -> ContainerRecord:
    """Record that a container runs, and return the record."""
    record = record._replace(
        phase="running",
        init_pid=started.init_pid,
        init_start_ticks=started.init_start_ticks,
        monitor_pid=started.monitor_pid,
        started_ns=host.now_ns(),
        exit=None,
        stopped_by_user=False,
    )
    host.containers.save(record)
    return record


def process_of(record: ContainerRecord) -> Started:
    """Return the first process of a record that has one."""
    return Started(record.init_pid, record.init_start_ticks, record.monitor_pid)


def require_running(record: ContainerRecord, verb: str) -> None:
    """Raise LimosaError LIM-CONT-002 unless the container runs."""
    if record.phase != "running":
        name = record.config.name
        raise LimosaError(
            "LIM-CONT-002",
            f'cannot {verb} "{name}": it does not run',
            state=f'"{name}" is {record.phase}; nothing changed',
            hint=f"limosa start {name}",
        )


def stop(host: Host, container_id: ContainerId, timeout_s: float | None = None) -> ContainerRecord:
    """Ask the program to end, and kill it when `timeout_s` (its own setting by default) has gone by."""
    with host.containers.locked(container_id):
        record = host.containers.load(container_id)
        if record.phase != "running":
            return record
        record = record._replace(stopped_by_user=True)
        host.containers.save(record)
        try:
            _ask_to_end(host, record)
            seconds = stop_timeout_s(record.config) if timeout_s is None else timeout_s
            status = host.runtime.wait(container_id, process_of(record), seconds)
            if status is None:
                host.runtime.signal(container_id, _SIGKILL)
                status = host.runtime.wait(container_id, process_of(record), _KILL_SECONDS)
        except ProcessLookupError:
            status = host.runtime.wait(container_id, process_of(record), _KILL_SECONDS)
        return settle(host, record, status)


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


def signal(host: Host, container_id: ContainerId, signal_name: str) -> None:
    """Signal the first process. Raises: LimosaError LIM-CONT-002."""
    record = host.containers.load(container_id)
    require_running(record, "signal")
    try:
        host.runtime.signal(container_id, number_of(signal_name))
    except ProcessLookupError:
        return


def wait(host: Host, container_id: ContainerId) -> int:
    """Wait until the container has ended and return its status."""
    record = host.containers.load(container_id)
    if record.phase == "running":
        host.runtime.wait(container_id, process_of(record), None)
        record = on_exit(host, container_id)
    return record.exit.status if record.exit else 0


def on_exit(host: Host, container_id: ContainerId) -> ContainerRecord:
    """Take back what a container held whose program has ended; nothing happens if that was done.

    This is what the monitor calls, so that no limosa command has to be running.
    """
    with host.containers.locked(container_id):
        record = host.containers.load(container_id)
        if record.phase != "running":
            return record
        status = host.runtime.wait(container_id, process_of(record), 0)
        if status is None:
            return record
        return settle(host, record, status)


def settle(host: Host, record: ContainerRecord, status: int | None) -> ContainerRecord:
    """Release everything of a container whose first process has ended; the caller holds its lock."""
    container_id = record.container_id
    oom_killed = host.cgroups.usage(container_id).oom_kills > 0
    release(host, record)
    code = 128 + _SIGKILL if status is None else status
    if record.config.kind == "system" and code == init.POWERED_OFF:
        code = 0  # that is how an init ends that was told to
    record = record._replace(
        phase="stopped", init_pid=0, init_start_ticks=0, exit=ExitState(code, host.now_ns(), oom_killed)
    )
    host.containers.save(record)
    return record


def release(host: Host, record: ContainerRecord) -> None:
    """Take processes, network, mounts, cgroups and the runtime's state away; files and reservations stay."""
    container_id = record.container_id
    host.cgroups.kill(container_id)
    if networked(record.config):
        host.networks.disconnect(container_id)
    host.rootfs.unmount(container_id)
    host.cgroups.destroy(container_id)
    host.runtime.delete(container_id)
    host.storage.release(container_id)


def remove(host: Host, container_id: ContainerId, *, force: bool = False) -> None:
    """Remove a container with its files and commits. Raises: LimosaError LIM-CONT-003: it runs, without `force`."""
    with host.containers.locked(container_id):
        record = host.containers.load(container_id)
        if record.phase == "running" and not force:
            raise LimosaError(
                "LIM-CONT-003",
                f'cannot remove "{record.config.name}": it runs',
                state=f'"{record.config.name}" is running; nothing changed',
                hint=f"limosa stop {record.config.name} first, or rm --force",
            )
        host.containers.save(record._replace(phase="removing"))
        release(host, record)
        for commit in host.commits.all():
            if commit.container.container_id == container_id:
                host.commits.remove(commit.commit_id)
        host.networks.forget(container_id)
        host.identities.remove(container_id)
        host.storage.destroy(container_id)
        host.containers.remove(container_id)
    if not record.config.remove_when_stopped:  # whoever uses --rm is likely to run the next one soon
        host.own_view.close(lambda: bool(host.containers.all()))
