"""What every part of a store needs: its directories, key, index and locks; and how a store is made and opened."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from limosa.adapters.commit_store import failures
from limosa.adapters.commit_store.hashing import KEY_BYTES, Hasher
from limosa.adapters.commit_store.index import Index, remove
from limosa.adapters.commit_store.objects import ObjectReader
from limosa.adapters.commit_store.page_index import PageIndex
from limosa.adapters.commit_store.record import LEVEL
from limosa.adapters.commit_store.refs import Refs
from limosa.linux import atomic_file, flock
from limosa.model import json_text
from limosa.model.commit_store import ObjectId
from limosa.model.hints import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from limosa.adapters.commit_store.intake import Intake
    from limosa.adapters.commit_store.native import NativePages
    from limosa.adapters.commit_store.sorting import PutFrame, Sorter
    from limosa.ports.commit_store import Progress

FORMAT: Final = 1


def create(root: str, key: bytes | None = None) -> None:
    """Make an empty store in the directory `root`; with `key`, its ids are those of other hosts with that key.

    Repeating it completes what a crash left. Raises: LimosaError LIM-CSTORE-003: there is a store with another key.
    """
    for name in ("packs", "refs", "logs", "leases", "index"):
        os.makedirs(f"{root}/{name}", mode=0o700, exist_ok=True)
    with flock.locked(f"{root}/lock"):
        if os.path.exists(f"{root}/format"):
            if key is not None and _key(root) != key:
                raise failures.not_a_store(root, "it was made with another key")
            return
        if not os.path.exists(f"{root}/key") or key is not None:
            atomic_file.replace(f"{root}/key", key or os.urandom(KEY_BYTES))
        key_id = Hasher(_key(root)).key_id.hex()
        atomic_file.replace(f"{root}/format", json_text.dumps({"format": FORMAT, "key_id": key_id}).encode())


def adopt_key(root: str, source: str) -> None:
    """Make a store in `root` with the key of the store `source`, or give it that key if it has nothing in it yet.

    Repeating it completes what a crash left. Raises: LimosaError LIM-CSTORE-003: it has commits of another key.
    """
    adopt(root, _checked_key(source))


def adopt(root: str, key: bytes) -> None:
    """Do what `adopt_key` does with a key that came another way."""
    if os.path.exists(f"{root}/format"):
        with flock.locked(f"{root}/lock"):
            if _key(root) == key:
                return
            if os.listdir(f"{root}/packs"):
                raise failures.not_a_store(root, "it has commits of another key, which would be lost")
            os.unlink(f"{root}/format")
    create(root, key)


def _key(root: str) -> bytes:
    with open(f"{root}/key", "rb") as file:
        return file.read()


def _checked_key(root: str) -> bytes:
    try:
        with open(f"{root}/format", encoding="ascii") as file:
            said = json_text.loads(file.read())
        version, key_id = int(said["format"]), str(said["key_id"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise failures.not_a_store(root, f"its file `format` cannot be read: {error}") from error
    if version != FORMAT:
        raise failures.not_a_store(root, f"its format has version {version}, this limosa knows {FORMAT}")
    try:
        key = _key(root)
        if Hasher(key).key_id.hex() != key_id:
            raise ValueError("it is not the key that the store was made with")
    except (OSError, ValueError) as error:
        raise failures.not_a_store(root, f"its key cannot be used: {error}") from error
    return key


def _opened(directory: str, lock: str) -> Index:
    try:
        return Index(directory, lock)
    except sqlite3.OperationalError:  # busy, no space: nothing is wrong with the file
        raise
    except sqlite3.DatabaseError:
        with flock.locked(lock):
            remove(directory)
            return Index(directory, lock)


class Parts:
    """An open store. One instance serves one process, see `DirectoryStore.release`."""

    def __init__(self, root: str, level: int = LEVEL, library: Callable[[], str] = lambda: "") -> None:
        """`library` returns the path of pages.c, compiled, or ""."""
        self.library: Final = library
        self.progress: Progress = lambda what, done_bytes, total_bytes: None
        self._native: NativePages | None = None
        self._native_tried = False
        self.root: Final = root
        self.packs: Final = f"{root}/packs"
        self.leases: Final = f"{root}/leases"
        self.hasher: Final = Hasher(_checked_key(root))
        self.refs: Final = Refs(root)
        self._level = level
        self.page_index: Final = PageIndex(f"{root}/index/pages")
        lock = f"{root}/lock"
        self.index: Final = _opened(f"{root}/index", lock)
        self.objects: Final = ObjectReader(self.packs, self.index, self.hasher)

    def renew_index(self) -> None:
        """Throw the index away and begin an empty one, which the caller fills. The lock is held exclusively."""
        self.objects.forget_packs()
        self.page_index.clear()
        self.index.renew()

    def close(self) -> None:
        """Give files back."""
        self.objects.close()
        self.page_index.close()
        self.index.close()

    def quicken(self) -> None:
        """Have what is done with many pages done in C from now on, if that can be."""
        if self._native_tried:
            return
        self._native_tried = True
        path = self.library()
        if not path:
            return
        from limosa.adapters.commit_store.native import NativePages, NativeRows

        try:
            self._native = NativePages(path)
        except OSError:  # of another machine, or damaged: Python does the same
            return
        self.hasher.many = self._native.digests
        self.page_index.row_maker = NativeRows(self._native)

    def sorter(self, put_frame: "PutFrame") -> "Sorter":
        """Return what sorts pages for a writer that gives frames to `put_frame`."""
        from limosa.adapters.commit_store.sorting import PythonSorter, Surroundings

        self.quicken()
        around = Surroundings(self.hasher, self.page_index, self.objects, put_frame)
        if self._native is None:
            return PythonSorter(around)
        from limosa.adapters.commit_store.native import NativeSorter

        return NativeSorter(self._native, around)

    def intake(self) -> "Intake":
        """Return a way into the packs. The caller holds the lock."""
        from limosa.adapters.commit_store.intake import Intake

        return Intake(self.packs, self.index, self.page_index, self.hasher, self._level)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a collection from starting for the time of a `with` block."""
        with flock.locked(f"{self.root}/lock", exclusive=False):
            self.page_index.refresh()
            if self.index.refresh():
                self.objects.forget_packs()
            self.objects.forget_directories()
            yield

    def load(self, kind: str, object_id: ObjectId) -> bytes:
        """Return a blob, node or commit."""
        return self.objects.read(kind, object_id)

    def load_node(self, node: ObjectId) -> bytes:
        """Return a node."""
        return self.objects.read("node", node)
