"""One sequence number in five places, written one after the other, and looked at anew before each write.

The places are, in this order: memory, a file, a file through a shared mapping, a SQLite database, a PostgreSQL table.
Whatever instruction a commit caught it at, once it has finished the write it was in, the first `done` places have the
number and the others the one before, exactly: that is what it finds by reading each place anew, before the next
write. What differs is written to `torn`, and it stops. When it finds that it came back from a commit (the generation
file has changed) it writes what it found to `resumed`: the generation, and what each place has.

Once there is a file `hold` it makes no further step and writes its process number to `held`: it is inside no write and
no transaction then, and what it has locked is only what SQLite has locked as long as a database is open.
"""

import mmap
import os
import signal
import sqlite3
import subprocess
import sys
import time
from typing import Any

import psycopg2

PLACE = os.getcwd()
PAGES = 64
PAGE_BYTES = 4096
POSTGRES = (
    *("/usr/lib/postgresql/15/bin/postgres", "-D", "/var/lib/postgresql/15/main"),
    *("-c", "config_file=/etc/postgresql/15/main/postgresql.conf", "-c", f"external_pid_file={PLACE}/pid"),
    *("-c", f"unix_socket_directories={PLACE}", "-c", "listen_addresses="),
)


def stamped(number: int) -> bytes:
    return number.to_bytes(8, "little")


class OfPages:
    """A number at the start of each page of a writable buffer."""

    def __init__(self, buffer: Any) -> None:
        self.buffer = buffer

    def write(self, number: int) -> None:
        for page in range(PAGES):
            self.buffer[page * PAGE_BYTES : page * PAGE_BYTES + 8] = stamped(number)

    def read(self) -> int:
        return the_one(self.buffer)


def the_one(buffer: Any) -> int:
    """Return the number that all pages have, -1 if they differ."""
    found = {bytes(buffer[page * PAGE_BYTES : page * PAGE_BYTES + 8]) for page in range(PAGES)}
    return int.from_bytes(found.pop(), "little") if len(found) == 1 else -1


class InFile:
    """A number in a file, written by pwrite and read by whoever opens it."""

    def __init__(self) -> None:
        self.file = os.open("plain", os.O_RDWR | os.O_CREAT)

    def write(self, number: int) -> None:
        os.pwrite(self.file, stamped(number) * PAGES, 0)

    def read(self) -> int:
        with open("plain", "rb") as file:
            data = file.read()
        found = {data[offset : offset + 8] for offset in range(0, 8 * PAGES, 8)}
        return int.from_bytes(found.pop(), "little") if len(found) == 1 else -1


class InMapping(OfPages):
    """A number in a file that is written through a mapping and read both ways."""

    def __init__(self) -> None:
        file = os.open("mapped", os.O_RDWR | os.O_CREAT)
        os.truncate(file, PAGES * PAGE_BYTES)
        super().__init__(mmap.mmap(file, PAGES * PAGE_BYTES))
        os.close(file)

    def read(self) -> int:
        with open("mapped", "rb") as file:
            in_file = the_one(file.read())
        return in_file if in_file == super().read() else -1


class InSqlite:
    """A number in a SQLite database, written and read on two connections."""

    def __init__(self) -> None:
        self.writing, self.reading = (sqlite3.connect("sqlite", isolation_level=None) for _ in range(2))
        self.writing.execute("pragma journal_mode = wal")
        self.writing.execute("create table sequence (number integer)")
        self.writing.execute("insert into sequence values (0)")

    def write(self, number: int) -> None:
        self.writing.execute("update sequence set number = ?", (number,))

    def read(self) -> int:
        return int(self.reading.execute("select number from sequence").fetchone()[0])


class InPostgres:
    """A number in a PostgreSQL table, written and read on two connections."""

    def __init__(self) -> None:
        self.writing, self.reading = (psycopg2.connect(host=PLACE, dbname="postgres") for _ in range(2))
        for connection in (self.writing, self.reading):
            connection.autocommit = True
        with self.writing.cursor() as cursor:
            cursor.execute("create table sequence (number integer)")
            cursor.execute("insert into sequence values (0)")

    def write(self, number: int) -> None:
        with self.writing.cursor() as cursor:
            cursor.execute("update sequence set number = %s", (number,))

    def read(self) -> int:
        with self.reading.cursor() as cursor:
            cursor.execute("select number from sequence")
            return int(cursor.fetchone()[0])


def generation() -> str:
    with open("/run/.limosa-generation", encoding="ascii") as file:
        return file.read().strip()


def say(path: str, text: str, mode: str = "w") -> None:
    with open(path, mode, encoding="ascii") as file:
        file.write(text)


def looked_at(places: list[Any], number: int, done: int) -> list[int]:
    """Return what each place has. Ends the program if that is not what it has to be."""
    found = [place.read() for place in places]
    if found != [number] * done + [number - 1] * (len(places) - done):
        say("torn", f"{number} was in the first {done} places, and there is {found}\n")
        sys.exit(1)
    return found


def hold_still() -> None:
    say("held.new", str(os.getpid()))
    os.rename("held.new", "held")
    while True:
        time.sleep(1)


def main() -> None:
    server = subprocess.Popen(POSTGRES)
    while not os.path.exists(".s.PGSQL.5432"):
        time.sleep(0.1)
    time.sleep(1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(37))
    places: list[Any] = [OfPages(bytearray(PAGES * PAGE_BYTES)), InFile(), InMapping(), InSqlite(), InPostgres()]
    for place in places:
        place.write(0)
    known, number = generation(), 0
    try:
        while True:
            number += 1
            for done, place in enumerate(places):
                found = looked_at(places, number, done)
                if generation() != known:
                    known = generation()
                    say("resumed", " ".join([known, *map(str, found)]) + "\n", "a")
                if os.path.exists("hold"):
                    hold_still()
                place.write(number)
            say("number.new", str(number))
            os.rename("number.new", "number")
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()


main()
