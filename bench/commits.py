#!/usr/bin/env python3
"""Commits beside podman's checkpoints: a process with memory and files, in turn, as a table and as JSON.

    bench/commits.py [--runs N] [--memory MIB] [--files MIB] [--copies N] [--commits N] [--lazy HOW] [--json FILE]

What is stored is held against zstd of the unique pages, and against borg and restic, which get CRIU's images of the
same commits. Needs root, gcc and, the first time, Debian's mirror. See docs/performance.md.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import places
import zstandard
from blake3 import blake3
from run import HERE, Side, isolated, sides_of

from limosa import wiring
from limosa.adapters.commit_store.record import LEVEL
from limosa.engine import commits
from limosa.engine.host import Host
from limosa.model.commit import CommitRecord
from limosa.model.commit_store import PAGE_BYTES, Blob, Inline, Paged

_ZERO = bytes(PAGE_BYTES)
_FRAME_PAGES = 64  # what the store compresses at a time
_ENV = {"BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes", "RESTIC_PASSWORD": "bench", "HOME": "/root"}


class Goal(NamedTuple):
    """A row of the table."""

    name: str
    what: str
    beside: str
    limit: float


GOALS = (
    Goal("checkpoint", "checkpoint, leaving it running", "podman checkpoint --leave-running -e", 1 / 6),
    Goal("second", "second commit, 1 % changed", "the first", 1 / 3),
    Goal("fork", "fork -n 1", "podman restore -i -n", 1 / 15),
    Goal("forks", "forks, all of them", "as many podman restores", 1 / 20),
    Goal("stored", "stored MB of all commits", "zstd of unique pages and files", 1.1),
)


class Work:
    """What both sides do, each in its words."""

    def __init__(self, name: str, side: Side, args: argparse.Namespace) -> None:
        self.name, self.side, self._args = name, side, args
        self._times = 0

    def start(self, seed: int) -> None:
        """Start the worker and wait until its memory and files are there."""
        sizes = (str(self._args.memory), str(self._args.files))
        self.side.do("run", "-d", "--name", "w", "--network", "none", "IMAGE", "/bin/worker", str(seed), *sizes)
        self._await("ready", 1)
        self._times = 0

    def _await(self, word: str, times: int) -> None:
        for _ in range(6000):
            if self.side.do("logs", "w").output.count(word) >= times:
                return
            time.sleep(0.05)
        raise RuntimeError(f"{self.name}: the worker never said {word!r}")

    def change(self) -> None:
        """Let the worker write to 1 % of its pages."""
        self._times += 1
        self.side.do("kill", *(("--signal", "USR1") if self.name == "podman" else ("-s", "USR1")), "w")
        self._await("changed", self._times)

    def checkpoint(self) -> float:
        """Make a checkpoint of the running worker; return milliseconds."""
        if self.name == "limosa":
            return float(self.side.do("checkpoint", "w").wall_ms)
        options = ("--leave-running", "--export", "/mnt/export.tar.zst")
        return float(self.side.do("container", "checkpoint", *options, "w").wall_ms)

    def copies(self, number: int) -> float:
        """Start copies of the last checkpoint, and remove them; return the milliseconds until all run."""
        if self.name == "limosa":
            done = self.side.do("fork", f"--lazy={self._args.lazy}", "--number", str(number), "w~0")
            self.side.do("rm", "--force", *done.output.split())
            return float(done.wall_ms)
        total = 0.0
        for index in range(number):  # removed one by one: all of them together are more memory than a small machine has
            name = f"copy-{index}"
            total += self.side.do("container", "restore", "--import", "/mnt/export.tar.zst", "--name", name).wall_ms
            self.side.do("rm", "--force", "--time", "0", name)
        return total

    def remove(self) -> None:
        """Remove the worker."""
        self.side.do("rm", "--force", *self.side.at_once, "w")


def measure_times(works: list[Work], args: argparse.Namespace) -> dict[str, dict[str, list[float]]]:
    """Return milliseconds by what and by side, measured in turn."""
    found: dict[str, dict[str, list[float]]] = {
        what: {work.name: [] for work in works} for what in ("checkpoint", "second", "fork", "forks")
    }
    for number in range(args.runs):
        for work in works if number % 2 == 0 else reversed(works):
            work.start(number + 1)
            found["checkpoint"][work.name].append(work.checkpoint())
            work.change()
            found["second"][work.name].append(work.checkpoint())
            found["fork"][work.name].append(work.copies(1))
            if number == args.runs - 1:
                found["forks"][work.name].append(work.copies(args.copies))
            work.remove()
    return found


def contents(host: Host, record: CommitRecord) -> Iterator[bytes]:
    """Yield all that a commit has: pages of memory and of large files, small files and criu's images."""
    with host.store.reading(commits.identifier(record)) as reader:
        for _, entry in reader.entries():
            if isinstance(entry.content, (Inline, Blob)):
                yield reader.content(entry)
            elif isinstance(entry.content, Paged):
                for run in reader.page_runs(entry.content.pages):
                    data = memoryview(reader.read_run(run))
                    for place in range(0, len(data), PAGE_BYTES):
                        yield bytes(data[place : place + PAGE_BYTES])


