"""Running copies of a commit, each with an identity, an address, ids and volumes of its own."""

from collections.abc import Callable
from contextlib import ExitStack

from limosa.engine import (
    commits,
    creation,
    ending,
    hooks,
    inspection,
    journal,
    lifecycle,
    restore,
    reviving,
    volume_commits,
    warm,
)
from limosa.engine.host import Host
from limosa.model.commit import CommitRecord
from limosa.model.commit_store import container_ref
from limosa.model.container import ContainerConfig, ContainerRecord, CopyRequest, Phase, PublishedPort
from limosa.model.errors import LimosaError
from limosa.model.ids import ContainerId, checked_name
from limosa.ports.page_servers import Laziness


def source(host: Host, reference: str, requests: list[CopyRequest]) -> CommitRecord:
    """Return the commit that copies of `reference` are made from: a new one, if that is a running container.

    The name of a container that does not run means its latest commit. None is made where the copies would be refused
    for what the container has mounted.
    Raises: LimosaError LIM-CONT-002: it is paused, so no commit has what it is now; LIM-COMM-001; as `checkpoint`.
    """
    try:
        record = host.containers.find(reference)
    except LimosaError:
        return commits.find(host, reference)
    if record.phase == "paused":
        lifecycle.require_running(record, "fork")
    if record.phase != "running":
        return commits.find(host, reference)
    for wanted in requests:
        volume_commits.require_apart(record.config, volume_commits.of(host, record.config), wanted)
    from limosa.engine import checkpoint

    return checkpoint.checkpoint(host, record.container_id, checkpoint.Wanted("fork"))


def fork(
    host: Host,
    commit: CommitRecord,
    requests: list[CopyRequest],
    started: Callable[[ContainerRecord], None] = lambda _: None,
    laziness: Laziness = "off",
) -> list[ContainerRecord]:
    """Start a running copy of a commit per request; `laziness` says whether all their memory is there then.

    Those that were made ahead are taken first. `started` is called with each.
    Raises: LimosaError LIM-HOOK-002: the hook of one failed; …; the copies made before the one that failed run on, and
    the error's state names them; of the failed one nothing is left.
    """
    made: list[ContainerRecord] = []

    def tell(record: ContainerRecord) -> None:
        made.append(record)
        started(record)

    try:
        _start_all(host, commit, requests, tell, laziness)
    except LimosaError as failed:
        raise _with_those(failed, made, "runs", "run") from failed
    return made


def _with_those(failed: LimosaError, made: list[ContainerRecord], one: str, several: str) -> LimosaError:
    """Return an error whose state names the copies that are there."""
    if not made:
        return failed
    names = ", ".join(record.config.name for record in made)
    state = f"{names} {one if len(made) == 1 else several}; nothing is left of the copy that failed"
    return LimosaError(
        failed.code,
        failed.summary,
        state=state,
        cause=failed.cause,
        hint=failed.hint,
        exit_status=failed.exit_status,
    )


def _start_all(
    host: Host,
    commit: CommitRecord,
    requests: list[CopyRequest],
    started: Callable[[ContainerRecord], None],
    laziness: Laziness,
) -> None:
    missing: list[CopyRequest] = []
    waiting = warm.ready(host, commit.commit_id) if any(map(warm.suits, requests)) else []
    for wanted in requests:
        taken = warm.take(host, commit, waiting, wanted.name) if warm.suits(wanted) else None
        if taken is None:
            missing.append(wanted)
        else:
            started(taken)
    _made(host, commit, missing, started, laziness, "running")


def make_ahead(
    host: Host,
    commit: CommitRecord,
    requests: list[CopyRequest],
    made: Callable[[ContainerRecord], None] = lambda _: None,
    laziness: Laziness = "off",
) -> list[ContainerRecord]:
    """Make a copy of a commit per request which stands still until a fork takes it, and call `made` with each.

    Raises: as `fork`.
    """
    found: list[ContainerRecord] = []

    def tell(record: ContainerRecord) -> None:
        found.append(record)
        made(record)

    try:
        _made(host, commit, requests, tell, laziness, "paused")
    except LimosaError as failed:
        raise _with_those(failed, found, "stands ready", "stand ready") from failed
    return found


