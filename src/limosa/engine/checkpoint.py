"""Commits: memory, files and configuration of a container at one instant, and what comes back from them.

The files are captured in CRIU's post-dump, while every process is still stopped: memory and files are of one moment.
"""

from contextlib import ExitStack
from typing import Final

from limosa.engine import bundle, ending, journal, lifecycle
from limosa.engine.host import Host
from limosa.model.cgroup import CgroupNode
from limosa.model.commit import CommitId, CommitRecord
from limosa.model.container import ContainerConfig, ContainerRecord
from limosa.model.errors import LimosaError
from limosa.model.ids import ContainerId, checked_name
from limosa.ports.checkpointer import DumpMoment, DumpPlan, RestoreMoment, RestorePlan
from limosa.ports.runtime import Started

_MACHINE_ID: Final = "/etc/machine-id"
_MACHINE_ID_DIGITS: Final = 32


def checkpoint(host: Host, container_id: ContainerId, message: str = "", *, stop: bool = False) -> CommitRecord:
    """Commit a running container, which goes on running unless `stop`.

    Raises: LimosaError LIM-CONT-002: it does not run; LIM-CRIU-…: it cannot be dumped; LIM-CRIU-020: an exec session
    runs. The container runs as before then, and nothing is left of the attempt.
    """
    with host.containers.locked(container_id):
        record = ending.loaded(host, container_id)
        lifecycle.require_running(record, "checkpoint")
        _refuse_sessions(host, record)
        commit_id = CommitId(host.new_id())
        moments: dict[str, int] = {}
        kept: list[CommitRecord] = []
        with ExitStack() as undo:
            undo.callback(host.commits.remove, commit_id)
            undo.callback(host.commits.abandon, commit_id)
            directory = host.commits.begin(commit_id)
            streams = host.runtime.standard_streams(container_id)
            undo.callback(host.storage.drop_snapshot, container_id, commit_id)

            def on_moment(moment: DumpMoment) -> None:
                moments[moment] = host.now_ns()
                if moment == "post-dump":
                    host.storage.take_snapshot(container_id, commit_id)
                    groups = host.cgroups.save_subtree(container_id)
                    moments["captured"] = host.now_ns()
                    kept.append(commit_of(groups))
                    if stop:  # criu ends the processes when this returns: never are there neither they nor the commit
                        host.commits.keep(kept[0])

            def commit_of(groups: tuple[CgroupNode, ...]) -> CommitRecord:
                return CommitRecord(
                    commit_id=commit_id,
                    container=record,
                    created_ns=moments["post-dump"],
                    streams=streams,
                    message=message,
                    frozen_ns=moments["captured"] - moments.get("network-lock", moments["captured"]),
                    cgroups=tuple(groups),
                    stopped=stop,
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
            (commit,) = kept
            if not stop:
                host.commits.keep(commit)
            undo.pop_all()
        journal.note(host, "checkpoint", record, commit_id)
        if stop:
            status = host.runtime.wait(container_id, ending.process_of(record), 10)
            ending.settle(host, record._replace(stopped_by_user=True), status)
        return commit


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


def restore(host: Host, commit: CommitRecord) -> ContainerRecord:
    """Bring a commit back as the container that it was.

    Raises: LimosaError LIM-CONT-005: that container lives; LIM-CRIU-…: it cannot be restored. Its present files are
    lost only once nothing else can fail before criu.
    """
    container_id = commit.container.container_id
    with host.containers.locked(container_id):
        record = ending.loaded(host, container_id)
        if record.phase in ending.LIVE:
            name = record.config.name
            raise LimosaError(
                "LIM-CONT-005",
                f'cannot restore "{name}": it runs',
                state=f'"{name}" is {record.phase}; nothing changed',
                cause="one identity is alive at most once",
                hint=f"limosa stop {name} first, or limosa fork {commit.commit_id[:12]} for a copy",
            )
        host.storage.prepare()
        host.keepers.end(record.keeper)
        ending.release(host, record)
        with ExitStack() as undo:
            undo.callback(host.containers.save, record)
            host.containers.save(record._replace(phase="starting"))
            host.storage.revert(container_id, commit.commit_id)
            record = _revive(host, record, commit, undo, keep_connections=commit.stopped)
    journal.note(host, "restore", record, commit.commit_id)
    return record


def fork(host: Host, commit: CommitRecord, names: list[str]) -> list[ContainerRecord]:
    """Start a running copy of a commit per name ("" for a made-up one), each with its own identity and address.

    Raises: LimosaError; the copies made before the one that failed run on, of the failed one nothing is left.
    """
    host.storage.prepare()
    return [_fork_one(host, commit, name) for name in names]


def _fork_one(host: Host, commit: CommitRecord, name: str) -> ContainerRecord:
    source = commit.container
    container_id = host.new_id()
    config = _config_of_copy(source.config, name or f"{source.config.name}-{container_id[:6]}")
    with host.containers.locked(container_id, create=True), ExitStack() as undo:
        undo.callback(host.containers.remove, container_id)
        record = ContainerRecord(container_id, config, "creating", host.now_ns(), source.first_host_id, source.layers)
        lifecycle.add(host, record)
        undo.callback(host.identities.remove, container_id)
        undo.callback(host.storage.destroy, container_id)
        host.storage.clone(source.container_id, commit.commit_id, container_id, config.limits.disk_bytes)
        if ending.networked(config):
            undo.callback(host.networks.forget, container_id)
            inner = source.inner_addresses if any(source.inner_addresses) else source.addresses
            addresses = host.networks.reserve(container_id, config.name, config.network, config.ports, inner=inner)
            record = record._replace(addresses=addresses, inner_addresses=inner)
        record = _revive(host, record, commit, undo, keep_connections=False)
    journal.note(host, "fork", record, commit.commit_id)
    return record


def _config_of_copy(config: ContainerConfig, name: str) -> ContainerConfig:
    """Published ports, fixed addresses and the host name stay with the original."""
    network = config.network._replace(ipv4="", ipv6="", mac="")
    return config._replace(name=checked_name(name), hostname="", ports=(), network=network)


def _revive(
    host: Host, record: ContainerRecord, commit: CommitRecord, undo: ExitStack, *, keep_connections: bool
) -> ContainerRecord:
    """Let CRIU fill a container whose files are in place; on success `undo` is emptied and it runs."""
    container_id = record.container_id
    rootfs = lifecycle.acquire(host, record, undo)
    plan = bundle.plan(host, record, rootfs)
    undo.callback(host.runtime.delete, container_id)
    undo.callback(host.cgroups.kill, container_id)
    networked = ending.networked(record.config)
    # Only the last commit of a container that it ended comes back as nothing but itself.
    once = keep_connections

    divided = any(node.path for node in commit.cgroups)

    def on_moment(moment: RestoreMoment, init_pid: int) -> None:
        if moment == "post-setup-namespaces" and divided:
            # Not earlier: v2 lets nobody into a group that has controllers for groups below. Not later: files of these
            # groups are watched.
            host.cgroups.restore_subtree(container_id, commit.cgroups)
        if moment == "setup-namespaces" and networked:
            host.networks.connect(container_id, init_pid)
            if not once:  # criu probes the peers of what it restores, and they are somebody else's now
                host.networks.silence(container_id)
        if moment == "pre-resume" and not once:
            _tell_apart(host, record, init_pid, is_copy=container_id != commit.container.container_id)
            if networked:
                host.networks.abort_outside(init_pid)
                host.networks.unsilence(container_id, init_pid)

    with host.checkpointer.session() as session:
        seat = host.runtime.begin_restore(plan, session.argv, session.remote_fd)
        try:
            host.checkpointer.restore(
                session,
                RestorePlan(
                    criu_images=host.commits.criu_images(commit.commit_id),
                    rootfs=rootfs,
                    cgroup_roots=host.cgroups.criu_root(container_id),
                    inherited=_inherited(commit),
                    pid_file=seat.pid_file,
                    # What leaves a container of limosa's networks is aborted above, before its processes go on.
                    keep_connections=keep_connections or networked,
                    own_network=networked,
                    external_mounts=bundle.external_mounts(plan),
                ),
                on_moment,
                lambda master: host.runtime.give_terminal(seat, master),
            )
        except BaseException:
            host.runtime.abandon_restore(seat)
            raise
    started: Started = host.runtime.finish_restore(plan, seat)
    record = lifecycle.running(host, record, started)
    undo.pop_all()
    return record


def _tell_apart(host: Host, record: ContainerRecord, init_pid: int, *, is_copy: bool) -> None:
    """Change what must not be the same in two that come from one commit; no process of it runs."""
    container_id = record.container_id
    host.identities.advance_generation(container_id)
    host.identities.wipe_unique_memory(host.cgroups.processes(container_id))
    if not is_copy:
        return
    host.identities.rename_host(init_pid, bundle.hostname(record))
    try:
        if len(host.rootfs.read(container_id, _MACHINE_ID).strip()) == _MACHINE_ID_DIGITS:
            machine_id = host.random_bytes(_MACHINE_ID_DIGITS // 2).hex()
            host.rootfs.rewrite(container_id, _MACHINE_ID, f"{machine_id}\n".encode())
    except OSError:  # it has none, or none that is its own
        return


def _inherited(commit: CommitRecord) -> tuple[tuple[str, int], ...]:
    """Standard input is inherited only where it was kept open; otherwise it is a pipe at its end, criu's own.

    A terminal is not inherited: criu makes it anew and its master goes to the monitor.
    """
    if commit.container.config.terminal:
        return ()
    first = 0 if commit.container.config.stdin_open else 1
    seen: dict[str, int] = {}
    for descriptor in range(first, 3):
        seen.setdefault(commit.streams[descriptor], descriptor)
    return tuple(seen.items())
