"""Take away what nothing needs: mark what refs, logs and leases reach, drop the rest, pack half-empty packs anew.

The long mark runs beside writers. Then the lock is taken exclusively, what was written meanwhile is marked too, and
only then is anything dropped. First the index forgets, durably; then files go. A crash leaves garbage.
"""

import errno
import os
import sqlite3
import time
from contextlib import ExitStack

from limosa.adapters.commit_store import failures, leases, pack, record, scan, walk
from limosa.adapters.commit_store.parts import Parts
from limosa.linux import flock
from limosa.model.commit_store import GcReport, Malformed, ObjectId
from limosa.model.errors import LimosaError
from limosa.model.hints import Final
from limosa.model.value import NamedTuple

_REWRITE_BELOW: Final = 0.5  # a pack of which less than this is needed
_SPARSE_BELOW: Final = 0.5  # a frame of which fewer pages than this are needed


def ensure_indexed(parts: Parts) -> None:
    """Bring the index up to the packs, or make it again where it is missing, damaged or knows packs that are gone."""
    try:
        with parts.locked():  # a collection takes packs from the index before it removes them
            if parts.index.complete() and scan.catch_up(parts.packs, parts.index, parts.page_index, parts.hasher):
                return
    except sqlite3.OperationalError:  # busy, no space: nothing is wrong with the file
        raise
    except sqlite3.DatabaseError:
        pass
    with flock.locked(f"{parts.root}/lock"):
        parts.index.refresh()
        if not parts.index.complete() or not _caught_up(parts):
            rebuild(parts)


def _caught_up(parts: Parts) -> bool:
    try:
        return scan.catch_up(parts.packs, parts.index, parts.page_index, parts.hasher)
    except sqlite3.DatabaseError:
        return False


def rebuild(parts: Parts) -> None:
    """Make the index from the packs. The lock is held exclusively.

    What a collection had dropped is still in the packs; it is dropped again, since what it names may be gone.
    """
    parts.quicken()
    parts.renew_index()
    parts.index.being_made = True
    try:
        scan.catch_up(parts.packs, parts.index, parts.page_index, parts.hasher)
        marked = _Marked(parts)
        try:
            marked.continue_from_roots()
        except (LimosaError, Malformed):
            pass  # a damaged commit: keep all that there is, for `verify` to tell
        else:
            with parts.index.changing():
                parts.index.drop_objects(marked.unneeded())
        parts.index.set_complete()
        parts.index.sync()
    finally:
        parts.index.being_made = False


