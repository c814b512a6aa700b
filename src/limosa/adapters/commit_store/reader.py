"""Read one commit."""

from collections.abc import Iterator

from limosa.adapters.commit_store import failures
from limosa.adapters.commit_store.objects import ObjectReader
from limosa.model import page_map, sorted_map, store_codec
from limosa.model.commit_store import (
    MAX_PAGE,
    PAGE_BYTES,
    Blob,
    Commit,
    Entry,
    Inline,
    Malformed,
    ObjectId,
    PageMap,
    PageRun,
)


class Reader:
    """One commit, on which its maker holds a lease."""

    def __init__(self, objects: ObjectReader, commit_id: ObjectId, commit: Commit) -> None:
        self._objects = objects
        self.commit_id = commit_id
        self.commit = commit

    def _load(self, node: ObjectId) -> bytes:
        return self._objects.read("node", node)

    def _damaged(self, why: Malformed) -> Exception:
        return failures.damaged(self.commit_id, f"a node of it is not what the format says: {why}")

    def entry(self, key: bytes) -> Entry | None:
        """Return an entry, None if there is none."""
        try:
            value = sorted_map.get(self._load, self.commit.manifest, key)
            return store_codec.decode_entry(value) if value is not None else None
        except Malformed as why:
            raise self._damaged(why) from why

    def entries(self, prefix: bytes = b"", start: bytes = b"") -> Iterator[tuple[bytes, Entry]]:
        """Yield the entries whose keys begin with `prefix`, from the key `start` on, in order."""
        try:
            for key, value in sorted_map.items(self._load, self.commit.manifest, start, prefix):
                yield key, store_codec.decode_entry(value)
        except Malformed as why:
            raise self._damaged(why) from why

    def content(self, entry: Entry) -> bytes:
        """Return the whole content of an entry that is inline or a blob."""
        content = entry.content
        if isinstance(content, Inline):
            return content.data
        if not isinstance(content, Blob):
            raise ValueError("content in pages is read by read_pages")
        return self._objects.read("blob", content.blob)

    def page_runs(self, pages: PageMap, first_page: int = 0, end_page: int = MAX_PAGE) -> Iterator[PageRun]:
        """Yield where the pages of a map are, in order; what is not yielded is zero."""
        try:
            yield from page_map.runs(self._load, pages, first_page, end_page)
        except Malformed as why:
            raise self._damaged(why) from why

    def read_pages(self, pages: PageMap, first_page: int, n_pages: int) -> bytearray:
        """Return pages, zero ones included."""
        found = bytearray(n_pages * PAGE_BYTES)
        for run in self.page_runs(pages, first_page, first_page + n_pages):
            at = (run.first_page - first_page) * PAGE_BYTES
            found[at : at + run.n_pages * PAGE_BYTES] = self.read_run(run)
        return found

    def read_run(self, run: PageRun) -> memoryview:
        """Return the pages of a run."""
        return self._objects.pages(run.frame, run.slot, run.n_pages)
