"""Read every record and check it against its digests; say what damage affects: commits, paths, memory ranges."""

import os
from collections.abc import Iterable

from limosa.adapters.commit_store import pack, record, walk
from limosa.adapters.commit_store.parts import Parts
from limosa.model import store_codec as codec
from limosa.model.commit_store import (
    Affected,
    Blob,
    Commit,
    Damage,
    Malformed,
    Manifest,
    ObjectId,
    Paged,
    PageMap,
    VerifyReport,
)
from limosa.model.errors import LimosaError
from limosa.model.hints import Final
from limosa.model.page_map import span

_MISSING: Final = "no pack has it"
_MOST_AFFECTED: Final = 9_000  # places that are told; a tree of a stranger may name one object in 10**15


def verify(parts: Parts, commits: Iterable[ObjectId] | None) -> VerifyReport:
    """Do what `CommitStore.verify` says. Commits: those given, else all that a ref, a log or a lease keeps."""
    bad: dict[ObjectId, tuple[str, str]] = {}  # what, why
    n_records = bytes_read = 0
    torn = []
    parts.quicken()
    with parts.locked():
        known = parts.index.packs()
        sizes = pack.names(parts.packs)
        for name, size in sorted(sizes.items()):
            found = _check_pack(parts, name, bad, bytes_read, sum(sizes.values()))
            n_records += found[0]
            bytes_read += found[1]
            if size > known.get(name, 0) and not _in_use(parts, name):
                torn.append(name)
        if commits is None:
            starts = set(parts.refs.all().values()) | parts.refs.logged()
            forgotten = parts.refs.forgotten()
            wanted = list(walk.history(_tolerant(parts, bad), starts, parts.index.has))
            checked = [(commit_id, commit) for commit_id, commit in wanted if commit_id not in forgotten]
            for commit_id in set(parts.refs.all().values()) - {one for one, _ in wanted}:
                bad[commit_id] = ("commit", _MISSING)  # its pack was cut off or is gone: no record tells of it
                checked.append((commit_id, Commit((), Manifest(), 0)))
        else:
            load = _tolerant(parts, bad)
            checked = [(commit_id, codec.decode_commit(load("commit", commit_id))) for commit_id in commits]
        survey = _Survey(parts, bad)
        for commit_id, commit in checked:
            survey.look_at(commit_id, commit.manifest)
    damages = tuple(
        Damage(object_id, what, why, tuple(survey.affected.get(object_id, ())))
        for object_id, (what, why) in sorted(bad.items())
    )
    return VerifyReport(n_records, bytes_read, len(checked), damages, tuple(torn))


def _tolerant(parts: Parts, bad: dict[ObjectId, tuple[str, str]]) -> walk.Load:
    """Return a loader that notes a damaged commit and gives an empty one, which ends its branch of the history."""

    def load(kind: str, object_id: ObjectId) -> bytes:
        try:
            data = parts.load(kind, object_id)
            codec.decode_commit(data)
            return data
        except (LimosaError, Malformed) as why:
            bad.setdefault(object_id, (kind, str(getattr(why, "cause", why))))
            return codec.encode_commit(Commit((), Manifest(), 0))

    return load