class _Marked:
    """What is needed, as far as it was followed."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._walk = walk.Walk(parts.load)
        self._commits: set[ObjectId] = set()
        self.kept_commits = 0

    def continue_from_roots(self) -> None:
        """Follow refs, logs and leases, past what was followed before. Raises: LimosaError, Malformed: damage."""
        parts = self._parts
        refs = parts.refs
        named = set(refs.all().values()) | leases.held(parts.leases)
        forgotten = refs.forgotten() - named
        self.kept_commits = 0
        for commit_id, commit in walk.history(parts.load, named | refs.logged(), parts.index.has):
            self._commits.add(commit_id)
            if commit_id not in forgotten:
                self.kept_commits += 1
                self._walk.manifest(commit.manifest)

    def unneeded(self) -> list[ObjectId]:
        """Return the objects that were not reached."""
        return [object_id for object_id, _ in self._parts.index.ids() if not self.needs(object_id)]

    def needs(self, object_id: ObjectId) -> bool:
        """Say whether an object was reached."""
        return object_id in self._walk.objects or object_id in self._walk.frames or object_id in self._commits

    def slots(self, frame: ObjectId) -> int:
        """Return the mask of the pages of a frame that were reached."""
        return self._walk.frames.get(frame, 0)


def collect(parts: Parts, *, log_before_ns: int, wait_s: float) -> GcReport:
    """Do what `CommitStore.collect` says."""
    parts.quicken()
    parts.refs.expire_logs(log_before_ns)
    marked = _Marked(parts)
    parts.progress("looking for what commits need", 0, 0)
    try:
        marked.continue_from_roots()
        with ExitStack() as stack:
            _lock(stack, f"{parts.root}/lock", wait_s)
            scan.catch_up(parts.packs, parts.index, parts.page_index, parts.hasher)
            marked.continue_from_roots()  # what was written meanwhile; what was forgotten meanwhile stays till the next
            return _sweep(parts, marked)
    except Malformed as why:
        raise failures.damaged(ObjectId(bytes(32)), f"a node is not what the format says: {why}") from why


def _lock(stack: ExitStack, path: str, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            stack.enter_context(flock.locked(path, blocking=False))
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise failures.busy("the store cannot be collected") from None
            time.sleep(0.02)


class _Rewritten(NamedTuple):
    """A pack that takes the place of others."""

    name: str
    end: int
    records: list[scan.Described]


def _sweep(parts: Parts, marked: _Marked) -> GcReport:
    index = parts.index
    unneeded = marked.unneeded()
    sizes = pack.names(parts.packs)
    with index.changing():
        index.drop_objects(unneeded)
    live = _needed_bytes(parts, marked)
    empty = [name for name in sizes if not live.get(name)]
    thin = _thin(sizes, live)
    try:
        rewritten = _rewrite(parts, marked, thin)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        rewritten, thin = None, []  # no space for a copy: what is wholly empty goes all the same
    rows: list[int] = []
    with index.changing():
        if rewritten is not None:
            rows = index.move(rewritten.name, rewritten.end, [item.new for item in rewritten.records])
        for name in (*empty, *thin, *(name for name in index.packs() if name not in sizes)):
            if rewritten is None or name != rewritten.name:
                index.drop_pack(name)
    index.sync()
    for name in (*empty, *thin):
        os.unlink(f"{parts.packs}/{name}")
    _cut_torn_ends(parts, sizes)
    parts.objects.forget_packs()
    if rewritten is not None:
        scan.enter_pages(parts.page_index, rows, rewritten.records)
    if unneeded or thin:
        parts.page_index.keep_only(index.record_numbers())
    _forget_forgotten(parts)
    after = sum(pack.names(parts.packs).values())
    freed = sum(sizes.values()) - after
    return GcReport(marked.kept_commits, len(unneeded), len(empty), len(thin), freed)


def _thin(sizes: dict[str, int], needed: dict[str, float]) -> list[str]:
    """Return packs to write anew, as many as fit into one; the rest is for the next collection."""
    thin: list[str] = []
    total = 0.0
    for name in sorted(sizes, key=lambda name: needed.get(name, 0)):
        if needed.get(name) and needed[name] < _REWRITE_BELOW * sizes[name]:
            total += needed[name]
            if thin and total > pack.MAX_PACK_BYTES:
                break
            thin.append(name)
    return thin


def _needed_bytes(parts: Parts, marked: _Marked) -> dict[str, float]:
    """Return, for each pack that has something needed, about how many bytes of it writing it anew would keep."""
    needed: dict[str, float] = dict(parts.index.live_bytes())
    for frame, name, record_bytes, n_stored in parts.index.frames():
        share = marked.slots(frame).bit_count() / n_stored
        if share < _SPARSE_BELOW:
            needed[name] -= record_bytes * (1 - share)
    return needed


def _cut_torn_ends(parts: Parts, sizes: dict[str, int]) -> None:
    """Give back what dead writers left after the last whole record of packs, which nobody appends to now."""
    for name, end in parts.index.packs().items():
        if pack.HEAD_BYTES <= end < sizes.get(name, 0):
            os.truncate(f"{parts.packs}/{name}", end)


def _forget_forgotten(parts: Parts) -> None:
    """Take commits that are gone altogether from the list of the forgotten."""
    with parts.refs.changing():
        forgotten = parts.refs.forgotten()
        kept = {commit for commit in forgotten if parts.index.has(commit)}
        if kept != forgotten:
            parts.refs.set_forgotten(kept)


def _rewrite(parts: Parts, marked: _Marked, names: list[str]) -> _Rewritten | None:
    """Write what is needed of some packs into a new one, and return when it is on disk."""
    if not names:
        return None
    target = pack.PackWriter.create(parts.packs, parts.hasher.key_id)
    records: list[scan.Described] = []
    try:
        for name in names:
            for offset, record_bytes in parts.index.records_of(name):
                try:
                    header, data = scan.record_at(parts.packs, name, offset, record_bytes)
                    data = _needed_part(parts, marked, name, offset, header, data)
                    header = record.parse_header(data)
                except Malformed as why:
                    raise failures.damaged(_an_object(parts, name, offset), str(why)) from why
                records.append(scan.describe(target.append(data), header, data))
                parts.progress("packing commits anew", target.end, 0)
        target.sync()
    except BaseException:
        target.abandon()
        raise
    target.close()
    return _Rewritten(target.name, target.end, records)


def _an_object(parts: Parts, name: str, offset: int) -> ObjectId:
    """Return an object of a record whose own header may be damaged, for a message."""
    return next(iter(parts.index.objects_of(name, offset)), ObjectId(bytes(32)))


def _needed_part(parts: Parts, marked: _Marked, name: str, offset: int, header: record.Header, data: bytes) -> bytes:
    """Return a record with what is needed of it: whole if that is most of it."""
    hasher = parts.hasher
    if header.kind == record.BUNDLE:
        here = set(parts.index.objects_of(name, offset))
        members = record.parse_bundle_directory(header, data)
        kept = [member for member in members if member.object_id in here]
        if len(kept) == len(members):
            return data
        plain = record.plain(header, data)
        directory = record.bundle_directory([(member.kind, member.object_id, member.size) for member in kept])
        content = b"".join(plain[member.start : member.start + member.size] for member in kept)
        return record.build_from(hasher, record.BUNDLE, hasher.of("bundle", directory), len(kept), directory, content)
    needed = marked.slots(header.record_id)
    directory_now = record.parse_frame_directory(header, data)
    n_stored = header.members - len(directory_now.dropped)
    if needed.bit_count() >= _SPARSE_BELOW * n_stored:
        return data
    pages = record.frame_pages(hasher, header, data)
    return _sparse_frame(parts, header, directory_now, pages, needed)


def _sparse_frame(
    parts: Parts, header: record.Header, before: record.FrameDirectory, pages: list[memoryview | None], needed: int
) -> bytes:
    """Return a frame's record with only the pages of the mask `needed`, and the same id."""
    hasher = parts.hasher
    digests = []
    kept = []
    dropped = set()
    for slot, page in enumerate(pages):
        digests.append(before.dropped[slot] if page is None else hasher.page(page))
        if page is not None and needed >> slot & 1:
            kept.append(page)
        else:
            dropped.add(slot)
    directory = record.frame_directory(digests, frozenset(dropped))
    return record.build_from(hasher, record.FRAME, header.record_id, len(pages), directory, b"".join(kept))
