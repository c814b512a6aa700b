"""Commits in the store: how one is written, named, listed and forgotten.

A ref `containers/ID` is a container's latest commit, which is the parent of its next one; it outlives the container.
Tags are refs `tags/NAME`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from limosa.engine import written_check
from limosa.engine.host import Host
from limosa.model import codec, json_text
from limosa.model.commit import CommitId, CommitRecord
from limosa.model.commit_store import Commit, Entry, Manifest, ObjectId, WriteStats, container_ref
from limosa.model.container import ContainerRecord
from limosa.model.errors import LimosaError
from limosa.model.file_entry import VOLUMES_PREFIX, volume_prefix
from limosa.model.hints import Final
from limosa.model.ids import ID_DIGITS, ContainerId, checked_digest, checked_name, is_name, looks_like_id
from limosa.ports.commit_store import CommitReader, CommitWriter
from limosa.ports.memory_archive import IMAGE_PREFIX, MEMORY_PREFIX
from limosa.ports.written_pages import ProcessMemory

_NO_COMMIT: Final = "LIM-CSTORE-005"


def head(host: Host, container_id: ContainerId) -> ObjectId | None:
    """Return a container's latest commit, or the one that it was made from; None if there is none."""
    return host.store.refs().get(container_ref(container_id))


@contextmanager
def built_upon(host: Host, container_id: ContainerId) -> Iterator[CommitReader | None]:
    """Give the commit that a container's next one is built upon, open; None if there is none, or its content may go."""
    latest = head(host, container_id)
    if latest is None or latest in host.store.forgotten():
        yield None
        return
    with host.store.reading(latest) as reader:
        yield reader


def keep(
    host: Host,
    writer: CommitWriter,
    record: CommitRecord,
    criu_images: str,
    base: CommitReader | None = None,
    memories: Sequence[ProcessMemory] = (),
    witness: Sequence[ProcessMemory] = (),
) -> tuple[CommitRecord, WriteStats]:
    """Store a dump and the snapshot that belongs to it as the container's next commit; return it with its id and cost.

    `writer` is the store's, open for this commit only. Of one that is `files_only` there is no dump. `base` is its
    parent as `built_upon` gave it, `memories` what was followed, and `witness` what the commit must have.
    Raises: LimosaError LIM-CSTORE-006: the disk is full; LIM-TRACK-002: it does not have that. Nothing of it is kept,
    earlier commits are whole.
    """
    container_id = record.container.container_id
    latest = head(host, container_id)
    manifest = _manifest(host, writer, record, criu_images, base, memories)
    written = writer.stats()
    record = record._replace(read_bytes=written.read_bytes, new_bytes=written.new_bytes)
    attributes = json_text.dumps(codec.to_jsonable(record)).encode()
    parents = () if latest is None else (latest,)
    commit_id = writer.put_commit(Commit(parents, manifest, record.created_ns, attributes))
    if witness:
        written_check.check(host, commit_id, witness)
    host.store.set_ref(
        container_ref(container_id), commit_id, when_ns=host.now_ns(), why=f"checkpoint: {record.message}"
    )
    written = writer.stats()
    return record._replace(commit_id=_text(commit_id), parent=_text(latest)), written


def _manifest(
    host: Host,
    writer: CommitWriter,
    record: CommitRecord,
    criu_images: str,
    base: CommitReader | None,
    memories: Sequence[ProcessMemory],
) -> Manifest:
    memory = {} if record.files_only else host.memory_archive.save(writer, criu_images, memories, base)
    snapshot = host.storage.snapshot(record.container.container_id, record.snapshot)
    if base is None:
        files = {**memory, **host.file_archive.save(writer, snapshot), **_volumes(host, writer, record)}
        return writer.put_entries(Manifest(), files)
    edits: dict[bytes, Entry | None] = {}
    for prefix in (IMAGE_PREFIX, MEMORY_PREFIX):
        edits.update((key, None) for key, _ in base.entries(prefix))
    edits.update(memory)
    edits.update(host.file_archive.save(writer, snapshot, base, _snapshot_of(host, base)))
    edits.update(_volumes(host, writer, record, base))
    return writer.put_entries(base.commit.manifest, edits)


