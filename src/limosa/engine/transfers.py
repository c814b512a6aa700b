"""Commits that go to another host's store and come from there, or from a file."""

from collections.abc import Callable, Iterable

from limosa.engine import commits, origins
from limosa.engine.host import Host
from limosa.model import ids
from limosa.model.commit import CommitRecord
from limosa.model.commit_store import ObjectId, container_ref
from limosa.model.container import FIRST_HOST_ID, ContainerRecord
from limosa.model.errors import LimosaError, words_of
from limosa.model.ids import Digest
from limosa.ports.oci_images import OciImage, OciImages, Progress


def with_history(host: Host, record: CommitRecord) -> list[CommitRecord]:
    """Return a commit and what it descends from, as far as that is here, oldest first."""
    return commits.descent(host, {commits.identifier(record)})


def require_one_key(source: Host, target: Host) -> None:
    """Raise what `send` raises for hosts of different keys, before anything was sent."""
    source.store.push([], target.store.as_remote(), {}, when_ns=source.now_ns())


def send(source: Host, target: Host, records: list[CommitRecord]) -> int:
    """Send commits of one host to another's store, without their images; return the bytes sent.

    Each can be named there afterwards: the latest of a container by the container's name, unless that has another one.
    Raises: LimosaError LIM-CSTORE-004: the hosts have different keys; -006: the disk is full; -001, -002: a commit is
    damaged. What was sent cannot be reached then.
    """
    refs = names_for(target, records, lambda record: _ancestors(source, record))
    wanted = [commits.identifier(record) for record in records]
    return source.store.push(wanted, target.store.as_remote(), refs, when_ns=source.now_ns())


def names_for(
    target: Host, records: list[CommitRecord], ancestors: Callable[[CommitRecord], frozenset[ObjectId]]
) -> dict[str, ObjectId]:
    """Return the refs that are to keep commits that come to a host; `ancestors` says what each descends from."""
    known = dict(target.store.refs())
    live = {record.container_id for record in target.containers.all() if record.phase != "migrating"}
    refs: dict[str, ObjectId] = {}
    for record in _tips(records):
        ref = _ref(target, record, known | refs, live, ancestors(record))
        if ref:
            refs[ref] = commits.identifier(record)
    return refs


def _tips(records: list[CommitRecord]) -> list[CommitRecord]:
    """Return the commits that no other one of them descends from directly."""
    parents = {record.parent for record in records}
    return [record for record in records if record.commit_id not in parents]


def _ancestors(host: Host, record: CommitRecord) -> frozenset[ObjectId]:
    return frozenset(commit_id for commit_id, _ in host.store.history({commits.identifier(record)}))


def _ref(
    host: Host,
    record: CommitRecord,
    refs: dict[str, ObjectId],
    live: set[ids.ContainerId],
    ancestors: frozenset[ObjectId],
) -> str:
    """Return the ref that is to keep a commit that comes in, "" if what is there keeps it already."""
    container_id, commit_id = record.container.container_id, commits.identifier(record)
    ref = container_ref(container_id)
    latest = refs.get(ref)
    if latest is None or (latest in ancestors and container_id not in live):
        return "" if latest == commit_id else ref
    if any(one == commit_id for one, _ in host.store.history({latest})) and commit_id not in host.store.forgotten():
        return ""
    return f"imported/{commit_id.hex()[:24]}"


def share_images(source: Host, target: Host, records: Iterable[CommitRecord], progress: Progress) -> list[str]:
    """Give a host the images that commits need and that it lacks; return their names there.

    Raises: LimosaError LIM-COMM-020: an image has no name any more where the commits are; nothing was sent then;
    otherwise as `OciImages.import_archive`.
    """
    sent = []
    for image in lacking_images(source, target.oci_images, records):
        with source.oci_images.as_archive(image.digest) as archive:
            name = free_name(target, image.reference, image.digest)
            sent.append(target.oci_images.import_archive(archive, name, progress).reference)
    return sent


def lacking_images(source: Host, there: OciImages, records: Iterable[CommitRecord]) -> list[OciImage]:
    """Return the images that commits need and that are not `there`. Raises: LimosaError LIM-COMM-020: see `images_of`.

    State: unchanged.
    """
    needed = {record.container.layers: record for record in records}
    return images_of(source, {layers: record for layers, record in needed.items() if not are_kept(there, layers)})


def images_of(source: Host, lacking: dict[tuple[Digest, ...], CommitRecord]) -> list[OciImage]:
    """Return the image of each of these layers. Raises: LimosaError LIM-COMM-020: one is not here."""
    here = {image.layers: image for image in source.oci_images.all()}
    for layers, record in lacking.items():
        if layers not in here:
            here.update((image.layers, image) for image in nameless(source, layers))
        if layers not in here:
            raise LimosaError(
                "LIM-COMM-020",
                f"the image of commit {record.commit_id[:12]} cannot be sent along",
                cause=f"no image here has its layers any more; it was made from {record.container.config.oci_image}",
                hint="--no-image sends the commit alone; it can be restored there once the image is there",
            )
    return [here[layers] for layers in lacking]


def has_layers(host: Host, layers: tuple[Digest, ...]) -> bool:
    """Say whether the layers of an image are here."""
    return are_kept(host.oci_images, layers)


