"""The `CommitStore` port in dicts, for tests of the engine: the same answers and refusals, nothing on a disk."""

import hashlib
import pickle
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from limosa.adapters.commit_store import failures
from limosa.adapters.commit_store.refs import checked
from limosa.model.commit_store import (
    MAX_BLOB_BYTES,
    MAX_PAGE,
    PAGE_BYTES,
    Blob,
    Commit,
    Entry,
    GcReport,
    Inline,
    Manifest,
    ObjectId,
    Paged,
    PageMap,
    PageRun,
    RefChange,
    Signature,
    StoreUsage,
    VerifyReport,
    WriteStats,
)
from limosa.ports.commit_store import NewMap, Progress, Unread

_ANY: Any = object()
ZERO = bytes(PAGE_BYTES)


class FakeCommitStore:
    """Holds whole maps and manifests by digest. `full` makes the disk full."""

    def __init__(self, key: bytes = b"k" * 32) -> None:
        self.key = key
        self.objects: dict[ObjectId, Any] = {}
        self.full = False
        self._refs: dict[str, ObjectId] = {}
        self._logs: dict[str, list[RefChange]] = {}
        self._forgotten: set[ObjectId] = set()
        self._leases: list[ObjectId] = []
        self._progress: Progress = lambda what, done_bytes, total_bytes: None

    def keep(self, value: Any) -> ObjectId:
        object_id = ObjectId(hashlib.blake2b(pickle.dumps(value), key=self.key, digest_size=32).digest())
        self.objects[object_id] = value
        return object_id

    def pages(self, pages: PageMap) -> dict[int, bytes]:
        return {} if pages.root is None else self.objects[pages.root]  # type: ignore[no-any-return]

    def manifest(self, manifest: Manifest) -> dict[bytes, Entry]:
        return {} if manifest.root is None else dict(self.objects[manifest.root])

    @contextmanager
    def writing(self) -> Iterator["FakeWriter"]:
        before = dict(self.objects)
        try:
            yield FakeWriter(self)
        except BaseException:
            self.objects = before
            raise

    @contextmanager
    def reading(self, commit: ObjectId) -> Iterator["FakeReader"]:
        said = self.commit(commit)
        if commit in self._forgotten:
            raise failures.no_such_commit(commit.hex()[:12], "it was forgotten")
        self._leases.append(commit)
        try:
            yield FakeReader(self, commit, said)
        finally:
            self._leases.remove(commit)

    def commit(self, commit_id: ObjectId) -> Commit:
        found = self.objects.get(commit_id)
        if not isinstance(found, Commit):
            raise failures.no_such_commit(commit_id.hex()[:12], "the store has no such commit")
        return found

    def history(self, commits: Iterable[ObjectId]) -> Iterator[tuple[ObjectId, Commit]]:
        waiting, seen = list(commits), set()
        while waiting:
            commit_id = waiting.pop()
            if commit_id in self.objects and commit_id not in seen:
                seen.add(commit_id)
                yield commit_id, self.commit(commit_id)
                waiting += self.commit(commit_id).parents

    def resolve(self, name: str) -> ObjectId:
        base, tilde, steps = name.rpartition("~")
        if tilde and steps.isdigit():
            found = self.resolve(base)
            for _ in range(int(steps)):
                parents = self.commit(found).parents
                if not parents or parents[0] not in self.objects:
                    raise failures.no_such_commit(name, "no parent")
                found = parents[0]
            return found
        for ref in (name, f"tags/{name}", f"containers/{name}"):
            if ref in self._refs:
                return self._refs[ref]
        ids = [one for one, value in self.objects.items() if isinstance(value, Commit) and one.hex().startswith(name)]
        if len(name) < 4 or len(ids) != 1:
            raise failures.no_such_commit(name, "none or several")
        return ids[0]

    def differing_entries(self, one: Manifest, other: Manifest) -> Iterator[tuple[bytes, Entry | None, Entry | None]]:
        left, right = self.manifest(one), self.manifest(other)
        for key in sorted(left.keys() | right.keys()):
            if left.get(key) != right.get(key):
                yield key, left.get(key), right.get(key)

    def differing_pages(self, one: PageMap, other: PageMap) -> Iterator[tuple[int, int]]:
        left, right = self.pages(one), self.pages(other)
        pages = sorted(page for page in left.keys() | right.keys() if left.get(page) != right.get(page))
        yield from _runs(pages)

    def refs(self) -> dict[str, ObjectId]:
        return dict(sorted(self._refs.items()))

    def set_ref(
        self, name: str, commit: ObjectId | None, *, when_ns: int, why: str, expected: ObjectId | object | None = _ANY
    ) -> None:
        checked(name)
        if commit is not None:
            self.commit(commit)
            if commit in self._forgotten:
                raise failures.no_such_commit(commit.hex()[:12], "it was forgotten")
        old = self._refs.get(name)
        if expected is not _ANY and old != expected:
            raise failures.ref_moved(name)
        if old == commit:
            return
        self._logs.setdefault(name, []).append(RefChange(when_ns, old, commit, why))
        if commit is None:
            del self._refs[name]
        else:
            self._refs[name] = commit

    def ref_log(self, name: str) -> list[RefChange]:
        return list(self._logs.get(checked(name), []))

    def drop_log(self, name: str) -> None:
        self._logs.pop(checked(name), None)

    def forgotten(self) -> frozenset[ObjectId]:
        return frozenset(self._forgotten)

    def forget(self, commits: Iterable[ObjectId]) -> None:
        wanted = set(commits)
        for commit in wanted:
            self.commit(commit)
        for name, commit in self._refs.items():
            if commit in wanted:
                raise failures.named_by_ref(commit, name)
        self._forgotten |= wanted

    def usage(self) -> StoreUsage:
        kinds = [type(value) for value in self.objects.values()]
        size = sum(len(pickle.dumps(value)) for value in self.objects.values())
        return StoreUsage(1, size, 0, kinds.count(bytes), kinds.count(dict), kinds.count(Commit))

    def collect(self, *, log_before_ns: int = 0, wait_s: float = 60.0) -> GcReport:
        before = self.usage().pack_bytes
        self._progress("looking for what commits need", 0, 0)
        for name, changes in list(self._logs.items()):
            self._logs[name] = [change for change in changes if change.when_ns >= log_before_ns]
        logged = {one for changes in self._logs.values() for change in changes for one in change[1:3] if one}
        named = set(self._refs.values()) | set(self._leases)
        needed: set[ObjectId] = set()
        kept = 0
        for commit_id, commit in self.history(named | logged):
            needed.add(commit_id)
            if commit_id in self._forgotten - named:
                continue
            kept += 1
            if commit.manifest.root is not None:
                needed.add(commit.manifest.root)
            for entry in self.manifest(commit.manifest).values():
                if isinstance(entry.content, Blob):
                    needed.add(entry.content.blob)
                elif isinstance(entry.content, Paged) and entry.content.pages.root is not None:
                    needed.add(entry.content.pages.root)
        dropped = len(self.objects) - len(needed)
        self.objects = {one: value for one, value in self.objects.items() if one in needed}
        self._forgotten &= needed
        return GcReport(kept, dropped, 0, 0, before - self.usage().pack_bytes)

    def verify(self, commits: Iterable[ObjectId] | None = None) -> VerifyReport:
        starts = set(self._refs.values()) if commits is None else set(commits)
        self._progress("checking commits", len(self.objects), len(self.objects))
        return VerifyReport(len(self.objects), 0, len(list(self.history(starts))), (), ())

    def push(
        self, commits: Sequence[ObjectId], remote: "FakeCommitStore", refs: Mapping[str, ObjectId], *, when_ns: int
    ) -> int:
        if remote.key != self.key:
            raise failures.other_key("the other store")
        sent = self._closure(commits)
        there = {page for value in remote.objects.values() if isinstance(value, dict) for page in value.values()}
        new = [sent[one] for one in sent.keys() - remote.objects.keys()]
        parts = [list(value.values()) if isinstance(value, dict) else [value] for value in new]
        sent_bytes = sum(len(pickle.dumps(part)) for group in parts for part in group if part not in there)
        remote.objects.update(sent)
        remote._forgotten -= set(commits)
        for name, commit in refs.items():
            remote.set_ref(name, commit, when_ns=when_ns, why="push")
        self._progress("sending commits", sent_bytes, 0)
        return sent_bytes

    def _closure(self, commits: Sequence[ObjectId]) -> dict[ObjectId, Any]:
        found: dict[ObjectId, Any] = {}
        for commit_id in commits:
            commit = self.commit(commit_id)
            found[commit_id] = commit
            if commit.manifest.root is not None:
                found[commit.manifest.root] = self.objects[commit.manifest.root]
            for entry in self.manifest(commit.manifest).values():
                if isinstance(entry.content, Blob):
                    found[entry.content.blob] = self.objects[entry.content.blob]
                elif isinstance(entry.content, Paged) and entry.content.pages.root is not None:
                    found[entry.content.pages.root] = self.objects[entry.content.pages.root]
        return found

    def as_remote(self) -> "FakeCommitStore":
        return self

    def export(
        self,
        commits: Sequence[ObjectId],
        path: str,
        *,
        for_strangers: bool = False,
        sign: Callable[[Commit, bytes], Signature | None] = lambda commit, data: None,
    ) -> int:
        found = self._closure(commits)
        if for_strangers:
            for commit_id in commits:
                commit = found[commit_id]._replace(parents=())
                found[commit_id] = commit._replace(signature=sign(commit, pickle.dumps(commit)))
        data = (b"*" * 32 if for_strangers else self.key) + hashlib.sha256(body := pickle.dumps(found)).digest() + body
        with open(path, "xb") as file:
            self._progress("writing commits", len(data), 0)
            return file.write(data)

    def import_file(
        self, path: str, taken: Callable[[Commit, bytes], bytes] = lambda commit, data: commit.attributes
    ) -> list[ObjectId]:
        with open(path, "rb") as file:
            data = file.read()
        self._progress("reading commits", len(data), len(data))
        if hashlib.sha256(data[64:]).digest() != data[32:64]:
            raise failures.malformed_pack(path, "its checksum is wrong")
        if data[:32] not in (self.key, b"*" * 32):
            raise failures.other_key(path)
        found = pickle.loads(data[64:])
        if data[:32] != self.key:  # without parents, and under another id
            came = {one: value for one, value in found.items() if isinstance(value, Commit)}
            for one, value in came.items():
                plain = value._replace(signature=None)
                made = plain._replace(attributes=taken(value, pickle.dumps(plain)))
                del found[one]
                found[self.keep(made)] = made
        self.objects.update(found)
        commits = [one for one, value in found.items() if isinstance(value, Commit)]
        for commit in commits:
            self.set_ref(f"imported/{commit.hex()[:24]}", commit, when_ns=0, why="import")
        return commits

    def report_to(self, progress: Progress) -> None:
        self._progress = progress

    def spare(self) -> None:
        pass

    def release(self) -> None:
        pass

    def close(self) -> None:
        pass


