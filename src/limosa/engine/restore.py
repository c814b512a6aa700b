"""What comes back from commits: restore as itself, and fork into copies."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from limosa.engine import bundle, commits, ending, journal, lifecycle, pausing
from limosa.engine.host import Host
from limosa.model.commit import CommitRecord
from limosa.model.container import Addresses, ContainerConfig, ContainerRecord, NetworkRequest, Phase
from limosa.model.errors import LimosaError
from limosa.model.ids import ContainerId, checked_name
from limosa.ports.checkpointer import RestoreMoment, RestorePlan
from limosa.ports.commit_store import CommitReader
from limosa.ports.dumps import Dump
from limosa.ports.runtime import Started

Hold = Callable[[ContainerRecord], None]
_MACHINE_ID: Final = "/etc/machine-id"
_MACHINE_ID_DIGITS: Final = 32
_ADDRESS_NOT_TO_BE_HAD: Final = ("LIM-NET-004", "LIM-NET-008")  # another has it; another host, with other subnets


@contextmanager
def brought(host: Host, commit: CommitRecord) -> Iterator[str]:
    """Give the directory with a commit's images of criu, for the time of a `with` block; its files are in a snapshot.

    Raises: LimosaError LIM-CSTORE-001, -002: the commit is damaged; LIM-IMG-002: its image is not here;
    LIM-CSTORE-006: the disk is full. Nothing is left.
    """
    container_id = commit.container.container_id
    require_image(host, commit)
    host.storage.prepare()
    dump = Dump(container_id, host.new_id())
    with host.store.reading(commits.identifier(commit)) as reader, ExitStack() as always:
        always.callback(host.dumps.remove, dump)
        directory = host.dumps.make(dump)
        host.memory_archive.load(reader, directory)
        bring_files(host, commit, reader)
        yield directory


def bring_files(host: Host, commit: CommitRecord, reader: CommitReader) -> None:
    """Make the snapshot of a commit's files from the store if it is not here. Raises: as `Storage.receive_snapshot`."""
    container_id = commit.container.container_id
    try:
        host.storage.snapshot(container_id, commit.snapshot)
    except KeyError:
        disk_bytes = commit.container.config.limits.disk_bytes
        host.storage.receive_snapshot(
            container_id, commit.snapshot, disk_bytes, lambda upper: host.file_archive.load(reader, upper)
        )


def require_image(host: Host, commit: CommitRecord) -> None:
    """Raise LimosaError LIM-IMG-002 if the image that a commit's container was made from is not here."""
    try:
        host.oci_images.layer_directories(commit.container.layers)
    except LimosaError as missing:
        if missing.code != "LIM-IMG-002":
            raise
        image = commit.container.config.oci_image
        raise LimosaError(
            "LIM-IMG-002",
            f"commit {commit.commit_id[:12]} needs the image {image!r}, which is not here",
            cause=missing.summary,
            hint=f"bring it: limosa image pull {image}, image import, or limosa push from the host that has it",
            exit_status=missing.exit_status,
        ) from missing


def restore(
    host: Host,
    commit: CommitRecord,
    name: str = "",
    keep_connections: bool | None = None,
    *,
    start: bool = True,
) -> ContainerRecord:
    """Bring a commit back as the container that it was, also if that was removed; `name` gives it another name.

    Connections are kept if the container was ended by this commit, its latest one, unless the caller says otherwise.
    Without `start` it is paused when this returns, and none of its processes has run an instruction.
    Raises: LimosaError LIM-CONT-005: that container lives; LIM-CRIU-…: it cannot be restored; LIM-NAME-002: another
    container has its name. Its present files are lost only once nothing else can fail before criu.
    """
    container_id = commit.container.container_id
    keep = _may_keep_connections(host, commit) if keep_connections is None else keep_connections
    there = [record for record in host.containers.all() if record.container_id == container_id]
    gone = not there
    if there and there[0].phase in ending.LIVE:
        raise _lives(there[0], commit)
    if name and not gone:
        raise LimosaError(
            "LIM-CONT-030",
            f"cannot restore the container under the name {name!r}",
            cause="the container is still there; it comes back in place",
            hint=f"limosa fork --name {name} {commit.commit_id[:12]} makes a copy; limosa rename renames",
            exit_status=2,
        )
    with brought(host, commit) as directory, host.containers.locked(container_id, create=gone), ExitStack() as undo:
        if gone:
            _add_record(host, commit, name, undo)
        record = ending.loaded(host, container_id)
        if record.phase in ending.LIVE:
            raise _lives(record, commit)
        if keep_connections is None and record.addresses != commit.container.addresses:
            keep = False  # nobody's packets find it where it is now
        host.keepers.end(record.keeper)
        ending.release(host, record)
        undo.callback(host.containers.save, record)
        host.containers.save(record._replace(phase="starting"))
        host.storage.revert(container_id, commit.snapshot)
        record = revive(
            host, record, commit, directory, undo, keep_connections=keep, phase="running" if start else "paused"
        )
    move_head(host, commit, "restore")
    journal.note(host, "restore", record, commit.commit_id)
    return record


