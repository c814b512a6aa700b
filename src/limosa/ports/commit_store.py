"""The content-addressed store of commits: memory, files and configuration of containers, each page stored once.

Order of a commit: pages and blobs, manifest, commit, ref. What was not reached by a ref when a command died is garbage
that `collect` takes; what a ref names is on disk and whole.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager

from limosa.model.commit_store import (
    Blob,
    Commit,
    Entry,
    GcReport,
    Manifest,
    ObjectId,
    PageMap,
    PageRun,
    RefChange,
    Signature,
    StoreUsage,
    VerifyReport,
    WriteStats,
)
from limosa.model.hints import Protocol
from limosa.model.page_runs import Run
from limosa.model.value import NamedTuple

Progress = Callable[[str, int, int], None]
"""Told what long work is at, how many bytes of it are done, and of how many; 0 if that is not known."""
Buffer = bytes | bytearray | memoryview


class Unread(NamedTuple):
    """Up to BATCH_PAGES pages that the writer reads when it gets to them, maybe several of them at once.

    `read` fills a buffer with the pages of `runs` in a row. It is called in another thread. What it raises ends the
    map that they are for.
    """

    runs: tuple[Run, ...]
    read: Callable[[memoryview], None]


class NewMap(NamedTuple):
    """A page map to be made: `base`, the parent's map or an empty one, with pages replaced.

    `writes` are (first page, content of that page and those after it), or pages yet to be read, in order and not
    overlapping; each buffer is read before the next write is asked for. `zero` are runs (first page, pages) that
    become zero before.
    """

    base: PageMap
    writes: "Iterable[tuple[int, Buffer] | Unread]"
    zero: Sequence[Run] = ()


class CommitWriter(Protocol):
    """One command that writes a commit. While it is open, nothing that it relies on is collected."""

    def put_blob(self, data: bytes) -> Blob:
        """Store a file of at most MAX_BLOB_BYTES (a larger one goes in pages) and return what its entry says."""

    def put_pages(
        self, base: PageMap, writes: Iterable[tuple[int, Buffer] | Unread], zero: Sequence[Run] = ()
    ) -> PageMap:
        """Return the map that a NewMap of these asks for; costs what `writes` brings.

        Raises: ValueError: the order or a length is wrong. LimosaError LIM-CSTORE-006: the disk is full. What a
        `read` raises.
        """

    def put_maps(self, maps: Iterable[NewMap]) -> Generator[PageMap, None, None]:
        """Yield each map; pages of those that come next are read meanwhile. Raises: as `put_pages`."""

    def rest(self) -> None:
        """Have no threads until it is used again: this process may be copied meanwhile."""

    def put_entries(self, base: Manifest, edits: Mapping[bytes, Entry | None]) -> Manifest:
        """Return `base`, the parent's manifest or an empty one, with entries set or removed (None).

        Raises: LimosaError LIM-CSTORE-002: an entry names something that is not in this store.
        """

    def put_commit(self, commit: Commit) -> ObjectId:
        """Store a commit. When this returns, it and all that it names are on disk; now set a ref, within the `with`.

        Raises: LimosaError LIM-CSTORE-006: the disk is full; earlier commits are whole, of this one nothing is kept.
        """

    def stats(self) -> WriteStats:
        """Return what was written so far."""


class CommitReader(Protocol):
    """One commit, open for reading. While it is open, nothing of it is collected; its end is the process's at last.

    Every method raises LimosaError LIM-CSTORE-001 (damaged) or LIM-CSTORE-002 (missing) for what cannot be read.
    """

    commit_id: ObjectId
    commit: Commit

    def entry(self, key: bytes) -> Entry | None:
        """Return an entry, None if there is none."""

    def entries(self, prefix: bytes = b"", start: bytes = b"") -> Iterator[tuple[bytes, Entry]]:
        """Yield the entries whose keys begin with `prefix`, from the key `start` on, in order."""

    def content(self, entry: Entry) -> bytes:
        """Return the whole content of an entry that is inline or a blob. Raises: ValueError: it is in pages."""

    def page_runs(self, pages: PageMap, first_page: int = 0, end_page: int = ...) -> Iterator[PageRun]:
        """Yield where the pages of a map are, in order; what is not yielded is zero. Reads no page."""

    def read_pages(self, pages: PageMap, first_page: int, n_pages: int) -> bytearray:
        """Return pages, zero ones included."""

    def read_run(self, run: PageRun) -> Buffer:
        """Return the pages of a run that `page_runs` yielded; they do not change, and are not to be changed."""


class Remote(Protocol):
    """Another store of the same key, as seen by a transfer: a directory now, later through ssh or S3."""

    def key_id(self) -> bytes:
        """Return which key its ids are made with."""

    def known(self, ids: Sequence[ObjectId]) -> set[ObjectId]:
        """Return those of `ids` that it has with all that they name."""

    def receiving(self) -> AbstractContextManager["RemoteWriter"]:
        """Open it for records. What was put is kept only once `finish` returned."""


class RemoteWriter(Protocol):
    """A store that takes records from another one, which it does not trust."""

    def put_record(self, data: bytes) -> None:
        """Take a record of a pack; what it names was put before.

        Raises: LimosaError LIM-CSTORE-010: it is not what the format says, or does not have the digests that it claims.
        """

    def keep(self) -> None:
        """Have what was put so far on disk and known, so that it need not come again after an interruption."""

    def finish(self, refs: Mapping[str, ObjectId], *, when_ns: int, why: str) -> None:
        """Put everything on disk, then set refs. Raises: LimosaError LIM-CSTORE-005: a ref's commit did not come."""


