"""Where each object is: an SQLite database beside the packs, which can be thrown away and made again from them.

After each change it has exactly the objects whose whole closure is there, so a writer may rely on what it names.
It is not synced for each commit: what a power failure takes from it is found again at the end of the packs.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from limosa.adapters.commit_store import failures
from limosa.linux import flock
from limosa.model.commit_store import PAGE_BYTES, ObjectId
from limosa.model.hints import Final
from limosa.model.value import NamedTuple

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS packs (
    pack INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, indexed_bytes INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS records (
    record INTEGER PRIMARY KEY AUTOINCREMENT, pack INTEGER NOT NULL, start INTEGER NOT NULL, bytes INTEGER NOT NULL,
    UNIQUE (pack, start));
CREATE TABLE IF NOT EXISTS objects (
    id BLOB PRIMARY KEY, kind INTEGER NOT NULL, record INTEGER NOT NULL, start INTEGER NOT NULL, size INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS commits ON objects (id) WHERE kind = 3;
CREATE INDEX IF NOT EXISTS lacking ON objects (id) WHERE kind = 0 AND start > 0;
CREATE INDEX IF NOT EXISTS objects_by_record ON objects (record);
"""
KINDS: Final = ("frame", "blob", "node", "commit")
_BATCH: Final = 500
_ADD_RECORD: Final = (
    "INSERT INTO records (pack, start, bytes) VALUES (?, ?, ?)"
    " ON CONFLICT (pack, start) DO UPDATE SET bytes = bytes RETURNING record"
)
_ADD_OBJECT: Final = (
    "INSERT INTO objects (id, kind, record, start, size) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE"
    " SET record = excluded.record, start = excluded.start, size = excluded.size"
    " WHERE kind = 0 AND excluded.kind = 0 AND excluded.size > size"
)


class Place(NamedTuple):
    """Where an object is: `size` bytes from `start` on of the payload of a record.

    A frame's `start` is the number of pages that it lacks.
    """

    kind: str
    record: int
    pack: str
    offset: int
    record_bytes: int
    start: int
    size: int


class NewObject(NamedTuple):
    """An object of a record that is to be indexed."""

    kind: str
    object_id: ObjectId
    start: int
    size: int


class NewRecord(NamedTuple):
    """A record to be indexed: where it is in its pack, and what is in it."""

    offset: int
    record_bytes: int
    objects: tuple[NewObject, ...]


def remove(directory: str) -> None:
    """Remove a database that cannot be used. The store's lock is held exclusively."""
    for name in os.listdir(directory):
        if name.startswith("objects.sqlite"):
            os.unlink(f"{directory}/{name}")


