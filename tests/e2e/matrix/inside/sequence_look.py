"""Another process's look at the sequence's places while the program stands still: all that files and servers say.

One line: the plain file, each page of the mapped one, SQLite, PostgreSQL. The program writes them in this order, so
wherever it stopped, no number is larger than the one before it, and the last is at most one behind the first.
"""

import itertools
import sqlite3
import sys

import psycopg2

with open("plain", "rb") as file:
    found = [int.from_bytes(file.read(8), "little")]
with open("mapped", "rb") as file:
    data = file.read()
found += [int.from_bytes(data[offset : offset + 8], "little") for offset in range(0, len(data), 4096)]
try:
    with sqlite3.connect("sqlite") as sqlite:
        assert sqlite.execute("pragma integrity_check").fetchone() == ("ok",)
        found.append(sqlite.execute("select number from sequence").fetchone()[0])
except sqlite3.OperationalError:  # it stopped while it held the lock
    sys.exit(75)
with psycopg2.connect(host=sys.argv[1], dbname="postgres") as postgres, postgres.cursor() as cursor:
    cursor.execute("select number from sequence")
    found.append(cursor.fetchone()[0])
assert all(one >= other for one, other in itertools.pairwise(found)), found
assert found[-1] >= found[0] - 1, found
print(*found)