def _volumes(
    host: Host, writer: CommitWriter, record: CommitRecord, parent: CommitReader | None = None
) -> dict[bytes, Entry | None]:
    """Return what differs in the files of the volumes from the parent's."""
    edits: dict[bytes, Entry | None] = {}
    names = [volume.name for volume in record.volumes if volume.policy == "include"]
    if parent is not None:
        prefixes = tuple(volume_prefix(name) for name in names)
        edits.update((key, None) for key, _ in parent.entries(VOLUMES_PREFIX) if not key.startswith(prefixes))
    for name in names:
        before = ""
        if parent is not None:
            with suppress(KeyError):
                before = host.volumes.snapshot(name, described(parent.commit_id, parent.commit).snapshot)
        snapshot = host.volumes.snapshot(name, record.snapshot)
        edits.update(host.file_archive.save(writer, snapshot, parent, before, volume_prefix(name)))
    return edits


def _snapshot_of(host: Host, reader: CommitReader) -> str:
    """Return the directory of the snapshot of an open commit, "" if this machine has none."""
    said = described(reader.commit_id, reader.commit)
    try:
        return host.storage.snapshot(said.container.container_id, said.snapshot)
    except KeyError:
        return ""


def _text(commit: ObjectId | None) -> CommitId:
    return CommitId("" if commit is None else commit.hex())


def identifier(record: CommitRecord) -> ObjectId:
    """Return the store's name of a commit."""
    return ObjectId(bytes.fromhex(record.commit_id))


def described(commit_id: ObjectId, commit: Commit) -> CommitRecord:
    """Return what a commit says of itself, which may be a stranger's: names that become paths are checked.

    Raises: LimosaError LIM-COMM-003: it is not what limosa writes.
    """
    try:
        said = codec.from_jsonable(CommitRecord, json_text.loads(commit.attributes))
        _check_names(said)
    except ValueError as damage:
        raise LimosaError(
            "LIM-COMM-003",
            f"commit {commit_id.hex()[:12]} cannot be understood",
            cause=f"its description is not what this limosa writes: {damage}",
            hint="a newer limosa may have written it",
        ) from damage
    parent = commit.parents[0] if commit.parents else None
    return said._replace(commit_id=_text(commit_id), parent=_text(parent), created_ns=commit.created_ns)


def _check_names(said: CommitRecord) -> None:
    """Raises: ValueError: a name is not of its kind."""
    check_container(said.container)
    if said.snapshot and not is_name(said.snapshot):
        raise ValueError(f"{said.snapshot[:80]!r} is no name")
    for volume in said.volumes:
        checked_name(volume.name, "volume")


def check_container(container: ContainerRecord) -> None:
    """Check the names of a stranger's container that become paths. Raises: ValueError: one is not of its kind."""
    if len(container.container_id) != ID_DIGITS or not looks_like_id(container.container_id):
        raise ValueError(f"{container.container_id[:80]!r} is no container's id")
    if not is_name(container.config.name):
        raise ValueError(f"{container.config.name[:80]!r} is no name")
    for layer in container.layers:
        checked_digest(layer)


def find(host: Host, reference: str) -> CommitRecord:
    """Return the commit that a container's name, a tag, an id or its first digits mean; `~N` goes N parents back.

    A name means the container's latest commit; a container that was removed is found by the name that it had.
    Raises: LimosaError LIM-COMM-001: there is none; LIM-COMM-002: the digits mean several.
    """
    name, tilde, steps = reference.rpartition("~")
    back = f"~{steps or 1}"
    if not tilde or not name or not (steps or "1").isdecimal():
        name, back = reference, ""
    several = False
    for candidate in _candidates(host, name):
        try:
            found = host.store.resolve(f"{candidate}{back}")
            return described(found, host.store.commit(found))
        except LimosaError as unknown:
            if unknown.code != _NO_COMMIT:
                raise
            several = several or "ids begin" in unknown.cause
    if several:
        raise LimosaError("LIM-COMM-002", f"{reference!r} means several commits", hint="give more digits of the id")
    raise LimosaError(
        "LIM-COMM-001", f"there is no commit {reference!r}", hint="limosa log lists them; limosa checkpoint makes one"
    )