def _may_keep_connections(host: Host, commit: CommitRecord) -> bool:
    # criu may not repair sockets of the host's own network from a container's user namespace.
    if commit.container.config.network.network == "host":
        return False
    latest = commits.head(host, commit.container.container_id) == commits.identifier(commit)
    return commit.stopped and latest


def in_place(
    host: Host,
    record: ContainerRecord,
    commit: CommitRecord,
    directory: str,
    *,
    keep_connections: bool,
    hold: Hold | None = None,
) -> ContainerRecord:
    """Make a container of whose processes none lives what a commit says, also its files; the caller holds its lock.

    Raises: LimosaError: it cannot be restored; the record is `record` again then, and what it held is released.
    """
    ending.release(host, record)
    with ExitStack() as undo:
        undo.callback(host.containers.save, record)
        if record.phase != "migrating":
            host.containers.save(record._replace(phase="starting"))
        host.storage.revert(record.container_id, commit.snapshot)
        return revive(host, record, commit, directory, undo, keep_connections=keep_connections, hold=hold)


def _lives(record: ContainerRecord, commit: CommitRecord) -> LimosaError:
    name = record.config.name
    return LimosaError(
        "LIM-CONT-005",
        f'cannot restore "{name}": it runs',
        state=f'"{name}" is {record.phase}; nothing changed',
        cause="one identity is alive at most once",
        hint=f"limosa rewind {name} {commit.commit_id[:12]}, or limosa fork {commit.commit_id[:12]} for a copy",
    )


def move_head(host: Host, commit: CommitRecord, why: str) -> None:
    """What comes next descends from this commit; the ref's log has what was there."""
    ref = commits.ref_of(commit.container.container_id)
    host.store.set_ref(ref, commits.identifier(commit), when_ns=host.now_ns(), why=why)


def _add_record(host: Host, commit: CommitRecord, name: str, undo: ExitStack) -> None:
    """Make the record of a container that was removed, with its name, addresses and ids, as it was."""
    source = commit.container
    container_id = source.container_id
    config = source.config._replace(name=checked_name(name)) if name else source.config
    record = ending.idle(source)._replace(config=config, phase="creating", exit=None, restart_at_ns=0, schedule=None)
    lifecycle.add(host, record)
    undo.callback(host.containers.remove, container_id)
    undo.callback(host.identities.remove, container_id)
    undo.callback(host.storage.destroy, container_id)
    if ending.networked(config):
        undo.callback(host.networks.forget, container_id)
        record = _with_addresses(host, record)
    host.containers.save(record._replace(phase="stopped"))


def _with_addresses(host: Host, record: ContainerRecord) -> ContainerRecord:
    """Reserve the addresses that a container had; where it cannot have them, others, by which it is reached now.

    Inside it goes on using its own then, like a copy. An address that its owner asked for is not replaced.
    """
    config, had, inner = record.config, record.addresses, record.inner_addresses
    same = NetworkRequest(config.network.network, had.ipv4.partition("/")[0], had.ipv6.partition("/")[0], had.mac)
    hostname = bundle.hostname(record)

    def reserved(request: NetworkRequest, inner: Addresses) -> ContainerRecord:
        addresses = host.networks.reserve(
            record.container_id, config.name, request, config.ports, hostname, inner=inner
        )
        return record._replace(addresses=addresses, inner_addresses=inner)

    try:
        return reserved(same, inner)
    except LimosaError as refused:
        if refused.code not in _ADDRESS_NOT_TO_BE_HAD or any(config.network[1:]):
            raise
    return reserved(config.network, inner if any(inner) else had)


