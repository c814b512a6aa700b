"""Starting containers again that nobody starts by hand: after an end, a reboot from inside, the machine's own boot."""

from collections.abc import Callable

from limosa.engine import ending, lifecycle, recover
from limosa.engine.host import Host
from limosa.model import restart
from limosa.model.container import ContainerRecord, ProcessName
from limosa.model.errors import LimosaError
from limosa.model.ids import ContainerId
from limosa.model.value import NamedTuple


def attend(host: Host, container_id: ContainerId, pause_until: Callable[[int], None]) -> None:
    """Be what a container needs when its program has ended: its keeper, or who removes it, or nothing.

    The keeper waits by `pause_until(now_ns)`, holding no lock, and starts it; where that fails, it waits longer and
    tries again, as the policy wants. It ends when somebody else has stopped, started or removed the container.
    """
    try:
        record = _taken_over(host, container_id)
        while record is not None and record.phase == "restarting":
            pause_until(record.restart_at_ns)
            record = _next_life(host, container_id)
        if record is not None and record.config.remove_when_stopped:
            _remove_by_itself(host, record)
    except LimosaError as gone:
        ending.unless_gone(gone)


def _taken_over(host: Host, container_id: ContainerId) -> ContainerRecord | None:
    """Release what an ended program held; return the record if this process is to go on with it."""
    with host.containers.locked(container_id):
        if host.containers.load(container_id).phase == "migrating":
            return None
        record = ending.loaded(host, container_id)
        if record.phase == "stopped":
            return record
        if record.phase != "restarting" or host.keepers.alive(record.keeper):
            return None
        record = record._replace(keeper=host.keepers.this_process())
        host.containers.save(record)
        return record


def _next_life(host: Host, container_id: ContainerId) -> ContainerRecord | None:
    """Start a container that waits for this process to do so; return the record if that failed, else None."""
    with host.containers.locked(container_id):
        record = host.containers.load(container_id)
        if record.phase != "restarting" or record.keeper != host.keepers.this_process():
            return None
        try:
            lifecycle.start_locked(host, record)
        except LimosaError:
            return _after_failure(host, record)
        return None


def _after_failure(host: Host, record: ContainerRecord) -> ContainerRecord:
    policy, now_ns = record.config.restart, host.now_ns()
    pause_ns = restart.delay_ns(record.restart_delay_ns, 0)
    record = record._replace(restarts=record.restarts + 1, restart_delay_ns=pause_ns, restart_at_ns=now_ns + pause_ns)
    spent = policy.when == "on-failure" and policy.max_retries is not None and record.restarts > policy.max_retries
    if policy.when == "no" or spent:  # "no": it was a reboot from inside
        record = record._replace(phase="stopped", restart_at_ns=0, keeper=ProcessName())
    host.containers.save(record)
    return record


def _remove_by_itself(host: Host, record: ContainerRecord) -> None:
    """Remove a container that was run with `--rm`."""
    container_id = record.container_id
    host.containers.unwatched(container_id)
    lifecycle.remove(host, container_id)


class Booted(NamedTuple):
    """What `onboot` did: names started, and what was refused."""

    started: tuple[str, ...]
    failures: tuple[tuple[str, LimosaError], ...]


def onboot(host: Host) -> Booted:
    """Bring the host in order after the machine's boot and start what is to run, oldest first.

    One that cannot be started keeps no other from it.
    """
    recover.recover(host)
    started, failures = [], []
    for record in host.containers.all():
        if record.phase in ending.LIVE or not restart.wanted_at_boot(record):
            continue
        try:
            lifecycle.start(host, record.container_id)
            started.append(record.config.name)
        except LimosaError as failed:
            failures.append((record.config.name, failed))
    return Booted(tuple(started), tuple(failures))