class Index:
    """The database. One per process; other processes may use it at the same time."""

    def __init__(self, directory: str, lock: str) -> None:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        self.path = f"{directory}/objects.sqlite"
        self.being_made = False
        self._lock = lock
        self._connection: sqlite3.Connection | None = None
        self._connection = self._connect()

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        while True:
            before = self._inode_there()
            made = self._connection = sqlite3.connect(self.path, isolation_level=None, timeout=60)
            try:
                made.execute("PRAGMA journal_mode = WAL")
                made.execute("PRAGMA synchronous = NORMAL")
                made.execute("PRAGMA cache_size = -16384")
                if not self.complete():
                    made.executescript(_SCHEMA)
            except BaseException:
                made.close()
                raise
            self._inode = self._inode_there()
            if before is not None and self._inode == before:
                return made
            made.close()  # it was made, or made anew, meanwhile: look which one this is

    def _inode_there(self) -> int | None:
        try:
            return os.stat(self.path).st_ino
        except FileNotFoundError:
            return None

    def refresh(self) -> bool:
        """Look whether another process has made the index anew; if so, use that and say so. It is locked by then."""
        if self._inode_there() == self._inode:
            return False
        self._db.close()
        self._connection = self._connect()
        return True

    def renew(self) -> None:
        """Begin an empty index. The store's lock is held exclusively."""
        self._db.close()
        remove(os.path.dirname(self.path))
        self._connection = self._connect()

    def _caught_up(self) -> bool:
        """Say whether this process used an old index, or a half of one that another process was making."""
        if self.being_made:
            return False
        if self.complete() and self._inode_there() == self._inode:
            return False
        with flock.locked(self._lock, exclusive=False):
            self.refresh()
        return True

    def complete(self) -> bool:
        """Say whether this was made from all packs there were; else it has to be made again."""
        return bool(self._db.execute("PRAGMA user_version").fetchone()[0] == 1)

    def set_complete(self) -> None:
        """Say that every pack has been read."""
        self._db.execute("PRAGMA user_version = 1")

    def close(self) -> None:
        """Close the database. It may be called again."""
        if self._connection is not None:
            self._connection.close()

    def release(self) -> None:
        """Close the database until it is used again, by this process or by a copy of it."""
        self.close()
        self._connection = None

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Make all changes within the `with` block at once, or none of them."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except BaseException as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                raise failures.full(self.path) from error
            raise

    def sync(self) -> None:
        """Return when the changes made so far would survive a power failure."""
        self._db.execute("PRAGMA wal_checkpoint(FULL)")

    def place(self, object_id: ObjectId) -> Place | None:
        """Return where an object is, None if it is not in the store."""
        place = self._place(object_id)
        return self._place(object_id) if place is None and self._caught_up() else place

    def _place(self, object_id: ObjectId) -> Place | None:
        row = self._db.execute(
            "SELECT o.kind, o.record, p.name, r.start, r.bytes, o.start, o.size FROM objects o"
            " JOIN records r USING (record) JOIN packs p USING (pack) WHERE o.id = ?",
            (object_id,),
        ).fetchone()
        return Place(KINDS[row[0]], *row[1:]) if row is not None else None

    def known(self, ids: Iterable[ObjectId]) -> set[ObjectId]:
        """Return those of `ids` that are in the store."""
        wanted = list(ids)
        found: set[ObjectId] = set()
        for at in range(0, len(wanted), _BATCH):
            some = wanted[at : at + _BATCH]
            marks = ",".join("?" * len(some))
            found.update(row[0] for row in self._db.execute(f"SELECT id FROM objects WHERE id IN ({marks})", some))  # noqa: S608
        return found

    def known_whole(self, ids: Iterable[ObjectId]) -> set[ObjectId]:
        """Return those of `ids` that are in the store, without frames that lack pages."""
        known = self.known(ids)
        lacking = {row[0] for row in self._db.execute("SELECT id FROM objects WHERE kind = 0 AND start > 0")}
        return known - lacking

    def has(self, object_id: ObjectId) -> bool:
        """Say whether an object is in the store."""
        return self._db.execute("SELECT 1 FROM objects WHERE id = ?", (object_id,)).fetchone() is not None

    def frame_of(self, record: int) -> tuple[ObjectId, str, int, int] | None:
        """Return (frame, pack, offset, bytes) of a frame's record, None if it is gone."""
        row = self._db.execute(
            "SELECT o.id, p.name, r.start, r.bytes FROM records r JOIN packs p USING (pack)"
            " JOIN objects o USING (record) WHERE r.record = ? AND o.kind = 0",
            (record,),
        ).fetchone()
        return (ObjectId(row[0]), row[1], row[2], row[3]) if row is not None else None

    def add(self, pack: str, end: int, records: Iterable[NewRecord]) -> list[int]:
        """Enter a pack's records up to `end`; an object that is known already keeps its place.

        Only a frame that lacks pages is replaced, by one that lacks fewer.

        Returns: where the records' objects are now, by numbers that are never used again. Within `changing`.
        """
        self._db.execute("INSERT OR IGNORE INTO packs (name, indexed_bytes) VALUES (?, 0)", (pack,))
        self._db.execute("UPDATE packs SET indexed_bytes = max(indexed_bytes, ?) WHERE name = ?", (end, pack))
        number = self._db.execute("SELECT pack FROM packs WHERE name = ?", (pack,)).fetchone()[0]
        numbers = []
        for offset, record_bytes, objects in records:
            (record,) = self._db.execute(_ADD_RECORD, (number, offset, record_bytes)).fetchone()
            rows = [(item.object_id, KINDS.index(item.kind), record, item.start, item.size) for item in objects]
            if objects[0].kind == "frame":
                entered = self._db.execute(f"{_ADD_OBJECT} RETURNING record", rows[0]).fetchone()
                if entered is None:  # it was there, and stays where it is
                    (record,) = self._db.execute("SELECT record FROM objects WHERE id = ?", rows[0][:1]).fetchone()
            else:
                self._db.executemany(_ADD_OBJECT, rows)
            numbers.append(record)
        return numbers

    def move(self, pack: str, end: int, records: Iterable[NewRecord]) -> list[int]:
        """Enter records as `add` does, but let their objects be there from now on. Within `changing`."""
        records = list(records)
        ids = [(item.object_id,) for record in records for item in record.objects]
        self._db.executemany("DELETE FROM objects WHERE id = ?", ids)
        return self.add(pack, end, records)

    def drop_objects(self, ids: Iterable[ObjectId]) -> None:
        """Forget objects, and records of which nothing is left. Within `changing`."""
        self._db.executemany("DELETE FROM objects WHERE id = ?", [(object_id,) for object_id in ids])
        self._db.execute("DELETE FROM records WHERE record NOT IN (SELECT record FROM objects)")

    def drop_pack(self, pack: str) -> None:
        """Forget a pack and what is still said to be in it. Within `changing`."""
        row = self._db.execute("SELECT pack FROM packs WHERE name = ?", (pack,)).fetchone()
        if row is not None:
            self._db.execute("DELETE FROM objects WHERE record IN (SELECT record FROM records WHERE pack = ?)", row)
            self._db.execute("DELETE FROM records WHERE pack = ?", row)
            self._db.execute("DELETE FROM packs WHERE pack = ?", row)

    def packs(self) -> dict[str, int]:
        """Return each pack, and up to where it is indexed."""
        return dict(self._db.execute("SELECT name, indexed_bytes FROM packs"))

    def record_numbers(self) -> set[int]:
        """Return the numbers of all records."""
        return {row[0] for row in self._db.execute("SELECT record FROM records")}

    def objects_of(self, pack: str, offset: int) -> list[ObjectId]:
        """Return the objects that are in one record."""
        query = (
            "SELECT o.id FROM objects o JOIN records r USING (record) JOIN packs p USING (pack)"
            " WHERE p.name = ? AND r.start = ?"
        )
        return [ObjectId(row[0]) for row in self._db.execute(query, (pack, offset))]

    def live_bytes(self) -> dict[str, int]:
        """Return, for each pack that has objects, the bytes of its records that have any."""
        query = "SELECT p.name, sum(r.bytes) FROM records r JOIN packs p USING (pack) GROUP BY pack"
        return dict(self._db.execute(query))

    def frames(self) -> Iterator[tuple[ObjectId, str, int, int]]:
        """Yield (frame, pack, bytes of its record, pages that it has) of every frame."""
        query = (
            "SELECT o.id, p.name, r.bytes, o.size FROM objects o JOIN records r USING (record)"
            " JOIN packs p USING (pack) WHERE o.kind = 0"
        )
        for frame, pack, record_bytes, size in self._db.execute(query):
            yield ObjectId(frame), pack, record_bytes, size // PAGE_BYTES

    def records_of(self, pack: str) -> list[tuple[int, int]]:
        """Return (offset, bytes) of the records of a pack that have objects, in order."""
        query = "SELECT r.start, r.bytes FROM records r JOIN packs p USING (pack) WHERE p.name = ? ORDER BY r.start"
        return list(self._db.execute(query, (pack,)))

    def ids(self) -> Iterator[tuple[ObjectId, str]]:
        """Yield (id, kind) of every object."""
        for object_id, kind in self._db.execute("SELECT id, kind FROM objects"):
            yield ObjectId(object_id), KINDS[kind]

    def commits(self, first: bytes = b"", last: bytes = b"\xff" * 32) -> list[ObjectId]:
        """Return the commits whose ids are between two, in order."""
        query = "SELECT id FROM objects INDEXED BY commits WHERE kind = 3 AND id BETWEEN ? AND ? ORDER BY id"
        return [ObjectId(row[0]) for row in self._db.execute(query, (first, last))]

    def counts(self) -> dict[str, int]:
        """Return how many objects of each kind there are."""
        found = dict(self._db.execute("SELECT kind, count(*) FROM objects GROUP BY kind"))
        return {name: found.get(number, 0) for number, name in enumerate(KINDS)}
