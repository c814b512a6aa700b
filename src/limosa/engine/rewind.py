"""A running container goes back to an earlier commit, in place."""

from limosa.engine import checkpoint, ending, journal, restore, volume_commits
from limosa.engine.host import Host
from limosa.model.commit import CommitRecord
from limosa.model.errors import LimosaError
from limosa.model.ids import ContainerId
from limosa.ports.page_servers import Laziness


def rewind(
    host: Host, container_id: ContainerId, commit: CommitRecord, *, discard: bool = False, laziness: Laziness = "off"
) -> CommitRecord | None:
    """Take a container back to an earlier commit of its own, in place; return the commit of what was thrown away.

    `laziness` says whether all its memory is there when this returns. What is thrown away is kept as a commit first, if
    the container runs and unless `discard`.
    Raises: LimosaError LIM-CONT-031: the commit is another container's; LIM-CRIU-…: it cannot be restored, and the
    container goes on from where it was, if that was kept.
    """
    kept: CommitRecord | None = None
    with restore.brought(host, commit, laziness) as images, host.containers.locked(container_id):
        record = ending.loaded(host, container_id)
        ending.refuse_moved(record)
        if commit.container.container_id != container_id:
            raise LimosaError(
                "LIM-CONT-031",
                f'cannot rewind "{record.config.name}" to {commit.commit_id[:12]}',
                state=f'"{record.config.name}" is {record.phase}; nothing changed',
                cause=f'that is a commit of "{commit.container.config.name}"',
                hint=f"limosa log {record.config.name} lists its own; limosa fork makes copies of any",
            )
        volume_commits.require_there(host, commit)
        if record.phase == "running" and not discard:
            wanted = checkpoint.Wanted(f"before the rewind to {commit.commit_id[:12]}", stop=True)
            kept = checkpoint.of_locked(host, record, wanted)
            record = host.containers.load(container_id)
        stopped = ending.idle(record)._replace(phase="stopped")
        try:
            restore.in_place(host, stopped, commit, images, keep_connections=False)
        except BaseException:
            if kept is not None:
                with restore.brought(host, kept) as before:
                    stopped = ending.idle(host.containers.load(container_id))._replace(phase="stopped")
                    restore.in_place(host, stopped, kept, before, keep_connections=True)
            raise
    restore.move_head(host, commit, "rewind")
    journal.note(host, "rewind", record, commit.commit_id)
    return kept
