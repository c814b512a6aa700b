#!/usr/bin/env python3
"""The commit store under a real heap: times, processor time, and bytes beside what zstd makes of the unique pages.

    bench/store/run.py [--mib N] [--commits N] [--json FILE]

A Python process holds N MiB of objects and changes 1 % of them between commits. Each commit is given all of its memory,
as a first checkpoint is; then the same commits go into a second store by changed pages only, as with page tracking.
The floor is BLAKE3 of each page and zstd of 64 pages at a time, in one thread, of the pages that are new.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import zstandard
from blake3 import blake3

from limosa.adapters.commit_store.parts import create
from limosa.adapters.commit_store.store import DirectoryStore
from limosa.model.commit_store import PAGE_BYTES, Commit, Entry, Manifest, ObjectId, Paged, PageMap

HERE = os.path.dirname(os.path.abspath(__file__))
T = TypeVar("T")


class Memory:
    """The private writable memory of another process: its present pages, by address."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def runs(self) -> Iterator[tuple[int, bytes]]:
        """Yield (first page, content), at most 1 MiB at a time."""
        with (
            open(f"/proc/{self._pid}/maps", encoding="ascii") as maps,
            open(f"/proc/{self._pid}/pagemap", "rb") as pagemap,
            open(f"/proc/{self._pid}/mem", "rb", 0) as memory,
        ):
            for line in list(maps):
                fields = line.split()
                start, end = (int(part, 16) // PAGE_BYTES for part in fields[0].split("-"))
                if fields[1][:2] != "rw" or fields[1][3] != "p":
                    continue
                pagemap.seek(start * 8)
                entries = pagemap.read((end - start) * 8)
                page = start
                while page < end:
                    count = 0
                    while page + count < end and count < 256 and entries[(page + count - start) * 8 + 7] & 0xC0:
                        count += 1
                    if count:
                        memory.seek(page * PAGE_BYTES)
                        yield page, memory.read(count * PAGE_BYTES)
                    page += count or 1


def timed(work: Callable[[], T]) -> tuple[T, dict[str, float]]:
    """Return the result, and the seconds on the clock and of processors."""
    wall, processor = time.perf_counter(), time.process_time()
    found = work()
    return found, {
        "wall_s": round(time.perf_counter() - wall, 3),
        "processor_s": round(time.process_time() - processor, 3),
    }


class Line:
    """One store with a line of commits of one process."""

    def __init__(self, root: str) -> None:
        create(root)
        self.store = DirectoryStore(root)
        self.pages, self.manifest = PageMap(), Manifest()
        self.commits: list[ObjectId] = []

    def commit(self, writes: list[tuple[int, bytes]]) -> Any:
        """Commit pages on top of the last commit; return what was written."""
        with self.store.writing() as writer:
            self.pages = writer.put_pages(self.pages, writes)
            self.manifest = writer.put_entries(self.manifest, {b"memory/1": Entry(b"", Paged(self.pages))})
            parents = tuple(self.commits[-1:])
            made = writer.put_commit(Commit(parents, self.manifest, time.time_ns()))
            self.store.set_ref("containers/heap", made, when_ns=time.time_ns(), why="bench")
            self.commits.append(made)
            return writer.stats()

    @property
    def stored_bytes(self) -> int:
        """What the packs take."""
        return self.store.usage().pack_bytes


class Floor:
    """The unique pages so far, and what zstd alone makes of them."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()
        self._whole = zstandard.ZstdCompressor(level=1)
        self.frames_bytes = self.pages_bytes = 0

    def add(self, writes: list[tuple[int, bytes]]) -> dict[str, float]:
        """Add what is new and return the time that hashing all and compressing it takes."""
        (fresh), hashed = timed(lambda: self._fresh(writes))
        sizes, compressed = timed(
            lambda: sum(len(self._whole.compress(b"".join(fresh[at : at + 64]))) for at in range(0, len(fresh), 64))
        )
        self.frames_bytes += sizes
        self.pages_bytes += sum(len(self._whole.compress(page)) for page in fresh)
        return {key: round(hashed[key] + compressed[key], 3) for key in hashed}

    def _fresh(self, writes: list[tuple[int, bytes]]) -> list[bytes]:
        fresh = []
        zero = bytes(PAGE_BYTES)
        for _, data in writes:
            for at in range(0, len(data), PAGE_BYTES):
                page = data[at : at + PAGE_BYTES]
                digest = blake3(page).digest()
                if digest not in self._seen and page != zero:
                    self._seen.add(digest)
                    fresh.append(page)
        return fresh


def changed(before: dict[int, bytes], writes: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Return the pages that are not as `before`, and bring that up to date."""
    found = []
    for first, data in writes:
        for at in range(0, len(data), PAGE_BYTES):
            page = data[at : at + PAGE_BYTES]
            number = first + at // PAGE_BYTES
            if before.get(number) != page:
                before[number] = page
                found.append((number, page))
    return found


def measure(place: str, mib: int, n_commits: int) -> dict[str, Any]:
    """Run everything and return the figures."""
    heap = subprocess.Popen(
        [sys.executable, f"{HERE}/heap.py", str(mib << 20)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert heap.stdin is not None and heap.stdout is not None
    whole, tracked, floor = Line(f"{place}/whole"), Line(f"{place}/tracked"), Floor()
    before: dict[int, bytes] = {}
    rows = []
    try:
        for number in range(n_commits):
            if number:
                heap.stdin.write("\n")
                heap.stdin.flush()
            heap.stdout.readline()
            writes = list(Memory(heap.pid).runs())
            least = floor.add(writes)
            stats, took = timed(lambda writes=writes: whole.commit(writes))
            some = changed(before, writes)
            _, took_some = timed(lambda some=some: tracked.commit(some))
            rows.append(
                {
                    "commit": number + 1,
                    "pages": stats.pages_seen,
                    "new": stats.pages_new,
                    "whole": took,
                    "floor": least,
                    "tracked": took_some,
                    "changed": len(some),
                    "stored_bytes": stats.stored_bytes,
                }
            )
            print(json.dumps(rows[-1]), flush=True)
    finally:
        heap.kill()
        heap.wait()
    return {
        "commits": rows,
        "stored_bytes": whole.stored_bytes,
        "tracked_stored_bytes": tracked.stored_bytes,
        "zstd_of_frames_bytes": floor.frames_bytes,
        "zstd_of_pages_bytes": floor.pages_bytes,
        "stored_over_zstd_of_pages": round(whole.stored_bytes / floor.pages_bytes, 3),
        "stored_over_zstd_of_frames": round(whole.stored_bytes / floor.frames_bytes, 3),
        **reading(tracked),
    }


def reading(line: Line) -> dict[str, Any]:
    """Measure opening at depth 1 and 100, one page, everything, verify and collect."""
    first = line.commits[0]
    while len(line.commits) < 100:
        line.commit([(1 << 30, os.urandom(PAGE_BYTES))])
    found = {}
    root = line.store.parts.root
    for name, commit in (("open_first", first), ("open_hundredth", line.commits[-1])):
        fresh = DirectoryStore(root)

        def one_page(fresh: DirectoryStore = fresh, commit: ObjectId = commit) -> bytearray:
            with fresh.reading(commit) as reader:
                entry = reader.entry(b"memory/1")
                assert entry is not None and isinstance(entry.content, Paged)
                run = next(reader.page_runs(entry.content.pages))
                return reader.read_pages(entry.content.pages, run.first_page, 1)

        found[name] = timed(one_page)[1]
        fresh.close()

    def all_pages() -> None:
        with line.store.reading(line.commits[-1]) as reader:
            for run in reader.page_runs(line.pages):
                reader.read_run(run)

    found["read_all"] = timed(all_pages)[1]
    found["verify"] = timed(line.store.verify)[1]
    found["collect"] = timed(line.store.collect)[1]
    shutil.rmtree(f"{root}/index")
    os.mkdir(f"{root}/index")
    found["rebuild"] = timed(lambda: DirectoryStore(root))[1]
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--commits", type=int, default=20)
    parser.add_argument("--json")
    options = parser.parse_args()
    place = tempfile.mkdtemp(prefix="limosa-bench-store-", dir="/var/tmp")
    try:
        found = measure(place, options.mib, options.commits)
    finally:
        shutil.rmtree(place)
    text = json.dumps(found, indent=1)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            file.write(text + "\n")
    print(json.dumps({key: value for key, value in found.items() if key != "commits"}, indent=1))


if __name__ == "__main__":
    main()