class CommitRefs(Protocol):
    """The refs of a commit store, without the store: nothing here opens it, and there need not be one."""

    def get(self, name: str) -> ObjectId | None:
        """Return the commit that a ref names, None if there is no such ref.

        Raises: LimosaError LIM-CSTORE-008: nothing can have that name.
        """


class CommitStore(Protocol):
    """All commits of a host. Several processes may use it at once."""

    def writing(self) -> AbstractContextManager[CommitWriter]:
        """Open the store for writing a commit. If the block raises, what was not committed is taken back."""

    def reading(self, commit: ObjectId) -> AbstractContextManager[CommitReader]:
        """Open a commit. Costs the same at any depth of the history.

        Raises: LimosaError LIM-CSTORE-005: there is no such commit, or it was forgotten.
        """

    def resolve(self, name: str) -> ObjectId:
        """Return the commit that a ref, a tag's name, or an id of at least 4 digits names; `~N` goes back N parents.

        Raises: LimosaError LIM-CSTORE-005: it names none, or several.
        """

    def commit(self, commit_id: ObjectId) -> Commit:
        """Return what a commit says, also of a forgotten one. Raises: LimosaError LIM-CSTORE-005: there is none."""

    def history(self, commits: Iterable[ObjectId]) -> Iterator[tuple[ObjectId, Commit]]:
        """Yield these commits and all they descend from, each once, as far as the store has them."""

    def differing_entries(self, one: Manifest, other: Manifest) -> Iterator[tuple[bytes, Entry | None, Entry | None]]:
        """Yield (key, entry in `one`, entry in `other`) where they differ; costs what differs."""

    def differing_pages(self, one: PageMap, other: PageMap) -> Iterator[tuple[int, int]]:
        """Yield runs (first page, pages) that the maps do not share; costs what differs."""

    def refs(self) -> dict[str, ObjectId]:
        """Return all refs: `containers/ID`, `tags/NAME`, …"""

    def set_ref(
        self, name: str, commit: ObjectId | None, *, when_ns: int, why: str, expected: ObjectId | object | None = ...
    ) -> None:
        """Move a ref, or remove it (None); its log says what it named before.

        Raises: LimosaError LIM-CSTORE-005: no such commit; LIM-CSTORE-007: it is not where the caller expected it;
        LIM-CSTORE-008: no ref can have that name. Nothing changed then.
        """

    def ref_log(self, name: str) -> list[RefChange]:
        """Return what a ref named, the last change last."""

    def drop_log(self, name: str) -> None:
        """Forget what a ref named before."""

    def forget(self, commits: Iterable[ObjectId]) -> None:
        """Let `collect` take the content of commits, also if others descend from them.

        Raises: LimosaError LIM-CSTORE-011: a ref names one of them; nothing changed.
        """

    def forgotten(self) -> frozenset[ObjectId]:
        """Return the commits that were forgotten; their content may be gone."""

    def usage(self) -> StoreUsage:
        """Return what the store holds."""

    def collect(self, *, log_before_ns: int = 0, wait_s: float = 60.0) -> GcReport:
        """Remove what no ref, no log since `log_before_ns` and no running command needs; pack half-empty packs anew.

        Raises: LimosaError LIM-CSTORE-009: other commands kept writing for `wait_s`; LIM-CSTORE-001 or -002: a commit
        is damaged, so that what it needs is unknown. Nothing was removed then.
        """

    def verify(self, commits: Iterable[ObjectId] | None = None) -> VerifyReport:
        """Read everything and check it against its digests; say which parts of which commits damage affects."""

    def push(self, commits: Sequence[ObjectId], remote: Remote, refs: Mapping[str, ObjectId], *, when_ns: int) -> int:
        """Send commits, without their ancestors, to another store and set refs there; return the bytes sent.

        Raises: LimosaError LIM-CSTORE-004: the other store has another key.
        """

    def as_remote(self) -> Remote:
        """Return this store as a transfer from another one sees it."""

    def export(
        self,
        commits: Sequence[ObjectId],
        path: str,
        *,
        for_strangers: bool = False,
        sign: Callable[[Commit, bytes], Signature | None] = lambda commit, data: None,
    ) -> int:
        """Write commits, without their ancestors, to a new file of the same form as a pack; return its size.

        Only hosts with this one's key can read it, or anybody if it is `for_strangers`: then everything gets a new
        key, which is in the file, so that it tells nothing about other stores, and `sign` is called with each commit
        as it is there and the bytes that its signature is for.
        """

    def import_file(
        self, path: str, taken: Callable[[Commit, bytes], bytes] = lambda commit, data: commit.attributes
    ) -> list[ObjectId]:
        """Take the commits of a file that `export` wrote, checking every record, and return their ids here.

        A commit that was exported for strangers gets another id, no signature, and the attributes that `taken`
        returns; that is called with the commit as it came and the bytes that its signature is for. A ref `imported/`
        and 24 digits keeps each until the caller has given it another one and removes that.
        Raises: LimosaError LIM-CSTORE-004: it is of hosts with another key; LIM-CSTORE-010: it is damaged.
        """

    def report_to(self, progress: Progress) -> None:
        """Have `progress` told how far `push`, `export`, `import_file`, `verify` and `collect` are, from now on."""

    def spare(self) -> None:
        """Keep little of what is read in memory: this process will have it open for long."""

    def release(self) -> None:
        """Have nothing open until it is used again: this process may be copied now, and both may use it.

        What is being read goes on in this process; the copy opens commits of its own.
        """

    def close(self) -> None:
        """Give files and locks back."""
