"""Write commits: pages into frames, files and nodes into bundles, each only if the store does not have it."""

from collections.abc import Iterable, Mapping, Sequence

from limosa.adapters.commit_store import failures, record
from limosa.adapters.commit_store.hashing import Hasher
from limosa.adapters.commit_store.index import Index
from limosa.adapters.commit_store.intake import Intake
from limosa.adapters.commit_store.objects import ObjectReader
from limosa.adapters.commit_store.page_index import PageIndex
from limosa.model import page_map, sorted_map, store_codec
from limosa.model.commit_store import (
    FRAME_PAGES,
    MAX_BLOB_BYTES,
    MAX_PAGE,
    PAGE_BYTES,
    Blob,
    Commit,
    Entry,
    Inline,
    Manifest,
    ObjectId,
    PageMap,
    WriteStats,
)
from limosa.model.hints import Final

_ZERO_PAGE: Final = bytes(PAGE_BYTES)
_BATCH_BYTES: Final = 1 << 20
_BUNDLE_BYTES: Final = 256 << 10
_BUNDLE_MEMBERS: Final = 1024
_FLUSH_PAGES: Final = 1 << 18  # what is remembered of one writer's pages before they go to the index
_PREFIX: Final = record.DIGEST_PREFIX_BYTES


class Writer:
    """One command's writing. The store's lock is held by whoever made this."""

    def __init__(self, intake: Intake, index: Index, pages: PageIndex, objects: ObjectReader, hasher: Hasher) -> None:
        self._intake, self._index, self._page_index, self._objects, self._hasher = intake, index, pages, objects, hasher
        self._blobs: list[tuple[str, ObjectId, bytes]] = []
        self._nodes: list[tuple[str, ObjectId, bytes]] = []
        self._blob_bytes = self._node_bytes = 0
        self._unflushed: dict[ObjectId, bytes] = {}  # nodes, which are read again, with their content; others without
        self._new_pages: dict[bytes, tuple[ObjectId, int]] = {}
        self._seen = self._zero = self._known = self._new = self._new_objects = 0
        self._blobs_seen_bytes = self._blobs_new_bytes = 0

    def stats(self) -> WriteStats:
        """Return what was written so far."""
        pages = (self._seen, self._zero, self._known, self._new)
        blobs = (self._blobs_seen_bytes, self._blobs_new_bytes)
        return WriteStats(*pages, self._new_objects, self._intake.stored_bytes, *blobs)

    # Objects

    def put_blob(self, data: bytes) -> Blob:
        """Store up to MAX_BLOB_BYTES as one object and return what an entry says about it."""
        if len(data) > MAX_BLOB_BYTES:
            raise ValueError(f"a blob has at most {MAX_BLOB_BYTES} bytes, not {len(data)}")
        blob = self._hasher.of("blob", data)
        self._blobs_seen_bytes += len(data)
        if self._is_new(blob):
            self._blobs_new_bytes += len(data)
            self._unflushed[blob] = b""
            self._blobs.append(("blob", blob, data))
            self._blob_bytes += len(data)
            if self._blob_bytes >= _BUNDLE_BYTES or len(self._blobs) >= _BUNDLE_MEMBERS:
                self._close_blobs()
        return Blob(blob, len(data))

    def _is_new(self, object_id: ObjectId) -> bool:
        new = object_id not in self._unflushed and not self._index.has(object_id)
        self._new_objects += new
        return new

    def _load_node(self, node: ObjectId) -> bytes:
        return self._unflushed.get(node) or self._objects.read("node", node)

    def _save_node(self, data: bytes) -> ObjectId:
        node = self._hasher.of("node", data)
        if self._is_new(node):
            self._unflushed[node] = data
            self._nodes.append(("node", node, data))
            self._node_bytes += len(data)
            if self._node_bytes >= _BUNDLE_BYTES or len(self._nodes) >= _BUNDLE_MEMBERS:
                self._close_nodes()
        return node

    def _close_blobs(self) -> None:
        if self._blobs:
            self._intake.put_bundle(self._blobs)
            self._blobs, self._blob_bytes = [], 0

    def _close_nodes(self) -> None:
        self._close_blobs()  # what nodes name comes before them
        if self._nodes:
            self._put_in_parts(self._nodes)
            self._nodes, self._node_bytes = [], 0

    def _put_in_parts(self, members: list[tuple[str, ObjectId, bytes]]) -> None:
        """Put a bundle, or several where one would be too large for its record."""
        part: list[tuple[str, ObjectId, bytes]] = []
        size = 0
        for member in members:
            if part and size + len(member[2]) > record.MAX_PLAIN_BYTES:
                self._intake.put_bundle(part)
                part, size = [], 0
            part.append(member)
            size += len(member[2])
        self._intake.put_bundle(part)

    # Pages

    def put_pages(
        self,
        base: PageMap,
        writes: Iterable[tuple[int, bytes | bytearray | memoryview]],
        zero: Sequence[tuple[int, int]] = (),
    ) -> PageMap:
        """Return `base` with pages replaced.

        `writes` are (first page, content of that page and the following ones), sorted; the content is read before the
        next is asked for, so one buffer can serve for all. `zero` are runs (first page, pages) that become zero; what
        is in both is as `writes` says.
        """
        changes = [page_map.Change(first, n_pages, None) for first, n_pages in zero]
        if changes:
            base = page_map.update(self._load_node, self._save_node, base, sorted(changes))
        frames = _Frames(self)
        end_page = 0
        for first_page, content in writes:
            view = memoryview(content).cast("B")
            if len(view) % PAGE_BYTES or first_page < end_page:
                raise ValueError(f"{len(view)} bytes from page {first_page} on are no whole pages or not in order")
            end_page = first_page + len(view) // PAGE_BYTES
            if end_page > MAX_PAGE:
                raise ValueError(f"page {end_page} is after the last page of the largest file")
            for at in range(0, len(view), _BATCH_BYTES):
                frames.add(first_page + at // PAGE_BYTES, bytes(view[at : at + _BATCH_BYTES]))
            if frames.n_runs > _FLUSH_PAGES:
                base = page_map.update(self._load_node, self._save_node, base, frames.finished())
        base = page_map.update(self._load_node, self._save_node, base, frames.finished())
        if len(self._new_pages) > _FLUSH_PAGES:
            self.flush()
        return base

    def known_pages(self, digests: Sequence[bytes]) -> list[tuple[ObjectId, int] | None]:
        """Return (frame, slot) for each digest of a page that the store has, None for the others."""
        prefixes = [digest[:_PREFIX] for digest in digests]
        places = list(map(self._new_pages.get, prefixes))
        missing = [number for number, place in enumerate(places) if place is None]
        rows = self._page_index.find_all([prefixes[number] for number in missing])
        for number, row in zip(missing, rows, strict=True):
            if row is not None:
                frame = self._objects.page_at(row[0], row[1], prefixes[number])
                if frame is not None:
                    places[number] = (frame, row[1])
        return places

    def just_put(self, digest: bytes) -> tuple[ObjectId, int] | None:
        """Return (frame, slot) of a page with this digest that was put since the last flush."""
        return self._new_pages.get(digest[:_PREFIX])

    def put_frame(self, digests: list[bytes], pages: list[bytes]) -> ObjectId:
        """Store pages that the store does not have as one frame."""
        frame = self._intake.put_frame(digests, pages)
        for slot, digest in enumerate(digests):
            self._new_pages[digest[:_PREFIX]] = (frame, slot)
        return frame

    def count(self, seen: int, zero: int, known: int, new: int) -> None:
        """Add to the statistics."""
        self._seen += seen
        self._zero += zero
        self._known += known
        self._new += new

    @property
    def hasher(self) -> Hasher:
        """The digests of this store."""
        return self._hasher

    # Commits

    def put_entries(self, base: Manifest, edits: Mapping[bytes, Entry | None]) -> Manifest:
        """Return `base` with entries set, or removed (None)."""
        values = {key: None if entry is None else store_codec.encode_entry(entry) for key, entry in edits.items()}
        for entry in edits.values():
            if entry is not None:
                self._check_present(entry)
        return sorted_map.update(self._load_node, self._save_node, base, values)

    def _check_present(self, entry: Entry) -> None:
        """Raises: LimosaError LIM-CSTORE-002: the entry names something that is not in this store."""
        content = entry.content
        if isinstance(content, Inline):
            return
        needed = content.blob if isinstance(content, Blob) else content.pages.root
        if needed is not None and needed not in self._unflushed and not self._index.has(needed):
            raise failures.missing(needed)

    def put_commit(self, commit: Commit) -> ObjectId:
        """Store a commit; it and all that it names are on disk when this returns. A ref has to follow.

        Raises: LimosaError LIM-CSTORE-002: its manifest is not in this store; LIM-CSTORE-006: the disk is full.
        """
        root = commit.manifest.root
        if root is not None and root not in self._unflushed and not self._index.has(root):
            raise failures.missing(root)
        data = store_codec.encode_commit(commit)
        commit_id = self._hasher.of("commit", data)
        self._close_nodes()
        if self._is_new(commit_id):
            self._intake.put_bundle([("commit", commit_id, data)])
        self.flush()
        return commit_id

    def flush(self) -> None:
        """Return when all that was put is on disk."""
        self._close_nodes()
        self._intake.flush()
        self._unflushed.clear()
        self._new_pages.clear()


class _Run:
    """Pages beside each other, and where they come to lie beside each other in a frame."""

    __slots__ = ("end_page", "end_slot", "first_page", "frame", "slot")

    def __init__(self, page: int, frame: ObjectId | None, slot: int) -> None:
        self.first_page, self.frame, self.slot = page, frame, slot
        self.end_page, self.end_slot = page + 1, slot + 1


def _place(runs: list[_Run], page: int, frame: ObjectId | None, slot: int) -> None:
    """Add a page to the last run if it goes on from there, else to a new one."""
    if runs:
        last = runs[-1]
        if last.end_page == page and last.end_slot == slot and last.frame == frame:
            last.end_page += 1
            last.end_slot += 1
            return
    runs.append(_Run(page, frame, slot))


class _Frames:
    """Sorts pages into known ones and frames of new ones."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._digests: list[bytes] = []
        self._pages: list[bytes] = []
        self._slots: dict[bytes, int] = {}
        self._waiting: list[_Run] = []  # for the id of the frame that is being filled
        self._placed: list[_Run] = []
        self._zero: list[_Run] = []

    def add(self, first_page: int, data: bytes) -> None:
        """Take a batch of pages; batches come in order."""
        pages = [data[at : at + PAGE_BYTES] for at in range(0, len(data), PAGE_BYTES)]
        there = [number for number, content in enumerate(pages) if content != _ZERO_PAGE]
        if len(there) < len(pages):
            for number in sorted(set(range(len(pages))).difference(there)):
                _place(self._zero, first_page + number, None, first_page + number)
        page_digest = self._writer.hasher.page
        digests = [page_digest(pages[number]) for number in there]
        new = 0
        closed = False
        for number, digest, known in zip(there, digests, self._writer.known_pages(digests), strict=True):
            place = self._writer.just_put(digest) if closed and known is None else known
            if place is not None:
                _place(self._placed, first_page + number, *place)
                continue
            slot = self._slots.get(digest)
            if slot is None:
                new += 1
                slot = self._slots[digest] = len(self._pages)
                self._digests.append(digest)
                self._pages.append(pages[number])
            _place(self._waiting, first_page + number, None, slot)
            if len(self._pages) == FRAME_PAGES:
                self._close()
                closed = True
        self._writer.count(len(pages), len(pages) - len(there), len(there) - new, new)

    def _close(self) -> None:
        frame = self._writer.put_frame(self._digests, self._pages)
        for run in self._waiting:
            run.frame = frame
        self._placed += self._waiting
        self._digests, self._pages, self._slots, self._waiting = [], [], {}, []

    @property
    def n_runs(self) -> int:
        """How many runs wait to be told."""
        return len(self._placed) + len(self._zero)

    def finished(self) -> list[page_map.Change]:
        """Close the frame and return the changes since the last call, sorted."""
        if self._pages:
            self._close()
        runs = sorted(self._placed + self._zero, key=lambda run: run.first_page)
        self._placed, self._zero = [], []
        return [
            page_map.Change(run.first_page, run.end_page - run.first_page, run.frame, run.slot if run.frame else 0)
            for run in runs
        ]