def floor_bytes(host: Host, records: list[CommitRecord]) -> int:
    """Return the bytes that zstd makes of what is unique in commits, as much at a time as the store takes."""
    compressor = zstandard.ZstdCompressor(level=LEVEL)
    seen: set[bytes] = set()
    waiting, total = bytearray(), 0
    for record in records:
        for data in contents(host, record):
            digest = blake3(data).digest()[:16]
            if digest in seen or data == _ZERO:
                continue
            seen.add(digest)
            waiting += data
            if len(waiting) >= _FRAME_PAGES * PAGE_BYTES:
                total += len(compressor.compress(bytes(waiting)))
                waiting.clear()
    return total + len(compressor.compress(bytes(waiting)))


def tree_bytes(directory: str) -> int:
    """Return the size of the files below a directory."""
    return sum(os.lstat(f"{place}/{name}").st_size for place, _, names in os.walk(directory) for name in names)


class Other:
    """A backup program, in podman's tree, that gets CRIU's images of one commit after the other."""

    def __init__(self, name: str, side: Side, work: str, init: list[str], save: Callable[[int], list[str]]) -> None:
        self.name, self._side, self._save = name, side, save
        self.repository = f"{work}/podman/{name}"
        self.ms: list[float] = []
        self._run(init)

    def _run(self, argv: list[str]) -> float:
        words = ["/usr/bin/env", *(f"{name}={value}" for name, value in _ENV.items()), *argv]
        return float(self._side.launcher.run(words).checked().wall_ms)

    def save(self, number: int) -> None:
        """Take what is in /mnt/images now."""
        self.ms.append(self._run(self._save(number)))


def measure_bytes(works: list[Work], work: str, args: argparse.Namespace) -> dict[str, Any]:
    """Return what commits of a worker of its own take in the store, in borg's and in restic's, and their floor."""
    limosa, podman = works
    borg, restic = ["/usr/bin/borg"], ["/usr/bin/restic", "--quiet", "--repo", "/mnt/restic"]
    others = [
        Other("borg", podman.side, work, [*borg, "init", "--encryption=none", "/mnt/borg"],
              lambda number: [*borg, "create", "--compression=zstd,1", f"/mnt/borg::{number}", "/mnt/images"]),
        Other("restic", podman.side, work, [*restic, "init"], lambda number: [*restic, "backup", "/mnt/images"]),
    ]  # fmt: skip
    host = wiring.host(f"{work}/limosa")
    packs = f"{work}/limosa/commits/packs"
    limosa.start(1000)
    before = tree_bytes(packs)
    records, ms = [], []
    for number in range(args.commits):
        if number:
            limosa.change()
        ms.append(limosa.checkpoint())
        records.append(commits.find(host, "w"))
    stored = tree_bytes(packs) - before
    for number, record in enumerate(records):
        images = f"{work}/podman/images"
        os.mkdir(images)
        with host.store.reading(commits.identifier(record)) as reader:
            host.memory_archive.load(reader, images)
        if number < args.others:
            for other in others:
                other.save(number)
        shutil.rmtree(images)
    found: dict[str, Any] = {
        "commits": args.commits, "limosa": stored, "limosa_ms": ms, "floor": floor_bytes(host, records),
        "first_commits": args.others, "first_floor": floor_bytes(host, records[: args.others]),
    }  # fmt: skip
    for other in others:
        found[other.name] = tree_bytes(other.repository)
        found[f"{other.name}_ms"] = other.ms
    limosa.remove()
    host.store.close()
    return found


