"""The commit store in a directory: what its parts (packs, index, refs, leases) do together."""

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from limosa.adapters.commit_store import failures, gc, leases, pack, walk
from limosa.adapters.commit_store.hashing import KEY_BYTES, Hasher
from limosa.adapters.commit_store.parts import Parts
from limosa.adapters.commit_store.reader import Reader
from limosa.adapters.commit_store.record import LEVEL
from limosa.model import page_map, sorted_map, store_codec
from limosa.model.commit_store import (
    Commit,
    Entry,
    GcReport,
    Malformed,
    Manifest,
    ObjectId,
    PageMap,
    RefChange,
    Signature,
    StoreUsage,
    VerifyReport,
)
from limosa.model.errors import LimosaError
from limosa.model.hints import TYPE_CHECKING, Final
from limosa.model.ids import HEX_DIGITS
from limosa.ports.commit_store import Progress, Remote

if TYPE_CHECKING:  # what only some commands need, they load
    from limosa.adapters.commit_store import transfer
    from limosa.adapters.commit_store.writer import Writer

_ANY: Final = object()
_LITTLE_BYTES: Final = 2 << 20
_SHORTEST_DIGITS: Final = 4
_DIGITS: Final = 64
_MOST_STEPS_DIGITS: Final = 9


class DirectoryStore:
    """A store that `create` made. One instance serves one process, and a copy of it only after `release`."""

    def __init__(self, root: str, *, level: int = LEVEL, library: Callable[[], str] = lambda: "") -> None:
        """`library` returns the path of pages.c, compiled (native.py), or "": then Python does the same, slower."""
        self.parts: Final = Parts(root, level, library)
        gc.ensure_indexed(self.parts)

    def close(self) -> None:
        """Give files back."""
        self.parts.close()

    def report_to(self, progress: Progress) -> None:
        """Have long work tell how far it is."""
        self.parts.progress = progress

    def spare(self) -> None:
        """Keep little of what is read."""
        self.parts.objects.most_cached_bytes = _LITTLE_BYTES

    def release(self) -> None:
        """Have nothing open until it is used again, by this process or by a copy of it."""
        self.parts.objects.forget_packs()
        self.parts.index.release()

    # Writing and reading

    @contextmanager
    def writing(self) -> Iterator["Writer"]:
        """Open the store for writing a commit."""
        from limosa.adapters.commit_store.writer import Writer

        with self.parts.locked():
            intake = self.parts.intake()
            try:
                yield Writer(intake, self.parts.index, self.parts.objects, self.parts.hasher, self.parts.sorter)
            finally:
                intake.close()

    @contextmanager
    def reading(self, commit: ObjectId) -> Iterator[Reader]:
        """Open a commit, with a lease on it; on a full disk the store's lock is held in its place."""
        with ExitStack() as stack:
            with ExitStack() as locked:
                locked.enter_context(self.parts.locked())
                said = self.commit(commit)
                if commit in self.parts.refs.forgotten():
                    raise failures.no_such_commit(commit.hex()[:12], "it was forgotten")
                try:
                    stack.callback(leases.end, leases.take(self.parts.leases, [commit]))
                except OSError as error:
                    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                        raise
                    stack.enter_context(locked.pop_all())
            yield Reader(self.parts.objects, commit, said)

    # Commits and refs

    def commit(self, commit_id: ObjectId) -> Commit:
        """Return what a commit says."""
        place = self.parts.index.place(commit_id)
        if place is None or place.kind != "commit":
            raise failures.no_such_commit(commit_id.hex()[:12], "the store has no such commit")
        try:
            return store_codec.decode_commit(self.parts.objects.read("commit", commit_id))
        except Malformed as why:
            raise failures.damaged(commit_id, str(why)) from why

    def history(self, commits: Iterable[ObjectId]) -> Iterator[tuple[ObjectId, Commit]]:
        """Yield these commits and all they descend from, as far as the store has them."""
        return walk.history(self.parts.load, set(commits), self.parts.index.has)

    def resolve(self, name: str) -> ObjectId:
        """Return the commit that a name leads to."""
        start, _, steps = name.rpartition("~")
        if start and steps.isdecimal() and len(steps) <= _MOST_STEPS_DIGITS:
            found = self.resolve(start)
            for step in range(int(steps)):
                parents = self.commit(found).parents
                if not parents or not self.parts.index.has(parents[0]):
                    raise failures.no_such_commit(name, f"{start}~{step} has no parent in this store")
                found = parents[0]
            return found
        for ref in (name, f"tags/{name}", f"containers/{name}"):
            try:
                named = self.parts.refs.get(ref)
            except LimosaError:
                continue
            if named is not None:
                return named
        if not _SHORTEST_DIGITS <= len(name) <= _DIGITS or not HEX_DIGITS.issuperset(name):
            raise failures.no_such_commit(name, "no ref and no id is called so")
        low, high = (bytes.fromhex(name.ljust(_DIGITS, digit)) for digit in "0f")
        ids = self.parts.index.commits(low, high)
        if len(ids) != 1:
            raise failures.no_such_commit(name, f"{len(ids)} ids begin so" if ids else "no ref and no id is called so")
        return ids[0]

    def refs(self) -> dict[str, ObjectId]:
        """Return all refs."""
        return self.parts.refs.all()

    def set_ref(
        self, name: str, commit: ObjectId | None, *, when_ns: int, why: str, expected: ObjectId | object | None = _ANY
    ) -> None:
        """Move a ref, or remove it (None)."""
        options = {} if expected is _ANY else {"expected": expected}
        with self.parts.locked():
            if commit is not None:
                self.commit(commit)
                if commit in self.parts.refs.forgotten():
                    raise failures.no_such_commit(commit.hex()[:12], "it was forgotten")
            try:
                self.parts.refs.move(name, commit, when_ns=when_ns, why=why, **options)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise failures.full(self.parts.root) from error
                raise

    def ref_log(self, name: str) -> list[RefChange]:
        """Return what a ref named, the last change last."""
        return self.parts.refs.log(name)

    def drop_log(self, name: str) -> None:
        """Forget what a ref named before."""
        self.parts.refs.drop_log(name)

    def forget(self, commits: Iterable[ObjectId]) -> None:
        """Let a collection take the content of commits."""
        wanted = set(commits)
        for commit in wanted:
            self.commit(commit)
        with self.parts.refs.changing():
            for name, commit in self.parts.refs.all().items():
                if commit in wanted:
                    raise failures.named_by_ref(commit, name)
            self.parts.refs.set_forgotten(self.parts.refs.forgotten() | wanted)

    def forgotten(self) -> frozenset[ObjectId]:
        """Return the commits that were forgotten."""
        return frozenset(self.parts.refs.forgotten())

    # Comparing

    def differing_entries(self, one: Manifest, other: Manifest) -> Iterator[tuple[bytes, Entry | None, Entry | None]]:
        """Yield (key, entry in `one`, entry in `other`) where they differ."""
        for key, left, right in sorted_map.differing(self.parts.load_node, one, other):
            decoded = [None if value is None else store_codec.decode_entry(value) for value in (left, right)]
            yield key, decoded[0], decoded[1]

    def differing_pages(self, one: PageMap, other: PageMap) -> Iterator[tuple[int, int]]:
        """Yield runs (first page, pages) that the maps do not share."""
        return page_map.differing(self.parts.load_node, one, other)

    # Keeping

    def usage(self) -> StoreUsage:
        """Return what the store holds."""
        sizes = pack.names(self.parts.packs)
        counts = self.parts.index.counts()
        return StoreUsage(
            len(sizes), sum(sizes.values()), counts["frame"], counts["blob"], counts["node"], counts["commit"]
        )

    def collect(self, *, log_before_ns: int = 0, wait_s: float = 60.0) -> GcReport:
        """Remove what nothing needs."""
        return gc.collect(self.parts, log_before_ns=log_before_ns, wait_s=wait_s)

    def verify(self, commits: Iterable[ObjectId] | None = None) -> VerifyReport:
        """Read everything and check it."""
        from limosa.adapters.commit_store import verify

        return verify.verify(self.parts, commits)

    # Transfers

    def push(self, commits: Sequence[ObjectId], remote: Remote, refs: Mapping[str, ObjectId], *, when_ns: int) -> int:
        """Send commits to another store and set refs there."""
        from limosa.adapters.commit_store import transfer

        return transfer.push(self.parts, commits, remote, refs, when_ns=when_ns)

    def as_remote(self) -> "transfer.DirectoryRemote":
        """Return this store as a transfer sees it."""
        from limosa.adapters.commit_store import transfer

        return transfer.DirectoryRemote(self.parts)

    def export(
        self,
        commits: Sequence[ObjectId],
        path: str,
        *,
        for_strangers: bool = False,
        sign: Callable[[Commit, bytes], Signature | None] = lambda commit, data: None,
    ) -> int:
        """Write commits to a new file."""
        from limosa.adapters.commit_store import strangers, transfer

        if not for_strangers:
            return transfer.export(self.parts, commits, path)
        with strangers.workplace(f"{path}.{os.getpid()}.store", os.urandom(KEY_BYTES), self.parts) as place:

            def signed(commit: Commit) -> Commit:
                return commit._replace(signature=sign(commit, store_codec.signed_part(commit)))

            copies = [strangers.copy(self.parts, commit, place, signed) for commit in commits]
            return transfer.export(place, copies, path, with_key=True)

    def import_file(
        self, path: str, taken: Callable[[Commit, bytes], bytes] = lambda commit, data: commit.attributes
    ) -> list[ObjectId]:
        """Take the commits of a file."""
        from limosa.adapters.commit_store import strangers, transfer

        key_id, key = transfer.key_of(path)
        if key_id == self.parts.hasher.key_id:
            return transfer.import_file(self.parts, path)
        if key is None or Hasher(key).key_id != key_id:
            raise failures.other_key(path)
        with strangers.workplace(f"{self.parts.root}/incoming-{os.urandom(8).hex()}", key, self.parts) as place:
            copies = []
            for commit in transfer.import_file(place, path):
                said = strangers.said(place, commit)
                attributes = taken(said, store_codec.signed_part(said))
                copies.append(
                    strangers.copy(place, commit, self.parts, partial(Commit._replace, attributes=attributes))
                )
            return copies