def _in_use(parts: Parts, name: str) -> bool:
    try:
        descriptor = os.open(f"{parts.packs}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        return not pack.try_lock(descriptor, exclusive=False)
    finally:
        os.close(descriptor)


def _check_pack(
    parts: Parts, name: str, bad: dict[ObjectId, tuple[str, str]], done_bytes: int, total_bytes: int
) -> tuple[int, int]:
    """Check the records of a pack that have objects; return how many, and their bytes.

    `done_bytes` of `total_bytes` were read before: for progress.
    """
    records = parts.index.records_of(name)
    try:
        descriptor = os.open(f"{parts.packs}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0, 0
    try:
        for offset, record_bytes in records:
            done_bytes += record_bytes
            parts.progress("checking commits", done_bytes, total_bytes)
            objects = parts.index.objects_of(name, offset)
            try:
                data = os.pread(descriptor, record_bytes, offset)
                header = record.parse_header(data)
                record.check(header, data)
                check_content(parts, header, data)
            except (Malformed, OSError) as why:
                for object_id in objects:
                    place = parts.index.place(object_id)
                    bad[object_id] = (place.kind if place else "object", f"{name} at {offset}: {why}")
    finally:
        os.close(descriptor)
    return len(records), sum(record_bytes for _, record_bytes in records)


def check_content(parts: Parts, header: record.Header, data: bytes) -> list[tuple[record.Member, bytes]]:
    """Check everything in a record against its digest; return the objects of a bundle. Raises: Malformed."""
    if header.key_id != parts.hasher.key_id:
        raise Malformed("a record of another key")
    if header.kind == record.FRAME:
        record.frame_pages(parts.hasher, header, data)
        return []
    members = record.parse_bundle_directory(header, data)
    plain = record.plain(header, data)
    contents = [(member, plain[member.start : member.start + member.size]) for member in members]
    for member, content in contents:
        if parts.hasher.of(member.kind, content) != member.object_id:
            raise Malformed(f"a {member.kind} has another digest than its bundle says")
    return contents


class _Survey:
    """Finds where damaged objects are needed. Subtrees in which nothing is damaged are read once."""

    def __init__(self, parts: Parts, bad: dict[ObjectId, tuple[str, str]]) -> None:
        self._parts = parts
        self._bad = bad
        self._clean: set[ObjectId] = set()
        self._left = _MOST_AFFECTED
        self.affected: dict[ObjectId, list[Affected]] = {}

    def look_at(self, commit_id: ObjectId, manifest: Manifest) -> None:
        """Note what of a commit is affected by damage."""
        if commit_id in self._bad:
            self._note(commit_id, Affected(commit_id, b""))
        if manifest.root is None:
            return
        data = self._node(manifest.root)
        if data is None:
            self._note(manifest.root, Affected(commit_id, b""))
            return
        try:
            level = codec.map_level(data)
        except Malformed as why:
            self._bad.setdefault(manifest.root, ("node", str(why)))
            self._note(manifest.root, Affected(commit_id, b""))
            return
        self._manifest_node(commit_id, manifest.root, level, b"")

    def _note(self, object_id: ObjectId, affected: Affected) -> None:
        self._left -= 1
        self.affected.setdefault(object_id, []).append(affected)

    def _node(self, node: ObjectId) -> bytes | None:
        if node in self._bad:
            return None
        try:
            return self._parts.load_node(node)
        except LimosaError as error:
            self._bad[node] = ("node", error.cause)
            return None

    def _manifest_node(self, commit: ObjectId, node: ObjectId, level: int, first_key: bytes) -> bool:
        """Look below a node of a manifest; say whether all of it is well."""
        if node in self._clean:
            return True
        if self._left <= 0:
            return False
        data = self._node(node)
        well = data is not None
        try:
            if data is None:
                self._note(node, Affected(commit, first_key))
            elif level == 0:
                for key, value in codec.decode_map_leaf(data):
                    well &= self._entry(commit, key, value)
            else:
                for key, child, _ in codec.decode_map_branch(data, level):
                    well &= self._manifest_node(commit, child, level - 1, key)
        except Malformed as why:
            well = False
            self._bad.setdefault(node, ("node", str(why)))
            self._note(node, Affected(commit, first_key))
        if well:
            self._clean.add(node)
        return well

    def _entry(self, commit: ObjectId, key: bytes, value: bytes) -> bool:
        content = codec.decode_entry(value).content
        if isinstance(content, Blob):
            return self._object(content.blob, "blob", Affected(commit, key))
        if isinstance(content, Paged):
            return self._page_map(commit, key, content.pages)
        return True

    def _object(self, object_id: ObjectId, what: str, affected: Affected) -> bool:
        if object_id not in self._bad:
            if object_id in self._clean or self._parts.index.has(object_id):
                self._clean.add(object_id)
                return True
            self._bad[object_id] = (what, _MISSING)
        self._note(object_id, affected)
        return False

    def _page_map(self, commit: ObjectId, key: bytes, pages: PageMap) -> bool:
        return pages.root is None or self._page_node(commit, key, pages.root, pages.height, 0)

    def _page_node(self, commit: ObjectId, key: bytes, node: ObjectId, level: int, base: int) -> bool:
        if node in self._clean:
            return True
        if self._left <= 0:
            return False
        whole = Affected(commit, key, ((base, span(level)),))
        data = self._node(node)
        well = data is not None
        try:
            if data is None:
                self._note(node, whole)
            elif level == 0:
                well = self._leaf(commit, key, data, base)
            else:
                for position, child in enumerate(codec.decode_branch(data, level)):
                    if child is not None:
                        well &= self._page_node(commit, key, child, level - 1, base + position * span(level - 1))
        except Malformed as why:
            well = False
            self._bad.setdefault(node, ("node", str(why)))
            self._note(node, whole)
        if well:
            self._clean.add(node)
        return well

    def _leaf(self, commit: ObjectId, key: bytes, data: bytes, base: int) -> bool:
        well = True
        for first, n_pages, frame, slot in codec.decode_leaf_runs(data):
            affected = Affected(commit, key, ((base + first, n_pages),))
            if self._object(frame, "frame", affected) and not self._has_pages(frame, slot, n_pages):
                self._bad[frame] = ("frame", "it lacks pages that commits need")
                self._note(frame, affected)
            well &= frame not in self._bad
        return well

    def _has_pages(self, frame: ObjectId, slot: int, n_pages: int) -> bool:
        place = self._parts.index.place(frame)
        if place is None:
            return False
        if place.start == 0:
            return slot + n_pages <= place.size // 4096
        pages = self._parts.objects.frame(frame)
        return all(page is not None for page in pages[slot : slot + n_pages]) and slot + n_pages <= len(pages)
