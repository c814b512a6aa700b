"""Commits whose files are mounted, read-only, for whoever wants to look, compare or copy.

What is mounted is a copy of the snapshot in constant time, so the commit may be forgotten meanwhile. `umount(8)` works
as well as `unmount`: what it leaves in the pool is taken back by `recover` and by the next command that comes here.
"""

from contextlib import ExitStack

from limosa.engine import commits, restore
from limosa.engine.host import Host
from limosa.model.commit import CommitRecord
from limosa.model.errors import LimosaError
from limosa.ports.commit_mounts import CommitMount


def mount(host: Host, commit: CommitRecord, directory: str) -> CommitMount:
    """Mount the files of a commit with those of its image on `directory`, without volumes.

    Owners and groups are the container's own. Raises: LimosaError LIM-MOUNT-001: the directory cannot take it;
    LIM-IMG-002: the image is not here; LIM-CSTORE-001, -002: the commit is damaged. Nothing is left of the attempt.
    """
    source = commit.container
    restore.require_image(host, commit)
    host.storage.prepare()
    with host.store.reading(commits.identifier(commit)) as reader:
        restore.bring_files(host, commit, reader)
    made = CommitMount(host.new_id(), commit.commit_id, directory, source.layers, host.now_ns())
    with host.commit_mounts.locked(), ExitStack() as undo:
        _tidy(host)
        undo.callback(host.commit_mounts.remove, made.mount_id)
        host.commit_mounts.add(made)
        undo.callback(host.storage.destroy, made.mount_id)
        disk_bytes = source.config.limits.disk_bytes
        upper = host.storage.clone(source.container_id, commit.snapshot, made.mount_id, disk_bytes).upper
        host.commit_mounts.attach(made, (*host.oci_images.layer_directories(source.layers), upper))
        undo.pop_all()
    return made


def unmount(host: Host, directory: str) -> None:
    """Unmount what `mount` mounted on `directory`.

    Raises: LimosaError LIM-MOUNT-003: no commit is mounted there; LIM-MOUNT-002: it is in use; nothing changed.
    """
    host.storage.prepare()
    with host.commit_mounts.locked():
        found = [one for one in host.commit_mounts.all() if one.directory == directory]
        if not any(host.commit_mounts.attached(one) for one in found):
            raise LimosaError(
                "LIM-MOUNT-003", f"no commit is mounted on {directory}", hint="limosa mount lists what is mounted"
            )
        for one in found:
            host.commit_mounts.detach(one)
        _tidy(host)


def present(host: Host) -> list[CommitMount]:
    """Return what is mounted, oldest first."""
    return [one for one in host.commit_mounts.all() if host.commit_mounts.attached(one)]


def recover(host: Host) -> list[str]:
    """Take back what a dead command, umount(8) or the machine's end left of mounts; return a line for each."""
    with host.commit_mounts.locked():
        if host.commit_mounts.all():
            host.storage.prepare()
        return [f"removed what was left of a mount on {one.directory}" for one in _tidy(host)]


def _tidy(host: Host) -> list[CommitMount]:
    """Remove what belongs to no mount any more; the caller has the lock."""
    gone = [one for one in host.commit_mounts.all() if not host.commit_mounts.attached(one)]
    for one in gone:
        host.storage.destroy(one.mount_id)
        host.commit_mounts.remove(one.mount_id)
    return gone
