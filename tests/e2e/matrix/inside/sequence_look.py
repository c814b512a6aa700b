"""Another process's look at the sequence's places while the program holds still: all that files and servers say.

One line: the plain file, each page of the mapped one, SQLite, PostgreSQL. The program writes them in this order, so
wherever it stopped, no number is larger than the one before it, and the last is at most one behind the first.

Nothing is waited for. The program has locked what SQLite locks as long as a database is open, shared: without these
locks whoever opens the database next takes the log's index for left over and cuts it off under the program. Anything
else that were locked would be a lock that came back from a commit and belongs to nobody.
Source: SQLite 3.40, src/os_unix.c (unixLockSharedMemory, PENDING_BYTE), src/wal.c (WAL_WRITE_LOCK).
"""

import contextlib
import fcntl
import itertools
import sqlite3
import struct
import sys

import psycopg2

FLOCK = "hhqqi4x"
FIRST_SHARED, N_SHARED = 0x40000002, 510  # bytes of the database
FIRST_OF_LOG, N_OF_LOG, IN_USE = 120, 8, 128  # bytes of the log's index


def locked(file, first, length):
    """Return whether somebody else's lock is in the way of an exclusive one: its kind and its process."""
    asked = struct.pack(FLOCK, fcntl.F_WRLCK, 0, first, length, 0)
    kind, _, _, _, process = struct.unpack(FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, asked))
    return None if kind == fcntl.F_UNLCK else (kind, process)


def is_locked_by_the_program():
    with open("held", encoding="ascii") as held:
        shared = (fcntl.F_RDLCK, int(held.read()))
    with open("sqlite", "r+b") as database, open("sqlite-shm", "r+b") as index:
        found = locked(database, FIRST_SHARED, N_SHARED), locked(index, IN_USE, 1)
        assert found == (shared, shared), f"the program's own locks are {found}"
        found = locked(database, FIRST_SHARED - 2, 2), locked(index, FIRST_OF_LOG, N_OF_LOG)
        assert found == (None, None), f"locks that nobody holds: {found}"


with open("plain", "rb") as file:
    found = [int.from_bytes(file.read(8), "little")]
with open("mapped", "rb") as file:
    data = file.read()
found += [int.from_bytes(data[offset : offset + 8], "little") for offset in range(0, len(data), 4096)]
is_locked_by_the_program()
with contextlib.closing(sqlite3.connect("sqlite", timeout=0)) as sqlite:
    assert sqlite.execute("pragma integrity_check").fetchone() == ("ok",)
    found.append(sqlite.execute("select number from sequence").fetchone()[0])
is_locked_by_the_program()
with psycopg2.connect(host=sys.argv[1], dbname="postgres") as postgres, postgres.cursor() as cursor:
    cursor.execute("select number from sequence")
    found.append(cursor.fetchone()[0])
assert all(one >= other for one, other in itertools.pairwise(found)), found
assert found[-1] >= found[0] - 1, found
print(*found)
