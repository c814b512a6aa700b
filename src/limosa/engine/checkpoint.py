"""Commits of running containers: memory, files and configuration at one instant.

The files are captured in CRIU's post-dump, while every process is still stopped: memory and files are of one moment.
Both are read and stored after the processes go on.
"""

from contextlib import ExitStack

from limosa.engine import bundle, commits, ending, journal, lifecycle
from limosa.engine.host import Host
from limosa.model.cgroup import CgroupNode
from limosa.model.commit import CommitRecord
from limosa.model.container import ContainerRecord
from limosa.model.errors import LimosaError
from limosa.model.ids import ContainerId
from limosa.ports.checkpointer import DumpMoment, DumpPlan
from limosa.ports.dumps import Dump


def checkpoint(host: Host, container_id: ContainerId, message: str = "", *, stop: bool = False) -> CommitRecord:
    """Commit a running container, which goes on running unless `stop`.

    Raises: LimosaError LIM-CONT-002: it does not run; LIM-CRIU-…: it cannot be dumped; LIM-CRIU-020: an exec session
    runs; LIM-CSTORE-006: the disk is full. The container runs as before then, and nothing is left of the attempt.
    """
    with host.containers.locked(container_id):
        return of_locked(host, ending.loaded(host, container_id), message, stop=stop)


def of_locked(host: Host, record: ContainerRecord, message: str, *, stop: bool) -> CommitRecord:
    """Commit a container whose lock the caller holds; see `checkpoint`."""
    container_id = record.container_id
    lifecycle.require_running(record, "checkpoint")
    _refuse_sessions(host, record)
    dump = Dump(container_id, host.new_id())
    with ExitStack() as always:
        always.callback(host.dumps.remove, dump)
        directory = host.dumps.make(dump)
        with ExitStack() as undo:
            undo.callback(host.storage.drop_snapshot, container_id, dump.label)
            commit = _dump(host, record, dump, directory, message, stop=stop)
            undo.pop_all()
    journal.note(host, "checkpoint", record, commit.commit_id)
    if stop:
        status = host.runtime.wait(container_id, ending.process_of(record), 10)
        ending.settle(host, record._replace(stopped_by_user=True), status)
    return commit


def _dump(host: Host, record: ContainerRecord, dump: Dump, directory: str, message: str, *, stop: bool) -> CommitRecord:
    container_id = record.container_id
    moments: dict[str, int] = {}
    found: list[CommitRecord] = []
    streams = host.runtime.standard_streams(container_id)

    def on_moment(moment: DumpMoment) -> None:
        moments[moment] = host.now_ns()
        if moment == "post-dump":
            host.storage.take_snapshot(container_id, dump.label)
            groups = host.cgroups.save_subtree(container_id)
            moments["captured"] = host.now_ns()
            found.append(described(groups))
            if stop:  # criu ends the processes when this returns: never are there neither they nor the commit
                found.append(commits.keep(host, found.pop(), directory))

    def described(groups: tuple[CgroupNode, ...]) -> CommitRecord:
        return CommitRecord(
            container=record,
            streams=streams,
            snapshot=dump.label,
            message=message,
            # criu locks no network that is the host's; shortly before it stops anything is the nearest that it tells.
            frozen_ns=moments["captured"] - moments.get("network-lock", moments.get("pre-dump", moments["captured"])),
            cgroups=tuple(groups),
            stopped=stop,
            created_ns=moments["post-dump"],
        )

    rootfs = host.rootfs.path(container_id)
    plan = DumpPlan(
        init_pid=record.init_pid,
        criu_images=directory,
        rootfs=rootfs,
        leave_running=not stop,
        own_network=ending.networked(record.config),
        external_mounts=bundle.external_mounts(bundle.plan(host, record, rootfs)),
        processes=tuple(host.cgroups.processes(container_id)),
    )
    host.checkpointer.dump(plan, on_moment)
    return found[0] if stop else commits.keep(host, found[0], directory)


def _refuse_sessions(host: Host, record: ContainerRecord) -> None:
    processes = host.cgroups.processes(record.container_id)
    sessions = host.runtime.sessions(ending.process_of(record), processes)
    if sessions:
        name = record.config.name
        raise LimosaError(
            "LIM-CRIU-020",
            f'cannot checkpoint "{name}": an exec session runs in it',
            state=f'"{name}" is running; nothing changed',
            cause="it is no descendant of the first process, so it could not come back: "
            + ", ".join(f"pid {pid} ({command[:60]})" for pid, command in sessions),
            hint="end the session, then checkpoint again",
        )