def rows(times: dict[str, dict[str, list[float]]], sizes: dict[str, Any], copies: int) -> list[dict[str, Any]]:
    """Return the rows of the table."""

    def middle(what: str, name: str) -> float:
        return statistics.median(times[what][name])

    stored = {"stored": (sizes["limosa"] / 1e6, sizes["floor"] / 1e6)}
    pairs = (
        stored
        if not times
        else {
            **stored,
            "checkpoint": (middle("checkpoint", "limosa"), middle("checkpoint", "podman")),
            "second": (middle("second", "limosa"), middle("checkpoint", "limosa")),
            "fork": (middle("fork", "limosa"), middle("fork", "podman")),
            "forks": (middle("forks", "limosa"), middle("forks", "podman")),
        }
    )
    return [
        {**goal._asdict(), "value": round(pairs[goal.name][0], 1), "other": round(pairs[goal.name][1], 1),
         "ratio": round(pairs[goal.name][0] / pairs[goal.name][1], 4)} for goal in GOALS if goal.name in pairs
    ]  # fmt: skip


def inside(args: argparse.Namespace, work: str, groups: places.Groups) -> int:
    """Measure and report."""
    sides = sides_of(work, groups, places.podman_tree(), places.program_tar(work, "worker"))
    version = sides["podman"].do("--version").output.strip()
    works = [Work(name, side, args) for name, side in sides.items()]
    times = {} if args.only_stored else measure_times(works, args)
    sizes = measure_bytes(works, work, args)
    for side in sides.values():
        side.launcher.end()
    table = rows(times, sizes, args.copies)
    print(f"{args.memory} MiB of memory, {args.files} MiB of files, beside {version}; {args.runs} runs in turn\n")
    print("| | limosa | beside | | ratio | goal | |\n| --- | ---: | --- | ---: | ---: | ---: | --- |")
    for row in table:
        met = "met" if row["ratio"] <= row["limit"] else "missed"
        unit = "MB" if row["name"] == "stored" else "ms"
        print(
            f"| {row['what']} | {row['value']:.0f} {unit} | {row['beside']} | {row['other']:.0f} {unit} "
            f"| {row['ratio']:.3f} | {row['limit']:.3f} | {met} |"
        )
    for name in ("borg", "restic") if args.others else ():
        each = statistics.mean(sizes[f"{name}_ms"])
        print(
            f"\n{name}: CRIU's images of {args.others} commits, {each:.0f} ms each, {sizes[name] / 1e6:.0f} MB", end=""
        )
        print(f"; the floor, which has the files too, is {sizes['first_floor'] / 1e6:.0f} MB")
    machine = {"kernel": platform.release(), "processors": os.cpu_count(), "load": os.getloadavg()[0]}
    report = {"podman": version, "machine": machine, **vars(args), "rows": table, "times_ms": times, "bytes": sizes}
    os.makedirs(os.path.dirname(os.path.abspath(args.json)), exist_ok=True)
    with open(args.json, "w", encoding="ascii") as file:
        json.dump(report, file, indent=1)
    print(f"\n{args.json}")
    return 1 if any(row["ratio"] > row["limit"] for row in table) else 0


def main() -> int:
    """Measure in namespaces of our own, and clean up after them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, metavar="N")
    parser.add_argument("--memory", type=int, default=512, metavar="MIB")
    parser.add_argument("--files", type=int, default=200, metavar="MIB")
    parser.add_argument("--copies", type=int, default=20, metavar="N", help="of the row with many forks")
    parser.add_argument("--commits", type=int, default=20, metavar="N", help="whose bytes are counted")
    parser.add_argument("--only-stored", action="store_true", help="measure bytes, and no times")
    parser.add_argument("--others", type=int, default=5, metavar="N", help="commits that borg and restic get")
    parser.add_argument("--lazy", choices=("background", "demand", "off"), default="off", help="of limosa's forks")
    parser.add_argument("--json", default=f"{HERE}/bench/out/commits.json", metavar="FILE")
    args = parser.parse_args()
    return isolated(lambda work, groups: inside(args, work, groups))


if __name__ == "__main__":
    sys.exit(main())