def fork(
    host: Host, commit: CommitRecord, names: list[str], started: Callable[[ContainerRecord], None] = lambda _: None
) -> list[ContainerRecord]:
    """Start a running copy of a commit per name ("" for a made-up one), each with its own identity and address.

    `started` is called with each. Raises: LimosaError; the copies made before the one that failed run on, of the
    failed one nothing is left.
    """
    made = []
    with brought(host, commit) as directory:
        for name in names:
            made.append(_fork_one(host, commit, directory, name))
            started(made[-1])
    return made


def _fork_one(host: Host, commit: CommitRecord, directory: str, name: str) -> ContainerRecord:
    source = commit.container
    container_id = host.new_id()
    config = config_of_copy(source.config, name or f"{source.config.name}-{container_id[:6]}")
    with host.containers.locked(container_id, create=True), ExitStack() as undo:
        record = prepare_copy(host, commit, container_id, config, undo)
        record = revive(host, record, commit, directory, undo, keep_connections=False)
    host.store.set_ref(
        commits.ref_of(container_id),
        commits.identifier(commit),
        when_ns=host.now_ns(),
        why=f"fork of {source.config.name}",
    )
    journal.note(host, "fork", record, commit.commit_id)
    return record


def prepare_copy(
    host: Host, commit: CommitRecord, container_id: ContainerId, config: ContainerConfig, undo: ExitStack
) -> ContainerRecord:
    """Make a new container with a copy of a commit's files, for `revive`; the caller holds its lock."""
    source = commit.container
    undo.callback(host.containers.remove, container_id)
    record = ContainerRecord(container_id, config, "creating", host.now_ns(), source.first_host_id, source.layers)
    lifecycle.add(host, record)
    undo.callback(host.identities.remove, container_id)
    undo.callback(host.storage.destroy, container_id)
    host.storage.clone(source.container_id, commit.snapshot, container_id, config.limits.disk_bytes)
    if ending.networked(config):
        undo.callback(host.networks.forget, container_id)
        inner = source.inner_addresses if any(source.inner_addresses) else source.addresses
        addresses = host.networks.reserve(container_id, config.name, config.network, config.ports, inner=inner)
        record = record._replace(addresses=addresses, inner_addresses=inner)
    return record


def config_of_copy(config: ContainerConfig, name: str) -> ContainerConfig:
    """Published ports, fixed addresses and the host name stay with the original."""
    network = config.network._replace(ipv4="", ipv6="", mac="")
    return config._replace(name=checked_name(name), hostname="", ports=(), network=network)


def revive(
    host: Host,
    record: ContainerRecord,
    commit: CommitRecord,
    directory: str,
    undo: ExitStack,
    *,
    keep_connections: bool,
    phase: Phase = "running",
    isolated: bool = False,
    hold: Hold | None = None,
) -> ContainerRecord:
    """Let CRIU fill a container whose files are in place from the images in `directory`.

    On success `undo` is emptied and it has `phase`: it runs, or it is "paused" before any process has run. An
    `isolated` one has its addresses, and a network on which nobody is. `hold` is called, with a record that names its
    processes, when all is there and no instruction of it has run and no packet of it has left; they do once it has
    returned. If it raises, nothing of it is left.
    """
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
            if hold is not None:
                host.networks.silence(container_id)
            if not once:  # criu probes the peers of what it restores, and they are somebody else's now
                host.networks.silence(container_id)
        # Not at pre-resume: criu would go on even if this failed.
        if moment == "post-restore" and hold is not None:
            hold(lifecycle.with_processes(record, host.runtime.seated(container_id, init_pid)))
            if networked and once:
                host.networks.unsilence(container_id, init_pid)
        if moment == "pre-resume" and not once:
            _tell_apart(host, record, init_pid, is_copy=container_id != commit.container.container_id)
            if networked:
                host.networks.abort_outside(init_pid)
                if not isolated:
                    host.networks.unsilence(container_id, init_pid)
        if moment == "pre-resume" and phase == "paused":
            # criu still holds them all: what it lets go of now stands in the freezer.
            pausing.freeze(host, record)

    with host.checkpointer.session() as session:
        seat = host.runtime.begin_restore(plan, session.argv, session.remote_fd)
        try:
            host.checkpointer.restore(
                session,
                RestorePlan(
                    criu_images=directory,
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
    record = lifecycle.running(host, record, started, phase=phase)
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
