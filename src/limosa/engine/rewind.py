"""A container goes back to an earlier commit, in place; what it was is kept first, whether it runs or not."""

from limosa.engine import checkpoint, commits, ending, files_commit, journal, pausing, restore, volume_commits
from limosa.engine.host import Host
from limosa.model.commit import CommitRecord
from limosa.model.commit_store import ObjectId, container_ref
from limosa.model.container import ContainerRecord, Phase
from limosa.model.errors import LimosaError
from limosa.model.ids import ContainerId
from limosa.model.value import NamedTuple
from limosa.ports.page_servers import Laziness


class _Before(NamedTuple):
    """What a container was, to make it that again if the rewind fails."""

    record: ContainerRecord
    kept: CommitRecord
    head: ObjectId | None  # its latest commit before `kept`


def rewind(
    host: Host, container_id: ContainerId, commit: CommitRecord, *, discard: bool = False, laziness: Laziness = "off"
) -> CommitRecord | None:
    """Take a container back to an earlier commit of its own, in place; return the commit of what was thrown away.

    It runs afterwards. `laziness` says whether all its memory is there when this returns. What is thrown away is kept
    as a commit first, unless `discard`: of one that does not run its files alone; a paused one goes on for the moment
    that criu needs.
    Raises: LimosaError LIM-CONT-031: the commit is another container's; LIM-CRIU-…: it cannot be restored, or what is
    thrown away cannot be kept. If that was kept, the container is what it was: it runs, is paused, or is stopped.
    """
    before: _Before | None = None
    with restore.brought(host, commit, laziness) as images, host.containers.locked(container_id):
        record = ending.loaded(host, container_id)
        ending.refuse_moved(record)
        if commit.container.container_id != container_id:
            raise LimosaError(
                "LIM-CONT-031",
                f'cannot rewind "{record.config.name}" to {commit.commit_id[:12]}',
                state=f'"{record.config.name}" is {record.phase}; nothing changed',
                cause=f'that is a commit of "{commit.container.config.name}"',
                hint="a container goes back to commits that it made itself; "
                f"limosa fork {commit.commit_id[:12]} makes a new copy of this one",
            )
        volume_commits.require_there(host, commit)
        if not discard:
            before = _kept(host, record, f"before the rewind to {commit.commit_id[:12]}")
            record = host.containers.load(container_id)
        host.keepers.end(record.keeper)  # it would start it once more
        stopped = ending.idle(record)._replace(phase="stopped")
        try:
            restore.in_place(host, stopped, commit, images, keep_connections=False)
        except BaseException:
            if before is not None:
                _go_back(host, before)
            raise
    restore.move_head(host, commit, "rewind")
    journal.note(host, "rewind", record, commit.commit_id)
    return None if before is None else before.kept


def _kept(host: Host, record: ContainerRecord, message: str) -> _Before:
    """Commit what there is of a container and end its processes, if it has some. Raises: as `checkpoint`."""
    head = commits.head(host, record.container_id)
    if record.phase not in ending.LIVE:
        return _Before(record, files_commit.take(host, record, message), head)
    running = pausing.let_go(host, record) if record.phase == "paused" else record
    try:
        return _Before(record, checkpoint.of_locked(host, running, checkpoint.Wanted(message, stop=True)), head)
    except BaseException:
        now = host.containers.load(record.container_id)
        if running is not record and now.phase == "running":
            pausing.stand_still(host, now)
        raise


def _go_back(host: Host, before: _Before) -> None:
    """Make a container what it was, from what was kept of it."""
    was, kept = before.record, before.kept
    record = ending.idle(host.containers.load(was.container_id))._replace(phase="stopped")
    if kept.files_only:
        restore.files_in_place(host, record, kept)
        host.containers.save(ending.idle(was)._replace(phase="stopped", restart_at_ns=0))
        # Its next commit, and `restore NAME`, are to have processes as before.
        host.store.set_ref(
            container_ref(was.container_id),
            before.head,
            when_ns=host.now_ns(),
            why="rewind undone",
            expected=commits.identifier(kept),
        )
        return
    phase: Phase = "paused" if was.phase == "paused" else "running"
    with restore.brought(host, kept) as images:
        restore.in_place(host, record, kept, images, keep_connections=True, phase=phase)
