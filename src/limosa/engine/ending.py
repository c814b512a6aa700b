"""What happens when things end: a program, a command at work, the machine.

A record's phase is written before anything is acquired, and every acquired thing has a name that follows from the
container's id. Whoever holds a container's lock and finds a phase of a command at work knows that this command is
dead, and takes back or finishes what it began.
"""

from limosa.engine import hooks, volumes
from limosa.engine.host import Host
from limosa.model import restart
from limosa.model.container import ContainerConfig, ContainerRecord, ExitState, ProcessName
from limosa.model.errors import LimosaError
from limosa.model.hints import Final
from limosa.model.ids import ContainerId
from limosa.ports.runtime import Started

KILLED: Final = 137
LIVE: Final = ("running", "paused")


def networked(config: ContainerConfig) -> bool:
    """Say whether the container is on a network of limosa."""
    return config.network.own


def process_of(record: ContainerRecord) -> Started:
    """Return the first process of a record that has one."""
    return Started(record.init_pid, record.init_start_ticks, record.monitor_pid)


def this_boot(host: Host, record: ContainerRecord) -> bool:
    """Say whether a record's processes were started since the machine's last boot."""
    return record.boot_id in ("", host.boot_id())


def loaded(host: Host, container_id: ContainerId) -> ContainerRecord:
    """Return a container's record, in order (see `in_order`); the caller holds its lock.

    Raises: LimosaError LIM-NAME-003: there is no such container, or not any more; LIM-MIG-001: it is being moved.
    """
    record = in_order(host, host.containers.load(container_id)) or host.containers.load(container_id)
    refuse_migrating(record)
    return record


def refuse_migrating(record: ContainerRecord) -> None:
    """Raise LimosaError LIM-MIG-001 if a container is being moved to or from another host."""
    if record.phase == "migrating":
        name = record.config.name
        raise LimosaError(
            "LIM-MIG-001",
            f'"{name}" is being moved between two hosts',
            state=f'"{name}" is migrating; nothing changed',
            cause="only its migration says who may run it",
            hint="limosa migrations shows it; if its command is dead, limosa recover finishes or undoes it",
        )


def refuse_moved(record: ContainerRecord, although_moved: bool = False) -> None:
    """Raise LimosaError LIM-MIG-005 if a container has moved to another host, unless that is to be passed over."""
    if record.moved_to and not although_moved:
        name = record.config.name
        raise LimosaError(
            "LIM-MIG-005",
            f'"{name}" has moved to {record.moved_to}',
            state=f'what was kept of "{name}" here does not run; nothing changed',
            cause="there it has the same identity, addresses and connections: one identity is alive at most once",
            hint=f"limosa fork makes a copy; if it is surely gone there: limosa restore --although-moved {name}, "
            f"or start --although-moved for its files alone",
        )


def in_order(host: Host, record: ContainerRecord) -> ContainerRecord | None:
    """Finish or take back what dead commands left of a container, and note a program that has ended unseen.

    Returns: the record as it is then; None: it is gone, since it was half made or half removed, or made ahead and has
    ended.
    """
    if record.phase in LIVE:
        there = this_boot(host, record)
        status = host.runtime.wait(record.container_id, process_of(record), 0) if there else KILLED
        if status is not None and record.warm_of:  # nobody has it yet
            erase(host, record, status)
            return None
        if status is not None:
            return settle(host, record, status)
        if record.phase == "paused" and not host.cgroups.frozen(record.container_id):  # `pause` or `unpause` was killed
            host.cgroups.thaw(record.container_id)
            record = record._replace(phase="running", held=False, warm_of="")
            host.containers.save(record)
        return record
    if record.phase in ("creating", "removing"):
        erase(host, record)
        return None
    if record.phase in ("starting", "stopping"):
        release(host, record)
        record = idle(record)
        again = record.restart_at_ns > 0 and this_boot(host, record)
        record = record._replace(phase="restarting" if again else "stopped" if record.started_ns else "created")
        host.containers.save(record)
    elif record.phase == "restarting" and not this_boot(host, record):
        record = idle(record)._replace(phase="stopped", restart_at_ns=0)
        host.containers.save(record)
    return record


def idle(record: ContainerRecord) -> ContainerRecord:
    """Return a record without what names processes."""
    return record._replace(init_pid=0, init_start_ticks=0, monitor_pid=0, keeper=ProcessName())