def _candidates(host: Host, name: str) -> Iterator[str]:
    """Yield what a name may mean to the store, likelier things first; removed containers take a look at every ref."""
    try:
        container = host.containers.find(name)
    except LimosaError:
        container = None
    if container is not None and (container.config.name == name or head(host, container.container_id)):
        yield container_ref(container.container_id)
    yield name
    yield from (container_ref(gone) for gone in _removed(host, name))


def _removed(host: Host, name: str) -> list[ContainerId]:
    """Return the containers that had a name when their latest commit was made, the latest first."""
    found = []
    for ref, commit_id in host.store.refs().items():
        kind, _, container_id = ref.partition("/")
        if kind == "containers":
            record = described(commit_id, host.store.commit(commit_id))
            if record.container.config.name == name and record.container.container_id == container_id:
                found.append((record.created_ns, ContainerId(container_id)))
    return [container_id for _, container_id in sorted(found, reverse=True)]


def every(host: Host) -> list[CommitRecord]:
    """Return every commit that a ref leads to, oldest first."""
    return descent(host, set(host.store.refs().values()))


def descent(host: Host, heads: set[ObjectId]) -> list[CommitRecord]:
    """Return these commits and what they descend from, as far as that is here, oldest first."""
    forgotten = host.store.forgotten()
    found = [described(one, commit) for one, commit in host.store.history(heads) if one not in forgotten]
    return sorted(found, key=lambda record: record.created_ns)


def forget_all(host: Host, records: Sequence[CommitRecord], told: Callable[[CommitRecord], None]) -> None:
    """Let `gc` take commits, the last one first; `told` is called with each.

    Raises: LimosaError LIM-COMM-004: a tag names one of them; none is forgotten then.
    """
    refs = host.store.refs()
    wanted = list({record.commit_id: record for record in records}.values())
    for record in wanted:
        _require_untagged(refs, record)
    for record in reversed(wanted):
        forget(host, record)
        told(record)


def _require_untagged(refs: dict[str, ObjectId], record: CommitRecord) -> None:
    commit_id = identifier(record)
    tags = [ref.removeprefix("tags/") for ref, named in refs.items() if named == commit_id and ref.startswith("tags/")]
    if tags:
        raise LimosaError(
            "LIM-COMM-004",
            f"commit {record.commit_id[:12]} is tagged",
            cause=f"{', '.join(tags)} would lead nowhere",
            hint=f"limosa untag {tags[0]} first",
        )


def forget(host: Host, record: CommitRecord) -> None:
    """Let `gc` take a commit; descendants stay. A ref that named it goes to its parent; tags of it are refused.

    Raises: LimosaError LIM-COMM-004: a tag names it; nothing changed.
    """
    commit_id = identifier(record)
    refs = host.store.refs()
    _require_untagged(refs, record)
    names = [ref for ref, named in refs.items() if named == commit_id]
    forgotten = host.store.forgotten()
    parent = ObjectId(bytes.fromhex(record.parent)) if record.parent else None
    there = {one for one, _ in host.store.history({commit_id})}
    while parent is not None and parent in forgotten & there:
        parents = host.store.commit(parent).parents
        parent = parents[0] if parents else None
    if parent not in there:  # it came from another store without its ancestors
        parent = None
    for ref in names:
        host.store.set_ref(ref, parent, when_ns=host.now_ns(), why="forget", expected=commit_id)
    host.store.forget([commit_id])
    host.storage.prepare()
    host.storage.drop_snapshot(record.container.container_id, record.snapshot)
    host.volumes.drop_snapshots(record.snapshot)


def owner(host: Host, reference: str) -> ContainerId:
    """Return the container that a name or id means, also one that was removed. Raises: LimosaError LIM-COMM-001."""
    try:
        return host.containers.find(reference).container_id
    except LimosaError:
        return find(host, reference).container.container_id