def are_kept(there: OciImages, layers: tuple[Digest, ...]) -> bool:
    """Say whether the layers of an image are in a root's images."""
    try:
        there.layer_directories(layers)
    except LimosaError as missing:
        if missing.code != "LIM-IMG-002":
            raise
        return False
    return True


def free_name(host: Host, reference: str, digest: Digest) -> str:
    """Return an image's own name, or one made from its digest where another image has that."""
    if any(one.reference == reference and one.digest != digest for one in host.oci_images.all()):
        return _name_of(digest)
    return reference


def nameless(host: Host, layers: tuple[Digest, ...]) -> list[OciImage]:
    """Return the images with these layers that have no name any more, under one made from their digest."""
    return [image._replace(reference=_name_of(image.digest)) for image in host.oci_images.nameless(layers)]


def _name_of(digest: Digest) -> str:
    return f"localhost/committed:{digest[7:19]}"


def export(host: Host, records: list[CommitRecord], path: str, *, for_strangers: bool = False) -> int:
    """Write commits to a new file, without their images; return its size.

    For strangers they are signed with this host's key, apart from those that came from elsewhere themselves.
    Raises: LimosaError LIM-TRUST-004: that cannot be; LIM-COMM-022: it cannot be written; LIM-CSTORE-001, -002: a
    commit is damaged. No file is left.
    """
    wanted = [commits.identifier(record) for record in records]
    try:
        return host.store.export(
            wanted, path, for_strangers=for_strangers, sign=lambda commit, data: origins.signature(host, commit, data)
        )
    except OSError as unwritable:
        raise LimosaError(
            "LIM-COMM-022",
            f"{path} cannot be written",
            cause=unwritable.strerror or str(unwritable),
            hint="name a new file in a directory that is there and has room",
        ) from unwritable


def import_file(host: Host, path: str, *, trust: bool = False) -> list[CommitRecord]:
    """Take the commits of an exported file, oldest first; each can be named afterwards, as with `send`.

    Raises: LimosaError LIM-COMM-021: the configuration of one reaches out of its container, without `trust`;
    LIM-COMM-003: one cannot be understood; LIM-COMM-022: the file cannot be read; LIM-CSTORE-004, -006, -010. Nothing
    of the file can be reached then. LIM-TRUST-006: somebody changed it after it was signed.
    """
    before = set(host.store.refs())
    try:
        came = host.store.import_file(path, lambda commit, data: origins.noted(host, commit, data, accepted=trust))
    except OSError as unreadable:
        raise LimosaError(
            "LIM-COMM-022",
            f"{path} cannot be imported",
            cause=words_of(unreadable),
            hint="name a file that limosa export has made",
        ) from unreadable
    keepers = {f"imported/{commit_id.hex()[:24]}": commit_id for commit_id in came}
    new = [ref for ref in keepers if ref not in before]
    try:
        records = [commits.described(commit_id, host.store.commit(commit_id)) for commit_id in came]
        for record in records:
            if not trust:
                _refuse_reaching_out(record, path)
    except LimosaError:
        _drop(host, new)
        raise
    live = {record.container_id for record in host.containers.all()}
    for record in _tips(records):
        others = {ref: commit_id for ref, commit_id in host.store.refs().items() if ref not in keepers}
        ref = _ref(host, record, others, live, _ancestors(host, record))
        if ref and ref not in keepers:
            host.store.set_ref(ref, commits.identifier(record), when_ns=host.now_ns(), why="import")
    others = {ref: commit_id for ref, commit_id in host.store.refs().items() if ref not in keepers}
    reached = {commit_id for commit_id, _ in host.store.history(set(others.values()))}
    _drop(host, [ref for ref, commit_id in keepers.items() if commit_id in reached])
    return sorted(records, key=lambda record: record.created_ns)


def _drop(host: Host, refs: list[str]) -> None:
    for ref in refs:
        host.store.set_ref(ref, None, when_ns=host.now_ns(), why="import")
        host.store.drop_log(ref)


def _refuse_reaching_out(record: CommitRecord, path: str) -> None:
    reasons = reaching_out(record.container)
    own = {volume.name for volume in record.volumes if volume.policy != "reference"}
    named = [one.source for one in record.container.config.mounts if one.kind == "volume" and one.source not in own]
    if named:
        reasons.append(f"volumes of the host ({', '.join(named)})")
    if reasons:
        raise LimosaError(
            "LIM-COMM-021",
            f"{path} is not imported: what it holds would reach out of its container when it is restored",
            cause=f"commit {record.commit_id[:12]} of {record.container.config.name!r} asks for {', '.join(reasons)}",
            hint="--trust imports it, if you trust who made it",
        )


def reaching_out(container: ContainerRecord) -> list[str]:
    """Return what of a container's configuration gives it, or who wrote it, power over the host; in words."""
    config, security = container.config, container.config.security
    found = (
        (config.hooks, f"commands on the host ({', '.join(event for event, _ in config.hooks)})"),
        (
            any(mount.kind == "bind" for mount in config.mounts),
            "directories of the host (" + ", ".join(one.source for one in config.mounts if one.kind == "bind") + ")",
        ),
        (security.privileged or container.first_host_id < FIRST_HOST_ID, "the host's own user ids"),
        (security.cap_add, f"more capabilities ({', '.join(security.cap_add)})"),
        (security.seccomp != "default", "another seccomp profile"),
        (config.network.network == "host", "the host's network"),
        (config.devices, f"devices ({', '.join(config.devices)})"),
    )
    return [words for asked, words in found if asked]