def settle(host: Host, record: ContainerRecord, status: int | None) -> ContainerRecord:
    """Release everything of a container whose first process has ended, and decide whether it is started again.

    The caller holds its lock. Whoever gets a record in phase `restarting` sees to it that it has a keeper.
    """
    survived = this_boot(host, record)
    oom_killed = survived and host.cgroups.usage(record.container_id).oom_kills > 0
    _release_all_but_runtime(host, record)
    code = KILLED if status is None else status
    now_ns = host.now_ns()
    rebooted = survived and restart.rebooted(record.config, code)
    ending = ExitState(0 if rebooted or restart.halted(record.config, code) else code, now_ns, oom_killed, rebooted)
    again = survived and restart.wanted(record, code)
    record = idle(record)._replace(exit=ending, phase="stopped", restart_at_ns=0)
    if again:
        pause_ns = restart.delay_ns(record.restart_delay_ns, now_ns - record.started_ns)
        record = record._replace(
            phase="restarting",
            restarts=record.restarts + (0 if rebooted else 1),
            restart_delay_ns=pause_ns,
            restart_at_ns=now_ns + pause_ns,
        )
    host.containers.save(record)
    host.runtime.delete(record.container_id)  # the exit status is nowhere else until the record has it
    return hooks.notify(host, record, "poststop")


def release(host: Host, record: ContainerRecord) -> None:
    """Take processes, network, mounts, cgroups and the runtime's state away; files and reservations stay."""
    _release_all_but_runtime(host, record)
    host.runtime.delete(record.container_id)


def _release_all_but_runtime(host: Host, record: ContainerRecord, *, forget: bool = False) -> None:
    container_id = record.container_id
    host.cgroups.kill(container_id)
    if networked(record.config):
        # Forgetting disconnects too; both, one after the other, would be the dearest part of a removal.
        host.networks.forget(container_id) if forget else host.networks.disconnect(container_id)
    host.rootfs.unmount(container_id)
    host.cgroups.end(container_id)  # an exec may have come in since
    host.storage.release(container_id)


def erase(host: Host, record: ContainerRecord, status: int = KILLED) -> None:
    """Remove a container with its files, whatever there is of it; the caller holds its lock.

    `status` is how its program ends, if it has not ended yet.
    """
    container_id = record.container_id
    if record.phase in LIVE:
        oom_killed = status == KILLED and host.cgroups.usage(container_id).oom_kills > 0
        record = record._replace(exit=ExitState(status, host.now_ns(), oom_killed))
    if record.phase not in ("creating", "removing"):
        host.containers.save(record._replace(phase="removing"))
    if record.keeper.pid:
        host.keepers.end(record.keeper)
    _release_all_but_runtime(host, record, forget=True)
    host.runtime.delete(container_id)
    if record.schedule is not None:
        host.timers.remove(container_id)
    host.identities.remove(container_id)
    destroy_files(host, container_id)
    if record.volumes_go or record.config.remove_when_stopped or record.phase == "creating":
        volumes.remove_anonymous(host, record)
    host.containers.remove(container_id)


def end_and_erase(host: Host, container_id: ContainerId) -> int:
    """Wait for the end of a running container that goes with its program, remove it, and return its status.

    It is the same as settling and removing it, without the stop in between that nobody would see.
    Raises: LimosaError LIM-NAME-003: it is gone already.
    """
    seen = host.containers.load(container_id)
    status = host.runtime.wait(container_id, process_of(seen), None) if seen.phase in LIVE else None
    with host.containers.locked(container_id):
        record = host.containers.load(container_id)
        if record.phase in LIVE and record.started_ns != seen.started_ns:
            return KILLED if status is None else status  # somebody started it anew: its monitor removes it then
        if record.exit is not None:
            status = record.exit.status
        erase(host, record, KILLED if status is None else status)
    return KILLED if status is None else status


def on_exit(host: Host, container_id: ContainerId) -> ContainerRecord:
    """Take back what a container held whose program has ended; nothing happens if that was done or it runs.

    Raises: LimosaError LIM-NAME-003: it is gone.
    """
    with host.containers.locked(container_id):
        record = loaded(host, container_id)
    see_to_keeper(host, record)
    return record


def see_to_keeper(host: Host, record: ContainerRecord) -> None:
    """Start a keeper for a container that waits for its next start and has none. No lock is needed.

    The monitor starts one too; whichever comes second finds the first and ends.
    """
    if record.phase == "restarting" and not host.keepers.alive(record.keeper):
        host.keepers.begin(record.container_id)


def unless_gone(error: LimosaError) -> None:
    """Raise `error` again unless it says that there is no such container (any more)."""
    if error.code != "LIM-NAME-003":
        raise error


def destroy_files(host: Host, container_id: ContainerId) -> None:
    """Remove a container's files, and the snapshots of its commits with those of their volumes; the store has all."""
    for label in host.storage.snapshots(container_id):
        host.volumes.drop_snapshots(label)
    host.storage.destroy(container_id)