def history_of(host: Host, container_id: ContainerId) -> list[CommitRecord]:
    """Return what a container's latest commit descends from, oldest first; it begins before a fork."""
    latest = head(host, container_id)
    return [] if latest is None else descent(host, {latest})


def family_of(host: Host, container_id: ContainerId) -> list[CommitRecord]:
    """Return all commits that share an ancestor with a container's history, its forks' and originals', oldest first."""
    own = {record.commit_id for record in history_of(host, container_id)}
    found = every(host)
    known = {record.commit_id: record for record in found}
    root_of: dict[CommitId, CommitId] = {}
    for record in found:
        path = [record.commit_id]
        while path[-1] not in root_of and known[path[-1]].parent in known:
            path.append(known[path[-1]].parent)
        root = root_of.get(path[-1], path[-1])
        root_of.update(dict.fromkeys(path, root))
    roots = {root_of[one] for one in own}
    return [record for record in found if root_of[record.commit_id] in roots]


def heads(host: Host) -> dict[CommitId, list[str]]:
    """Return the names of the containers that stand at each commit: made it last, or came from it."""
    names = {record.container_id: record.config.name for record in host.containers.all()}
    found: dict[CommitId, list[str]] = {}
    for ref, commit_id in host.store.refs().items():
        kind, _, container_id = ref.partition("/")
        name = names.get(ContainerId(container_id))
        if kind == "containers" and name is not None:
            found.setdefault(_text(commit_id), []).append(name)
    return found


def require_free_tag(host: Host, name: str) -> None:
    """Raise what `tag` would raise for a commit that is yet to be made."""
    named = host.store.refs().get(f"tags/{checked_name(name, 'tag')}")
    if named is None:
        _require_own_meaning(host, name)
    if named is not None:
        raise LimosaError(
            "LIM-COMM-005",
            f"the tag {name!r} is in use",
            cause=f"it names commit {named.hex()[:12]}",
            hint=f"limosa untag {name} first",
        )


def _require_own_meaning(host: Host, name: str) -> None:
    """Raise LimosaError LIM-COMM-025 if a name that is no tag means a container or a commit already."""
    try:
        container = host.containers.find(name).config.name
    except LimosaError:
        try:
            meant = f"the id {host.store.resolve(name).hex()[:12]} of a commit begins so"
        except LimosaError as unknown:
            if unknown.code == _NO_COMMIT and "ids begin" not in unknown.cause:
                return
            meant = "the ids of several commits begin so"
    else:
        meant = f'it means the container "{container}"'
    raise LimosaError(
        "LIM-COMM-025",
        f"{name!r} can be no tag",
        cause=f"{meant}, so that one name would have two meanings",
        hint="choose another name",
    )


def tag(host: Host, record: CommitRecord, name: str) -> None:
    """Name a commit for good.

    Raises: LimosaError LIM-NAME-001; LIM-COMM-005: another commit has the tag; LIM-COMM-025: it means a container or
    a commit already.
    """
    ref = f"tags/{checked_name(name, 'tag')}"
    if host.store.refs().get(ref) != identifier(record):
        require_free_tag(host, name)
    host.store.set_ref(ref, identifier(record), when_ns=host.now_ns(), why="tag")


def untag(host: Host, name: str) -> None:
    """Take a tag away; the commit stays. Raises: LimosaError LIM-COMM-001: there is no such tag."""
    ref = f"tags/{checked_name(name, 'tag')}"
    if ref not in host.store.refs():
        raise LimosaError("LIM-COMM-001", f"there is no tag {name!r}", hint="limosa log shows tags")
    host.store.set_ref(ref, None, when_ns=host.now_ns(), why="untag")


def tags(host: Host) -> dict[CommitId, list[str]]:
    """Return the tags of each commit that has some."""
    found: dict[CommitId, list[str]] = {}
    for ref, commit_id in host.store.refs().items():
        if ref.startswith("tags/"):
            found.setdefault(_text(commit_id), []).append(ref.removeprefix("tags/"))
    return found
