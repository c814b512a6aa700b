"""Send commits to another store, write them to a file, take them from there: only what the other side lacks.

What comes from elsewhere is checked before it is kept: each record against its digests, each node for what it names.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

from limosa.adapters.commit_store import failures, pack, record, scan, walk
from limosa.adapters.commit_store.intake import Intake
from limosa.adapters.commit_store.parts import Parts
from limosa.adapters.commit_store.verify import check_content
from limosa.model import store_codec
from limosa.model.commit_store import PAGE_BYTES, Malformed, ObjectId
from limosa.model.hints import Final
from limosa.ports.commit_store import Remote

_BUNDLE_BYTES: Final = 256 << 10
Known = Callable[[Sequence[ObjectId]], set[ObjectId]]


def push(
    parts: Parts, commits: Sequence[ObjectId], remote: Remote, refs: Mapping[str, ObjectId], *, when_ns: int
) -> int:
    """Do what `CommitStore.push` says."""
    if remote.key_id() != parts.hasher.key_id:
        raise failures.other_key("the other store")
    sent = 0
    with parts.locked(), remote.receiving() as receiver:
        for data in _records(parts, commits, remote.known):
            receiver.put_record(data)
            sent += len(data)
            parts.progress("sending commits", sent, 0)
        receiver.finish(refs, when_ns=when_ns, why="push")
    return sent


def export(parts: Parts, commits: Sequence[ObjectId], path: str, *, with_key: bool = False) -> int:
    """Do what `CommitStore.export` says, under this store's own key, which `with_key` puts into the file."""
    unfinished = f"{path}.{os.getpid()}.new"
    try:
        with parts.locked(), open(unfinished, "xb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(pack.head(parts.hasher.key_id, parts.hasher.key if with_key else None))
            for data in _records(parts, commits, lambda ids: set()):
                file.write(data)
                parts.progress("writing commits", file.tell(), 0)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        os.rename(unfinished, path)
    except BaseException:
        if os.path.exists(unfinished):
            os.unlink(unfinished)
        raise
    return size


def key_of(path: str) -> tuple[bytes, bytes | None]:
    """Return the key id of an exported file, and its key if it brings it. Raises: LimosaError LIM-CSTORE-010."""
    with open(path, "rb") as file:
        try:
            return pack.parse_head(file.read(pack.HEAD_BYTES))
        except Malformed as why:
            raise failures.malformed_pack(path, str(why)) from why


def import_file(parts: Parts, path: str) -> list[ObjectId]:
    """Take the commits of a file of this store's key."""
    import time

    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with receiving(parts, path) as receiver:
            size_bytes = os.fstat(descriptor).st_size
            done_bytes = pack.HEAD_BYTES
            for _, _, data in pack.scan(descriptor, pack.HEAD_BYTES, size_bytes):
                receiver.put_record(data)
                done_bytes += len(data)
                parts.progress("reading commits", done_bytes, size_bytes)
            refs = {f"imported/{commit.hex()[:24]}": commit for commit in receiver.commits}
            receiver.finish(refs, when_ns=time.time_ns(), why="import")
            return list(receiver.commits)
    except Malformed as why:
        raise failures.malformed_pack(path, str(why)) from why
    finally:
        os.close(descriptor)


# Sending


def _records(parts: Parts, commits: Sequence[ObjectId], known: Known) -> Iterator[bytes]:
    """Yield the records of what the other side lacks; what an object names comes before it."""
    lacking = _lacking(parts, commits, known)
    frames = [object_id for object_id, (kind, _) in lacking.items() if kind == "frame"]
    for frame in frames:
        yield _frame_record(parts, frame)
    others = [(rank, kind, object_id) for object_id, (kind, rank) in lacking.items() if kind != "frame"]
    bundle: list[tuple[str, ObjectId, bytes]] = []
    size = 0
    for _, kind, object_id in sorted(others, key=lambda item: item[0]):
        data = parts.load(kind, object_id)
        if bundle and (size + len(data) > _BUNDLE_BYTES or len(bundle) == record.MAX_MEMBERS):
            yield _bundle_record(parts, bundle)
            bundle, size = [], 0
        bundle.append((kind, object_id, data))
        size += len(data)
    if bundle:
        yield _bundle_record(parts, bundle)


def _lacking(parts: Parts, commits: Sequence[ObjectId], known: Known) -> dict[ObjectId, tuple[str, int]]:
    """Return (kind, rank) of what the other side lacks, asking for one generation at a time.

    Whoever has an object has all that it names, so nothing below a known one is looked at.
    """
    lacking: dict[ObjectId, tuple[str, int]] = {}
    generation = dict.fromkeys(commits, ("commit", walk.RANK_COMMIT))
    while generation:
        have = known(list(generation))
        following: dict[ObjectId, tuple[str, int]] = {}
        for object_id, (kind, rank) in generation.items():
            if object_id in have:
                continue
            lacking[object_id] = (kind, rank)
            if kind == "commit":
                root = store_codec.decode_commit(parts.load(kind, object_id)).manifest.root
                if root is not None:
                    following[root] = ("node", walk.rank_of_manifest(parts.load_node(root)))
            elif kind == "node":
                named = walk.named_by_node(parts.load_node(object_id), rank)
                following.update((frame, ("frame", walk.RANK_DATA)) for frame in named.frames)
                following.update((below, (kind_below, rank_below)) for kind_below, below, rank_below in named.objects)
        generation = {object_id: what for object_id, what in following.items() if object_id not in lacking}
    return lacking


def _frame_record(parts: Parts, frame: ObjectId) -> bytes:
    place = parts.index.place(frame)
    if place is None:
        raise failures.missing(frame)
    try:
        header, data = scan.record_at(parts.packs, place.pack, place.offset, place.record_bytes)
        record.frame_pages(parts.hasher, header, data)
    except Malformed as why:
        raise failures.damaged(frame, str(why)) from why
    return data


def _bundle_record(parts: Parts, members: list[tuple[str, ObjectId, bytes]]) -> bytes:
    directory = record.bundle_directory([(kind, object_id, len(data)) for kind, object_id, data in members])
    content = b"".join(data for _, _, data in members)
    record_id = parts.hasher.of("bundle", directory)
    return record.build_from(parts.hasher, record.BUNDLE, record_id, len(members), directory, content)


# Receiving


class DirectoryRemote:
    """A store in another directory of this machine."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def key_id(self) -> bytes:
        """Return which key its ids are made with."""
        return self._parts.hasher.key_id

    def known(self, ids: Sequence[ObjectId]) -> set[ObjectId]:
        """Return those of `ids` that it has with all that they name."""
        return complete(self._parts, ids)

    def receiving(self) -> AbstractContextManager["Receiver"]:
        """Open it for records."""
        return receiving(self._parts, "what the other store sent")


def complete(parts: Parts, ids: Sequence[ObjectId]) -> set[ObjectId]:
    """Return those of `ids` that are there with all that they name: no frame that lacks pages, no forgotten commit."""
    return parts.index.known_whole(ids) - parts.refs.forgotten()


@contextmanager
def receiving(parts: Parts, source: str) -> Iterator["Receiver"]:
    """Open a store for records from `source`, a name for messages. What is not finished is taken back."""
    parts.quicken()
    with parts.locked():
        intake = parts.intake()
        receiver = Receiver(parts, intake, source)
        try:
            yield receiver
        finally:
            intake.close()


class Receiver:
    """Checks records and takes those that the store lacks."""

    def __init__(self, parts: Parts, intake: Intake, source: str) -> None:
        self._parts, self._intake, self._source = parts, intake, source
        self._frames: dict[ObjectId, int] = {}  # came: the mask of pages that they have
        self._objects: dict[ObjectId, str] = {}  # came: their kinds
        self.commits: list[ObjectId] = []

    def put_record(self, data: bytes) -> None:
        """Take a record of a pack; what it names was put before."""
        try:
            header = record.parse_header(data)
            record.check(header, data)
            contents = check_content(self._parts, header, data)
            for member, content in contents:
                self._check_named(member.kind, content)
                self._objects[member.object_id] = member.kind
                if member.kind == "commit":
                    self.commits.append(member.object_id)
            if header.kind == record.FRAME:
                if self._parts.index.known_whole([header.record_id]):
                    return
                header, data = self._united(header, data)
                directory = record.parse_frame_directory(header, data)
                whole = (1 << header.members) - 1
                self._frames[header.record_id] = whole & ~sum(1 << slot for slot in directory.dropped)
            else:
                new = [(item, content) for item, content in contents if not self._parts.index.has(item.object_id)]
                if not new:
                    return
                if len(new) < len(contents):
                    data = _bundle_record(self._parts, [(item.kind, item.object_id, content) for item, content in new])
                    header = record.parse_header(data)
            self._intake.put_record(scan.describe(0, header, data), data)
        except Malformed as why:
            raise failures.malformed_pack(self._source, str(why)) from why

    def _united(self, header: record.Header, data: bytes) -> tuple[record.Header, bytes]:
        """Return a frame's record with the pages that it lacks and this store has."""
        place = self._parts.index.place(header.record_id)
        dropped = record.parse_frame_directory(header, data).dropped
        if place is None or place.kind != "frame" or not dropped:
            return header, data
        hasher = self._parts.hasher
        own = self._parts.objects.frame(header.record_id)
        came = record.frame_pages(hasher, header, data)
        pages = [page if page is not None else own[slot] for slot, page in enumerate(came)]
        digests = [dropped[slot] if page is None else hasher.page(page) for slot, page in enumerate(pages)]
        missing = frozenset(slot for slot, page in enumerate(pages) if page is None)
        directory = record.frame_directory(digests, missing)
        content = b"".join(page for page in pages if page is not None)
        united = record.build_from(hasher, record.FRAME, header.record_id, len(pages), directory, content)
        return record.parse_header(united), united

    def _check_named(self, kind: str, content: bytes) -> None:
        """Raises: Malformed: a node or commit names something that neither came nor is here."""
        if kind == "blob":
            return
        if kind == "commit":
            root = store_codec.decode_commit(content).manifest.root
            named = walk.Named()
            if root is not None:
                named.objects.append(("node", root, 0))
        else:
            named = walk.named_by_node(content, walk.guessed_rank(content))
        for kind_below, below, _ in named.objects:
            if self._kind_of(below) != kind_below:
                raise Malformed(f"a {kind} names a {kind_below} that did not come before it")
        for frame, mask in named.frames.items():
            if mask & ~self._pages_of(frame):
                raise Malformed("a node names pages that did not come before it")

    def _kind_of(self, object_id: ObjectId) -> str | None:
        kind = self._objects.get(object_id)
        if kind is None:
            place = self._parts.index.place(object_id)
            kind = place.kind if place is not None else None
        return kind

    def _pages_of(self, frame: ObjectId) -> int:
        came = self._frames.get(frame)
        if came is not None:
            return came
        place = self._parts.index.place(frame)
        if place is None or place.kind != "frame":
            return 0
        if place.start == 0:
            return (1 << place.size // PAGE_BYTES) - 1
        pages = self._parts.objects.frame(frame)
        return sum(1 << slot for slot, page in enumerate(pages) if page is not None)

    def keep(self) -> None:
        """Have what was put so far on disk and known."""
        self._intake.flush()

    def finish(self, refs: Mapping[str, ObjectId], *, when_ns: int, why: str) -> None:
        """Put everything on disk, then set refs."""
        for name, commit in refs.items():
            if self._kind_of(commit) != "commit":
                raise failures.no_such_commit(name, "its commit did not come")
        self._intake.flush()
        with self._parts.refs.changing():
            forgotten = self._parts.refs.forgotten()
            if forgotten & set(self.commits):
                self._parts.refs.set_forgotten(forgotten - set(self.commits))
        for name, commit in refs.items():
            self._parts.refs.move(name, commit, when_ns=when_ns, why=why)
