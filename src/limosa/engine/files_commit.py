"""Commits that hold a container's files and volumes and none of its processes: what moves where they cannot."""

from contextlib import ExitStack

from limosa.engine import commits, volume_commits
from limosa.engine.host import Host
from limosa.model.commit import CommitRecord
from limosa.model.container import ContainerRecord


def take(host: Host, record: ContainerRecord, message: str) -> CommitRecord:
    """Commit the files of a container, whose lock the caller holds, and return what was stored.

    If none of its processes runs, all is of one instant; else its root file system is of one, and each volume of one.
    Raises: LimosaError LIM-STOR-002, LIM-CSTORE-006: no room. Nothing is left of the attempt.
    """
    container_id, label = record.container_id, host.new_id()
    volumes = volume_commits.of(host, record.config)
    volume_commits.write_back(host, record, volumes)
    with ExitStack() as undo, commits.built_upon(host, container_id) as base:
        undo.callback(host.storage.drop_snapshot, container_id, label)
        undo.callback(host.volumes.drop_snapshots, label)
        host.storage.take_snapshot(container_id, label)
        for volume in volumes:
            if volume.policy == "include":
                host.volumes.take_snapshot(volume.name, label)
        made = CommitRecord(
            container=record,
            streams=("", "", ""),
            snapshot=label,
            message=message,
            volumes=volumes,
            files_only=True,
            created_ns=host.now_ns(),
        )
        with host.store.writing() as writer:
            made, _ = commits.keep(host, writer, made, "", base)
        undo.pop_all()
    return made