def _read(write: Any) -> Iterator[tuple[int, Any]]:
    if not isinstance(write, Unread):
        yield write
        return
    room = bytearray(sum(n_pages for _, n_pages in write.runs) * PAGE_BYTES)
    write.read(memoryview(room))
    at = 0
    for first, n_pages in write.runs:
        yield first, room[at : at + n_pages * PAGE_BYTES]
        at += n_pages * PAGE_BYTES


class FakeWriter:
    def __init__(self, store: FakeCommitStore) -> None:
        self._store = store
        self._seen = self._zero = self._known = 0

    def put_blob(self, data: bytes) -> Blob:
        if len(data) > MAX_BLOB_BYTES:
            raise ValueError("a blob is too large")
        return Blob(self._store.keep(bytes(data)), len(data))

    def put_pages(
        self,
        base: PageMap,
        writes: Iterable[tuple[int, bytes | bytearray | memoryview] | Unread],
        zero: Sequence[tuple[int, int]] = (),
    ) -> PageMap:
        pages = dict(self._store.pages(base))
        known = set(pages.values())
        for first, n_pages in zero:
            for page in [page for page in pages if first <= page < first + n_pages]:
                del pages[page]
        end = 0
        for first, content in (one for write in writes for one in _read(write)):
            data = bytes(content)
            if len(data) % PAGE_BYTES or first < end:
                raise ValueError("pages are out of order or not whole")
            end = first + len(data) // PAGE_BYTES
            if end > MAX_PAGE:
                raise ValueError("a page number is out of range")
            for at in range(0, len(data), PAGE_BYTES):
                content_of_page = data[at : at + PAGE_BYTES]
                self._seen += 1
                if content_of_page == ZERO:
                    self._zero += 1
                    pages.pop(first + at // PAGE_BYTES, None)
                else:
                    self._known += content_of_page in known
                    known.add(content_of_page)
                    pages[first + at // PAGE_BYTES] = content_of_page
        return PageMap(0, self._store.keep(dict(sorted(pages.items())))) if pages else PageMap()

    def put_maps(self, maps: Iterable[NewMap]) -> Generator[PageMap, None, None]:
        for one in maps:
            yield self.put_pages(*one)

    def rest(self) -> None:
        pass

    def put_entries(self, base: Manifest, edits: Mapping[bytes, Entry | None]) -> Manifest:
        entries = self._store.manifest(base)
        for key, entry in edits.items():
            if entry is None:
                entries.pop(key, None)
                continue
            content = entry.content
            needed = None
            if isinstance(content, Blob):
                needed = content.blob
            elif isinstance(content, Paged):
                needed = content.pages.root
            if needed is not None and needed not in self._store.objects:
                raise failures.missing(needed)
            entries[key] = entry
        return Manifest(self._store.keep(dict(sorted(entries.items()))), len(entries)) if entries else Manifest()

    def put_commit(self, commit: Commit) -> ObjectId:
        if self._store.full:
            raise failures.full("the fake")
        if commit.manifest.root is not None and commit.manifest.root not in self._store.objects:
            raise failures.missing(commit.manifest.root)
        return self._store.keep(commit)

    def stats(self) -> WriteStats:
        new = self._seen - self._zero - self._known
        return WriteStats(self._seen, self._zero, self._known, new, 0, new * PAGE_BYTES)


class FakeReader:
    def __init__(self, store: FakeCommitStore, commit_id: ObjectId, commit: Commit) -> None:
        self._store, self.commit_id, self.commit = store, commit_id, commit
        self._entries = store.manifest(commit.manifest)

    def entry(self, key: bytes) -> Entry | None:
        return self._entries.get(key)

    def entries(self, prefix: bytes = b"", start: bytes = b"") -> Iterator[tuple[bytes, Entry]]:
        for key, entry in self._entries.items():
            if key.startswith(prefix) and key >= start:
                yield key, entry

    def content(self, entry: Entry) -> bytes:
        if isinstance(entry.content, Inline):
            return entry.content.data
        if not isinstance(entry.content, Blob):
            raise ValueError("content in pages is read by read_pages")
        return self._store.objects[entry.content.blob]  # type: ignore[no-any-return]

    def page_runs(self, pages: PageMap, first_page: int = 0, end_page: int = MAX_PAGE) -> Iterator[PageRun]:
        for page, content in self._store.pages(pages).items():
            if first_page <= page < end_page:
                yield PageRun(page, 1, self._store.keep(content), 0)

    def read_pages(self, pages: PageMap, first_page: int, n_pages: int) -> bytearray:
        found = self._store.pages(pages)
        return bytearray(b"".join(found.get(first_page + step, ZERO) for step in range(n_pages)))

    def read_run(self, run: PageRun) -> bytearray:
        return bytearray(self._store.objects[run.frame])


def _runs(pages: list[int]) -> Iterator[tuple[int, int]]:
    start = 0
    for at in range(1, len(pages) + 1):
        if at == len(pages) or pages[at] != pages[at - 1] + 1:
            yield pages[start], at - start
            start = at
