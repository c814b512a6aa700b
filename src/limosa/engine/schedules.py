"""Commits at times: who is committed how often, and which of these commits are kept.

The record says it first and the machine's timer follows, so `recover` brings the two together after a crash.
"""

from collections.abc import Callable

from limosa.engine import checkpoint, commits, ending
from limosa.engine.host import Host
from limosa.model import retention
from limosa.model.commit import CommitRecord
from limosa.model.container import ContainerRecord, Schedule
from limosa.model.errors import LimosaError
from limosa.model.ids import ContainerId
from limosa.model.retention import Dated, Keep, Moment
from limosa.model.value import NamedTuple

Calendar = Callable[[int], Moment]
_LOG_KEPT_NS = 30 * 86_400 * 10**9  # as `gc` without options
_STORE_BUSY = "LIM-CSTORE-009"
_SESSION = "LIM-CRIU-020"
_PATIENCE_SECONDS = 5


class Retained(NamedTuple):
    """A commit and why it is kept; without a reason it is forgotten."""

    commit: CommitRecord
    why: tuple[str, ...]


def begin(host: Host, container_id: ContainerId, every_s: int, keep: Keep) -> None:
    """Commit a container every `every_s` seconds while it runs, and forget what `keep` does not keep of these commits.

    Raises: LimosaError LIM-TIMER-001: this machine has no timers; LIM-TIMER-002: it was refused. It is as before then.
    """
    host.timers.require()
    with host.containers.locked(container_id):
        record = ending.loaded(host, container_id)
        host.containers.save(record._replace(schedule=Schedule(every_s, str(keep))))
        try:
            host.timers.install(container_id, every_s, _arguments(container_id, str(keep)))
        except LimosaError:
            host.containers.save(record._replace(schedule=None))
            raise


def end(host: Host, container_id: ContainerId) -> None:
    """Commit a container no more at times; its commits stay. Nothing happens if it was not."""
    with host.containers.locked(container_id):
        record = ending.loaded(host, container_id)
        if record.schedule is not None:
            host.containers.save(record._replace(schedule=None))
        host.timers.remove(container_id)


def _arguments(container_id: ContainerId, keep: str) -> tuple[str, ...]:
    return ("checkpoint", "--if-running", "--keep", keep, container_id)


def commit_and_forget(
    host: Host,
    container_id: ContainerId,
    wanted: checkpoint.Wanted,
    keep: Keep,
    calendar: Calendar,
    sleep: Callable[[float], None],
) -> CommitRecord:
    """Commit a container as a timer does, and forget what `keep` does not keep of the commits that were made so.

    An exec session that ends within a few seconds, as a health check does, is waited for.
    Raises: as `checkpoint.checkpoint`; nothing is forgotten then.
    """
    wanted = wanted._replace(scheduled=True)
    for _ in range(_PATIENCE_SECONDS):
        try:
            made = checkpoint.checkpoint(host, container_id, wanted)
            break
        except LimosaError as refused:
            if refused.code != _SESSION:
                raise
            sleep(1)
    else:
        made = checkpoint.checkpoint(host, container_id, wanted)
    thin_out(host, container_id, keep, calendar, scheduled_only=True)
    return made


def retained(
    host: Host, container_id: ContainerId, keep: Keep, calendar: Calendar, *, scheduled_only: bool = False
) -> list[Retained]:
    """Return what `keep` would keep of the commits that a container made, and what not, latest first.

    What a tag names stays, and the commits at which a container stands, or from which a removed one would come back.
    """
    tags = commits.tags(host)
    standing = {commit_id.hex() for ref, commit_id in host.store.refs().items() if ref.startswith("containers/")}
    own = [
        commit
        for commit in commits.every(host)
        if commit.container.container_id == container_id and (commit.scheduled or not scheduled_only)
    ]

    def wanted(commit: CommitRecord) -> str:
        if commit.commit_id in tags:
            return f"tagged {tags[commit.commit_id][0]}"
        return "a container's latest" if commit.commit_id in standing else ""

    dated = [Dated(commit.commit_id, commit.created_ns, wanted(commit)) for commit in own]
    known = {str(commit.commit_id): commit for commit in own}
    return [Retained(known[name], why) for name, why in retention.reasons(dated, keep, calendar).items()]


def thin_out(
    host: Host, container_id: ContainerId, keep: Keep, calendar: Calendar, *, scheduled_only: bool = False
) -> list[Retained]:
    """Forget what `retained` gives no reason for, free the room, and return it with what stays.

    Room that cannot be freed now, since other commands write, is freed the next time.
    """
    found = retained(host, container_id, keep, calendar, scheduled_only=scheduled_only)
    gone = [one for one in found if not one.why]
    for one in gone:
        commits.forget(host, one.commit)
    if gone:
        try:
            host.store.collect(log_before_ns=host.now_ns() - _LOG_KEPT_NS)
        except LimosaError as busy:
            if busy.code != _STORE_BUSY:
                raise
    return found


def scheduled(host: Host) -> list[tuple[ContainerRecord, Schedule, CommitRecord | None]]:
    """Return the containers that are committed at times, each with the latest commit that was made so."""
    made = {commit.container.container_id: commit for commit in commits.every(host) if commit.scheduled}
    return [
        (record, record.schedule, made.get(record.container_id))
        for record in host.containers.all()
        if record.schedule is not None
    ]


def recover(host: Host) -> list[str]:
    """Bring records and timers together and return a line for each that was not."""
    lines = []
    present = set(host.timers.present())
    for record in host.containers.all():
        name, container_id, schedule = record.config.name, record.container_id, record.schedule
        if schedule is None and container_id in present:
            host.timers.remove(container_id)
            lines.append(f'removed a timer of "{name}", which is not committed at times')
        if schedule is not None and container_id not in present:
            refused = renew(host, record)
            lines.append(refused or f'made the timer of "{name}" anew')
    return lines


def renew(host: Host, record: ContainerRecord) -> str:
    """Make the timer that a record asks for, as after a move to this host; return why there is none, or ""."""
    schedule, container_id = record.schedule, record.container_id
    if schedule is None:
        return ""
    try:
        host.timers.install(container_id, schedule.every_s, _arguments(container_id, schedule.keep))
    except LimosaError as refused:
        return f'"{record.config.name}" is not committed at times any more: {refused.summary}'
    return ""