def _made(
    host: Host,
    commit: CommitRecord,
    requests: list[CopyRequest],
    made: Callable[[ContainerRecord], None],
    laziness: Laziness,
    phase: Phase,
) -> None:
    if not requests:
        return
    with restore.brought(host, commit, laziness) as images:
        for index, wanted in enumerate(requests):
            made(_fork_one(host, commit, images, wanted, phase, examined=index > 0))


def _fork_one(
    host: Host, commit: CommitRecord, images: reviving.Brought, wanted: CopyRequest, phase: Phase, *, examined: bool
) -> ContainerRecord:
    source = commit.container
    container_id = host.new_id()
    name = wanted.name or f"{source.config.name}-{container_id[:6]}"

    def hook(record: ContainerRecord) -> None:
        hooks.in_copy(host, record, commit, wanted.hook)

    with host.containers.locked(container_id, create=True), ExitStack() as undo:
        config = config_of_copy(source.config, name, wanted.ports)
        record = prepare(host, commit, container_id, config, wanted, undo)
        record = reviving.revive(
            host,
            record if phase == "running" else record._replace(warm_of=commit.commit_id),
            commit,
            images,
            undo,
            keep_connections=False,
            phase=phase,
            examined=examined,
            before_it_goes_on=hook if wanted.hook else None,
        )
    host.store.set_ref(
        container_ref(container_id),
        commits.identifier(commit),
        when_ns=host.now_ns(),
        why=f"fork of {source.config.name}",
    )
    journal.note(host, "fork" if phase == "running" else "warm", record, commit.commit_id)
    return record


def prepare(
    host: Host,
    commit: CommitRecord,
    container_id: ContainerId,
    config: ContainerConfig,
    wanted: CopyRequest,
    undo: ExitStack,
) -> ContainerRecord:
    """Make a new container with copies of a commit's files and volumes, for `revive`; the caller holds its lock.

    Raises: LimosaError LIM-VOL-008: it would write to what its original writes to; LIM-NET-005, -006: a port cannot be
    published; LIM-NAME-…. `undo` takes back what there is.
    """
    source = commit.container
    undo.callback(host.containers.remove, container_id)
    record = ContainerRecord(container_id, config, "creating", host.now_ns(), 0, source.layers)
    creation.add(host, record)
    record = creation.with_id_range(host, record)
    undo.callback(host.identities.remove, container_id)
    undo.callback(ending.destroy_files, host, container_id)
    host.storage.clone(source.container_id, commit.snapshot, container_id, config.limits.disk_bytes)
    if config.mounts:
        config = volume_commits.of_copy(host, commit, config, wanted, container_id, undo)
        record = record._replace(config=config)
    if ending.networked(config):
        undo.callback(host.networks.forget, container_id)
        inner = source.inner_addresses if any(source.inner_addresses) else source.addresses
        addresses = host.networks.reserve(
            *(container_id, config.name, config.network, config.ports),
            inner=inner,
            passing=config.remove_when_stopped,
        )
        config = config._replace(ports=inspection.ports(host, record))
        record = record._replace(addresses=addresses, inner_addresses=inner, config=config)
    elif config.ports:
        raise LimosaError(
            "LIM-NET-006",
            f'ports of "{config.name}" cannot be published',
            cause=f"its network is {config.network.network!r}",
            hint="leave -p out",
        )
    return record


def config_of_copy(config: ContainerConfig, name: str, ports: tuple[PublishedPort, ...] = ()) -> ContainerConfig:
    """Published ports, fixed addresses and the host name stay with the original."""
    network = config.network._replace(ipv4="", ipv6="", mac="")
    return config._replace(name=checked_name(name), hostname="", ports=ports, network=network)
