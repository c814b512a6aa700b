"""What comes back from commits: restore as itself, and fork into copies."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from limosa.engine import bundle, commits, creation, ending, journal, lifecycle, origins, reviving, volume_commits
from limosa.engine.host import Host
from limosa.engine.reviving import Brought
from limosa.model.commit import CommitRecord
from limosa.model.commit_store import container_ref
from limosa.model.container import Addresses, ContainerRecord, NetworkRequest, Phase
from limosa.model.errors import LimosaError
from limosa.model.hints import Final
from limosa.model.ids import checked_name
from limosa.ports.commit_store import CommitReader
from limosa.ports.dumps import Dump
from limosa.ports.page_servers import Laziness, LazyMemory

_ADDRESS_NOT_TO_BE_HAD: Final = ("LIM-NET-004", "LIM-NET-008")  # another has it; another host, with other subnets


@contextmanager
def brought(host: Host, commit: CommitRecord, laziness: Laziness = "off") -> Iterator[Brought]:
    """Give a commit's images of criu, for the time of a `with` block; its files are in a snapshot.

    Unless `laziness` is "off" what memory may come later is left out, where this machine can have that.
    Raises: LimosaError LIM-CSTORE-001, -002: the commit is damaged; LIM-IMG-002: its image is not here;
    LIM-CSTORE-006: the disk is full; LIM-COMM-023: it has files alone;
    LIM-TRUST-001, -002: it came from elsewhere, from nobody that this host trusts.
    Nothing is left.
    """
    container_id = commit.container.container_id
    _require_processes(commit)
    origins.require_trusted(host, commit)
    require_image(host, commit)
    host.storage.prepare()
    dump = Dump(container_id, host.new_id())
    with host.store.reading(commits.identifier(commit)) as reader, ExitStack() as always:
        always.callback(host.dumps.remove, dump)
        directory = host.dumps.make(dump)
        memories: tuple[LazyMemory, ...] = ()
        if laziness != "off" and host.page_servers.works():
            memories = host.memory_archive.load_lazily(reader, directory)
            always.enter_context(host.page_servers.in_front())
        else:
            host.memory_archive.load(reader, directory)
        bring_files(host, commit, reader)
        volume_commits.bring(host, commit, reader)
        yield Brought(directory, memories, laziness == "background")


@contextmanager
def brought_files(host: Host, commit: CommitRecord) -> Iterator[None]:
    """Have the files of a commit here, and those of its volumes, for the time of a `with` block: as snapshots.

    Raises: as `brought`.
    """
    origins.require_trusted(host, commit)
    require_image(host, commit)
    host.storage.prepare()
    with host.store.reading(commits.identifier(commit)) as reader:
        bring_files(host, commit, reader)
        volume_commits.bring(host, commit, reader)
        yield


def started(
    host: Host, record: ContainerRecord, commit: CommitRecord, hold: Callable[[], None] | None = None
) -> ContainerRecord:
    """Start a container from the files of a commit; the caller holds its lock.

    `hold` is called when all is there but the program's start. None of the container's processes lives.
    Raises: as `brought_files`; LimosaError: it cannot be started; the record is `record` again then, and what it held
    is released.
    """
    with brought_files(host, commit), ExitStack() as undo:
        _put_files(host, record, commit, undo)
        record = lifecycle.start_locked(host, record, hold)
        undo.pop_all()
    return record


def files_in_place(host: Host, record: ContainerRecord, commit: CommitRecord) -> None:
    """Make the files of a container and of its volumes what a commit has; none of its processes lives.

    The caller holds its lock. Raises: as `brought_files`.
    """
    with brought_files(host, commit), ExitStack() as undo:
        _put_files(host, record, commit, undo)
        undo.pop_all()


def _put_files(host: Host, record: ContainerRecord, commit: CommitRecord, undo: ExitStack) -> None:
    ending.release(host, record)
    host.storage.revert(record.container_id, commit.snapshot)
    volume_commits.put_back(host, commit, undo)


def _require_processes(commit: CommitRecord) -> None:
    if commit.files_only:
        name = commit.commit_id[:12]
        raise LimosaError(
            "LIM-COMM-023",
            f"commit {name} has files alone: no process comes back from it",
            state="nothing changed",
            cause="no process ran when it was made: before a rewind, or by migrate --fallback, which stops and starts",
            hint=f"limosa restore {name} starts its container with these files, once that does not run; limosa mount",
        )


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
    although_moved: bool = False,
    laziness: Laziness = "off",
) -> ContainerRecord:
    """Bring a commit back as the container that it was, also if that was removed; `name` gives it another name.

    Connections are kept if the container was ended by this commit, its latest one, unless the caller says otherwise.
    Without `start` it is paused when this returns, and none of its processes has run an instruction. `laziness` says
    whether all its memory is there then. From a commit of files alone it is started (without `start` it is stopped).
    Raises: LimosaError LIM-CONT-005: that container lives; LIM-MIG-005: it has moved to another host, and the caller
    does not say `although_moved`; LIM-CRIU-…: it cannot be restored; LIM-NAME-002: another
    container has its name. Its present files are lost only once nothing else can fail before criu.
    """
    container_id = commit.container.container_id
    keep = _may_keep_connections(host, commit) if keep_connections is None else keep_connections
    there = [record for record in host.containers.all() if record.container_id == container_id]
    gone = not there
    if there and there[0].phase in ending.LIVE:
        raise _lives(there[0], commit)
    for record in there:
        ending.refuse_moved(record, although_moved)
    if name and not gone:
        raise LimosaError(
            "LIM-CONT-030",
            f"cannot restore the container under the name {name!r}",
            cause="the container is still there; it comes back in place",
            hint=f"limosa fork --name {name} {commit.commit_id[:12]} makes a copy; limosa rename renames",
            exit_status=2,
        )
    volume_commits.require_there(host, commit)
    with (
        _brought_as_it_is(host, commit, laziness) as images,
        host.containers.locked(container_id, create=gone),
        ExitStack() as undo,
    ):
        if gone:
            _add_record(host, commit, name, undo)
        record = ending.loaded(host, container_id)
        if record.phase in ending.LIVE:
            raise _lives(record, commit)
        ending.refuse_moved(record, although_moved)
        if keep_connections is None and record.addresses != commit.container.addresses:
            keep = False  # nobody's packets find it where it is now
        host.keepers.end(record.keeper)
        ending.release(host, record)
        undo.callback(host.containers.save, record)
        record = record._replace(moved_to="")
        host.containers.save(record._replace(phase="starting"))
        host.storage.revert(container_id, commit.snapshot)
        volume_commits.put_back(host, commit, undo)
        if images is None:  # without processes
            record = _without_processes(host, record, undo, start=start)
        else:
            phase: Phase = "running" if start else "paused"
            record = reviving.revive(host, record, commit, images, undo, keep_connections=keep, phase=phase)
    move_head(host, commit, "restore")
    journal.note(host, "restore", record, commit.commit_id)
    return record


def _brought_as_it_is(host: Host, commit: CommitRecord, laziness: Laziness) -> AbstractContextManager[Brought | None]:
    return brought_files(host, commit) if commit.files_only else brought(host, commit, laziness)


def _without_processes(host: Host, record: ContainerRecord, undo: ExitStack, *, start: bool) -> ContainerRecord:
    record = ending.idle(record)._replace(phase="stopped")
    host.containers.save(record)
    if start:
        record = lifecycle.start_locked(host, record)
    undo.pop_all()
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
    images: Brought,
    *,
    keep_connections: bool,
    hold: reviving.Hold | None = None,
    phase: Phase = "running",
) -> ContainerRecord:
    """Make a container of whose processes none lives what a commit says, also its files; the caller holds its lock.

    It has `phase` afterwards: it runs, or is "paused" before any process has run.

    Raises: LimosaError: it cannot be restored; the record is `record` again then, and what it held is released.
    """
    ending.release(host, record)
    with ExitStack() as undo:
        undo.callback(host.containers.save, record)
        if record.phase != "migrating":
            host.containers.save(record._replace(phase="starting"))
        host.storage.revert(record.container_id, commit.snapshot)
        volume_commits.put_back(host, commit, undo)
        return reviving.revive(
            host, record, commit, images, undo, keep_connections=keep_connections, hold=hold, phase=phase
        )


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
    ref = container_ref(commit.container.container_id)
    host.store.set_ref(ref, commits.identifier(commit), when_ns=host.now_ns(), why=why)


def _add_record(host: Host, commit: CommitRecord, name: str, undo: ExitStack) -> None:
    """Make the record of a container that was removed, with its name, addresses and ids, as it was."""
    source = commit.container
    container_id = source.container_id
    config = source.config._replace(name=checked_name(name)) if name else source.config
    record = ending.idle(source)._replace(
        config=config,
        phase="creating",
        exit=None,
        restart_at_ns=0,
        schedule=None,
        warm_of="",
        first_host_id=0,
        hook_failure="",
    )
    creation.add(host, record)
    undo.callback(host.containers.remove, container_id)
    record = creation.with_id_range(host, record)
    undo.callback(host.identities.remove, container_id)
    undo.callback(ending.destroy_files, host, container_id)
    if ending.networked(config):
        undo.callback(host.networks.forget, container_id)
        try:
            record = with_addresses(host, record)
        except LimosaError as refused:
            raise _port_taken(refused, commit) if refused.code == "LIM-NET-005" else refused from refused
    host.containers.save(record._replace(phase="stopped"))


def _port_taken(refused: LimosaError, commit: CommitRecord) -> LimosaError:
    """Return the error in terms of a container that comes back as it was, with its own ports."""
    others = " ".join(f"-p OTHER:{port.container_port}" for port in commit.container.config.ports)
    return LimosaError(
        refused.code,
        f'cannot restore "{commit.container.config.name}": {refused.summary}',
        cause=refused.cause,
        hint=f"stop what has it; or limosa fork {others} {commit.commit_id[:12]} for a copy that is reached elsewhere",
    )


def with_addresses(host: Host, record: ContainerRecord) -> ContainerRecord:
    """Reserve the addresses that a container had; where it cannot have them, others, by which it is reached now.

    Inside it goes on using its own then, like a copy. An address that its owner asked for is not replaced.
    """
    config, had, inner = record.config, record.addresses, record.inner_addresses
    same = NetworkRequest(config.network.network, had.ipv4.partition("/")[0], had.ipv6.partition("/")[0], had.mac)
    hostname = bundle.hostname(record)

    def reserved(request: NetworkRequest, inner: Addresses) -> ContainerRecord:
        addresses = host.networks.reserve(
            *(record.container_id, config.name, request, config.ports, hostname, inner),
            passing=config.remove_when_stopped,
        )
        return record._replace(addresses=addresses, inner_addresses=inner)

    try:
        return reserved(same, inner)
    except LimosaError as refused:
        if refused.code not in _ADDRESS_NOT_TO_BE_HAD or any(config.network[1:]):
            raise
    return reserved(config.network, inner if any(inner) else had)
