"""Write commits: pages into frames, files and nodes into bundles, each only if the store does not have it."""

from collections.abc import Generator, Iterable, Mapping, Sequence

from limosa.adapters.commit_store import failures, record
from limosa.adapters.commit_store.hashing import Hasher
from limosa.adapters.commit_store.index import Index
from limosa.adapters.commit_store.intake import Intake
from limosa.adapters.commit_store.objects import ObjectReader
from limosa.adapters.commit_store.reading import Steps
from limosa.adapters.commit_store.sorting import Counts, MakeSorter, Sorter
from limosa.model import page_map, sorted_map, store_codec
from limosa.model.commit_store import (
    MAX_BLOB_BYTES,
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
from limosa.model.page_runs import Run
from limosa.ports.commit_store import Buffer, NewMap, Unread

_BUNDLE_BYTES: Final = 256 << 10
_BUNDLE_MEMBERS: Final = 1024
_FLUSH_PAGES: Final = 1 << 18  # what is remembered of one writer's pages before they go to the index


class Writer:
    """One command's writing. The store's lock is held by whoever made this."""

    def __init__(
        self, intake: Intake, index: Index, objects: ObjectReader, hasher: Hasher, make_sorter: MakeSorter
    ) -> None:
        self._intake, self._index, self._objects, self._hasher = intake, index, objects, hasher
        self._make_sorter = make_sorter
        self._sorter: Sorter | None = None
        self._blobs: list[tuple[str, ObjectId, bytes]] = []
        self._nodes: list[tuple[str, ObjectId, bytes]] = []
        self._blob_bytes = self._node_bytes = 0
        self._unflushed: dict[ObjectId, bytes] = {}  # nodes, which are read again, with their content; others without
        self._new_objects = self._blobs_seen_bytes = self._blobs_new_bytes = 0

    def stats(self) -> WriteStats:
        """Return what was written so far."""
        pages = self._sorter.counts if self._sorter is not None else Counts()
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
        self, base: PageMap, writes: Iterable[tuple[int, Buffer] | Unread], zero: Sequence[Run] = ()
    ) -> PageMap:
        """Return `base` with pages replaced; see the port."""
        (made,) = self.put_maps([NewMap(base, writes, zero)])
        return made

    def put_maps(self, maps: Iterable[NewMap]) -> Generator[PageMap, None, None]:
        """Yield each map; see the port."""
        sorter = self._page_sorter()
        reading = Steps(sorter, self._intake.submit)
        steps = reading.of(maps)
        now = PageMap()
        try:
            for step in steps:
                if step.begins is not None:
                    sorter.begin()
                    now = self._changed(
                        step.begins.base, [page_map.Change(*run, None) for run in sorted(step.begins.zero)]
                    )
                elif step.is_batch:
                    sorter.sort(step.runs, step.looked())
                    if sorter.n_new > _FLUSH_PAGES:
                        self.flush()
                    if sorter.n_runs > _FLUSH_PAGES:
                        now = self._changed(now, sorter.finished())
                else:
                    yield self._changed(now, sorter.finished())
        finally:
            steps.close()

    def _changed(self, pages: PageMap, changes: Sequence[page_map.Change]) -> PageMap:
        return page_map.update(self._load_node, self._save_node, pages, changes)

    def rest(self) -> None:
        """Have no threads until it is used again; see the port."""
        self._intake.rest()

    def _page_sorter(self) -> Sorter:
        if self._sorter is None:
            self._sorter = self._make_sorter(self._intake.put_frame)
        return self._sorter

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
        if self._sorter is not None:
            self._sorter.forget()
        self._close_nodes()
        self._intake.flush()
        self._unflushed.clear()
