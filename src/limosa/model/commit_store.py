"""The values of the commit store: what a manifest holds, what a commit is, what its keepers report.

docs/format.md says how each is written in bytes.
"""

from limosa.model.hints import Final, NewType
from limosa.model.value import NamedTuple

ObjectId = NewType("ObjectId", bytes)
"""32 bytes: a keyed BLAKE3 digest of a frame, a blob, a node or a commit."""

ID_BYTES: Final = 32
PAGE_BYTES: Final = 4096
FRAME_PAGES: Final = 64  # what a writer puts in a frame; a reader takes up to MAX_FRAME_PAGES
MAX_FRAME_PAGES: Final = 1024
BATCH_PAGES: Final = 256  # what is read for a writer at a time
WHOLE_FILE_BYTES: Final = 64 << 10  # a file up to this size is one blob, a larger one a page map
MAX_BLOB_BYTES: Final = 1 << 20
MAX_PAGE: Final = 1 << 51  # the last page of the largest file


def container_ref(container_id: str) -> str:
    """Return the name of the ref of a container's latest commit."""
    return f"containers/{container_id}"


class Malformed(ValueError):
    """Bytes that are not what the format says. The message says what is wrong, never where they came from."""


class PageRun(NamedTuple):
    """`n_pages` pages from `first_page` on are the pages from `slot` on of the frame `frame`."""

    first_page: int
    n_pages: int
    frame: ObjectId
    slot: int


class PageMap(NamedTuple):
    """The root of a persistent table from page numbers to pages; pages that it does not have are zero.

    `height` is the number of levels above the leaves. `root` is None for a map without pages.
    """

    height: int = 0
    root: ObjectId | None = None


class Inline(NamedTuple):
    """Content that stands in the manifest itself, for a few bytes."""

    data: bytes


class Blob(NamedTuple):
    """Content that is one object of at most MAX_BLOB_BYTES."""

    blob: ObjectId
    size_bytes: int


class Paged(NamedTuple):
    """Content in pages: the memory of a process (page number = address / 4096) or a large file.

    `size_bytes` is the file's size; it is 0 for memory, whose extent is the caller's affair.
    """

    pages: PageMap
    size_bytes: int = 0


Content = Inline | Blob | Paged


class Entry(NamedTuple):
    """One entry of a manifest. `attributes` are the caller's (docs/format.md gives those of files)."""

    attributes: bytes = b""
    content: Content = Inline(b"")


class Manifest(NamedTuple):
    """The root of a persistent sorted map from keys to entries."""

    root: ObjectId | None = None
    n_entries: int = 0


class Signature(NamedTuple):
    """Who vouches for a commit, and the proof: both as OpenSSH writes them."""

    key: str  # "ssh-ed25519 AAAA…"
    value: str  # "-----BEGIN SSH SIGNATURE-----…"


class Commit(NamedTuple):
    """What a commit object says. Its id is the digest of this, so it names everything below it."""

    parents: tuple[ObjectId, ...]
    manifest: Manifest
    created_ns: int
    attributes: bytes = b""  # the caller's: configuration, message, times, as UTF-8 JSON
    signature: Signature | None = None  # over all of the above, as bytes


class RefChange(NamedTuple):
    """One line of a reflog."""

    when_ns: int
    old: ObjectId | None
    new: ObjectId | None
    why: str


class StoreUsage(NamedTuple):
    """What the store holds. `pack_bytes` is what it takes on disk, apart from the index."""

    packs: int
    pack_bytes: int
    frames: int
    blobs: int
    nodes: int
    commits: int


class WriteStats(NamedTuple):
    """What one writer did. Pages are 4096 bytes; `stored_bytes` went to packs."""

    pages_seen: int = 0
    pages_zero: int = 0
    pages_known: int = 0
    pages_new: int = 0
    objects_new: int = 0
    stored_bytes: int = 0
    blob_bytes_seen: int = 0
    blob_bytes_new: int = 0

    @property
    def read_bytes(self) -> int:
        """Return how much content was brought: pages and blobs."""
        return self.pages_seen * PAGE_BYTES + self.blob_bytes_seen

    @property
    def new_bytes(self) -> int:
        """Return how much of it the store did not have."""
        return self.pages_new * PAGE_BYTES + self.blob_bytes_new


class GcReport(NamedTuple):
    """What a collection found and did."""

    commits_kept: int
    objects_dropped: int
    packs_removed: int
    packs_rewritten: int
    bytes_freed: int


class Damage(NamedTuple):
    """One object that cannot be read, and where it is needed."""

    object_id: ObjectId
    what: str  # "frame", "blob", "node", "commit"
    why: str
    affects: tuple["Affected", ...] = ()


class Affected(NamedTuple):
    """A part of a commit that a damaged object makes unreadable. `page_runs` are (first_page, n_pages)."""

    commit: ObjectId
    key: bytes
    page_runs: tuple[tuple[int, int], ...] = ()


class VerifyReport(NamedTuple):
    """What `verify` read and found. `torn_packs` have bytes after their last whole record: a crash, no damage."""

    records: int
    bytes_read: int
    commits: int
    damages: tuple[Damage, ...]
    torn_packs: tuple[str, ...]
