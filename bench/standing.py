#!/usr/bin/env python3
"""How long a commit keeps a container standing still, beside raw criu, in turns in one run (docs/performance.md).

    bench/standing.py --rootfs TAR [--mib N…] [--percent N…] [--runs N] [--priority] [--json FILE]

A container with the safe defaults has a heap of random pages. In turns: `criu dump --leave-running` of it to a tmpfs,
with the options that limosa uses, and a commit of limosa's, each after PERCENT of the heap's pages were written. Beside
them the floors: one PAGEMAP_SCAN, and process_vm_readv and BLAKE3 of as many pages. What is measured is the longest gap
that the program itself sees. TAR is a root file system with python3. --priority lets both sides come before everything
else on a machine that has other work, and the program nearly so. Needs root.
"""

import argparse
import ctypes
import json
import mmap
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from limosa import wiring
from limosa.adapters.criu.adapter import Criu
from limosa.engine import bundle, checkpoint, commits
from limosa.engine.host import Host
from limosa.linux import mount, pagemap_scan, process_memory
from limosa.linux.pagemap_scan import FILE, PRESENT, SWAPPED, WRITTEN, ZERO
from limosa.model.container import ContainerRecord
from limosa.ports.checkpointer import DumpPlan

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LIMOSA = f"{HERE}/.venv/bin/limosa"
PRIORITY = 20
PAGE = 4096

# SIGUSR1 writes the pages, SIGUSR2 tells the longest gap since then, SIGHUP how many writes a second of its own has.
PROGRAM = """
import mmap, os, random, signal, sys, time
pages, written = int(sys.argv[1]), int(sys.argv[2])
heap = mmap.mmap(-1, max(pages, 1) * 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
pool = os.urandom(1 << 20)
for page in range(pages):
    at = page % 8192 * 64  # the store has each content once: only the first commit would take longer
    heap[page * 4096 : page * 4096 + 2048] = pool[at : at + 2048]
wanted = []
for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
    signal.signal(number, lambda number, _: wanted.append(number))
seed = 0
print("ready", flush=True)
last, gap = time.monotonic(), 0.0
while True:
    now = time.monotonic()
    gap, last = max(gap, now - last), now
    if wanted:
        number = wanted.pop(0)
        if number == signal.SIGUSR1:
            seed += 1
            for page in random.Random(seed).sample(range(pages), written):
                heap[page * 4096 + 64 : page * 4096 + 128] = pool[seed * 64 % 65536 :][:64]
            print("written", flush=True)
        elif number == signal.SIGUSR2:
            print(f"gap {gap * 1000:.3f}", flush=True)
        else:
            end, count, page, step = time.process_time() + 1.0, 0, 0, 7919
            while time.process_time() < end:
                for _ in range(500):
                    page = (page + step) % pages
                    heap[page * 4096] = count & 255
                    count += 1
            print(f"rate {count}", flush=True)
        last, gap = time.monotonic(), 0.0
    time.sleep(0.0002)
"""


class Bench:
    """A host of its own with one container at a time."""

    def __init__(self, root: str, rootfs: str, images: str, *, priority: bool) -> None:
        self.root, self.images, self.priority = root, images, priority
        self.host: Host = wiring.host(root)
        self.limosa("image", "import", rootfs, "python")

    def limosa(self, *argv: str) -> str:
        """Run the command."""
        done = subprocess.run([LIMOSA, "--root", self.root, *argv], check=False, text=True, capture_output=True)
        assert done.returncode == 0, f"limosa {argv[0]}: {done.stderr}"
        return done.stdout

    def start(self, mib: int, written: int) -> ContainerRecord:
        """Start the program and wait until its heap is there."""
        pages = mib << 8
        self.limosa("run", "-d", "--name", "one", "python", "python3", "-c", PROGRAM, str(pages), str(written))
        record = self.host.containers.find("one")
        self.said = 0
        self.hear("ready")
        if self.priority:  # a container's group has no share for the other kind
            os.setpriority(os.PRIO_PROCESS, record.init_pid, -20)
        return record

    def hear(self, word: str) -> str:
        """Return the next line of the program, which begins with `word`."""
        deadline = time.monotonic() + 300
        while True:
            lines = self.limosa("logs", "one").splitlines()
            if len(lines) > self.said:
                line = lines[self.said]
                self.said += 1
                assert line.startswith(word), line
                return line
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def ask(self, record: ContainerRecord, number: int, word: str) -> float:
        """Send a signal and return the number that is answered, 0 if there is none."""
        os.kill(record.init_pid, number)
        return float([*self.hear(word).split(), "0"][1])

    def raw_criu(self, record: ContainerRecord) -> None:
        """Dump it as limosa would, by criu alone, to a tmpfs."""
        directory = f"{self.images}/raw"
        os.mkdir(directory)
        os.chmod(directory, 0o711)
        rootfs = self.host.rootfs.path(record.container_id)
        plan = DumpPlan(
            init_pid=record.init_pid,
            criu_images=directory,
            rootfs=rootfs,
            leave_running=True,
            external_mounts=bundle.external_mounts(bundle.plan(self.host, record, rootfs)),
            processes=tuple(self.host.cgroups.processes(record.container_id)),
        )
        with self.urgent():
            Criu(wiring._program("criu"), self.images).dump(plan, lambda _: None)
        shutil.rmtree(directory)

    def commit(self, record: ContainerRecord) -> None:
        """Make a commit, in this process."""
        with self.urgent():
            checkpoint.checkpoint(self.host, record.container_id)

    @contextmanager
    def urgent(self) -> Iterator[None]:
        """Have this process, and what it starts, come before all others, if so asked."""
        if self.priority:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
        try:
            yield
        finally:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


class Floors:
    """What nothing can be faster than."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.ranges = pagemap_scan.Ranges()
        self.room = memoryview(mmap.mmap(-1, 1 << 30))

    def scan_ms(self) -> float:
        """Scan everything once, changing nothing."""
        pagemap = os.open(f"/proc/{self.pid}/pagemap", os.O_RDONLY)
        start = time.perf_counter()
        self.ranges.scan(pagemap, all_of=0, none_of=FILE | ZERO, any_of=PRESENT | SWAPPED, tell=WRITTEN)
        found = (time.perf_counter() - start) * 1000
        os.close(pagemap)
        return found

    def read_and_hash_ms(self, n_pages: int) -> float:
        """Read and hash as many scattered pages as were written."""
        import blake3

        heap = max(process_memory.mappings(self.pid), key=lambda one: (one.private, one.end - one.first))
        step = max(2, (heap.end - heap.first) // PAGE // max(n_pages, 1))
        starts = array("Q", (heap.first + page * step * PAGE for page in range(n_pages)))
        ends = array("Q", (start + PAGE for start in starts))
        into = self.room[: n_pages * PAGE]
        into[:] = bytes(len(into))
        start = time.perf_counter()
        process_memory.read_ranges(self.pid, starts, ends, into)
        for at in range(0, len(into), PAGE):
            blake3.blake3(into[at : at + PAGE]).digest()
        return (time.perf_counter() - start) * 1000


def one_size(bench: Bench, mib: int, percent: float, runs: int) -> dict[str, Any]:
    """Measure one size of heap, in turns."""
    written = int((mib << 8) * percent / 100)
    record = bench.start(mib, written)
    floors = Floors(record.init_pid)
    found: dict[str, list[float]] = {name: [] for name in ("raw", "limosa", "whole", "scan", "read_and_hash")}
    try:
        bench.commit(record)  # the first one copies everything
        for _ in range(runs):
            bench.ask(record, signal.SIGUSR1, "written")
            bench.raw_criu(record)
            found["raw"].append(bench.ask(record, signal.SIGUSR2, "gap"))
            bench.ask(record, signal.SIGUSR1, "written")
            start = time.perf_counter()
            bench.commit(record)
            found["whole"].append((time.perf_counter() - start) * 1000)
            found["limosa"].append(bench.ask(record, signal.SIGUSR2, "gap"))
            found["scan"].append(floors.scan_ms())
            found["read_and_hash"].append(floors.read_and_hash_ms(written))
    finally:
        bench.limosa("rm", "--force", "one")
        for commit in commits.every(bench.host):
            commits.forget(bench.host, commit)
        bench.limosa("gc", "--reflog-days", "0")
    return (
        {"mib": mib, "percent": percent, "written_pages": written}
        | {f"{name}_ms": statistics.median(values) for name, values in found.items()}
        | {"all": found}
    )


def throughput(bench: Bench, mib: int, runs: int) -> dict[str, Any]:
    """Measure how many writes to memory a second a program makes, not followed and after a commit, in turns."""
    rates: dict[str, list[float]] = {"untracked": [], "tracked": []}
    for _ in range(runs):
        record = bench.start(mib, 0)
        rates["untracked"].append(bench.ask(record, signal.SIGHUP, "rate"))
        bench.commit(record)
        rates["tracked"].append(bench.ask(record, signal.SIGHUP, "rate"))
        bench.limosa("rm", "--force", "one")
    medians = {name: statistics.median(values) for name, values in rates.items()}
    return {"mib": mib, **medians, "ratio": medians["tracked"] / medians["untracked"], "all": rates}


def main() -> int:
    """Print the table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rootfs", required=True)
    parser.add_argument("--mib", type=int, nargs="+", default=[0, 256, 1024, 4096])
    parser.add_argument("--percent", type=float, default=1.0)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--priority", action="store_true")
    parser.add_argument("--json", default=f"{HERE}/bench/out/standing.json")
    args = parser.parse_args()
    root, images = tempfile.mkdtemp(prefix="limosa-bench-", dir="/var/tmp"), tempfile.mkdtemp(prefix="limosa-bench-")
    os.chmod(root, 0o711)
    ctypes.CDLL(None, use_errno=True).unshare(0x20000)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    mount.mount("limosa-bench", images, "tmpfs", mount.MS_NOSUID)
    os.chmod(images, 0o711)
    results: dict[str, Any] = {"sizes": [], "kernel": os.uname().release, "python": platform.python_version()}
    try:
        bench = Bench(root, args.rootfs, images, priority=args.priority)
        for mib in args.mib:
            size = one_size(bench, mib, args.percent, args.runs)
            results["sizes"].append(size)
            print(
                f"{mib:5} MiB: raw criu {size['raw_ms']:8.1f}  limosa {size['limosa_ms']:7.1f}  "
                f"ratio {size['limosa_ms'] / size['raw_ms']:.3f}  scan {size['scan_ms']:6.1f}  "
                f"whole commit {size['whole_ms']:8.1f}  read and hash {size['read_and_hash_ms']:7.1f} ms"
                f"  ratio {size['whole_ms'] / max(size['read_and_hash_ms'], 0.1):.1f}",
                flush=True,
            )
        results["throughput"] = throughput(bench, 256, args.runs)
        print(f"writes to memory, followed / not followed: {results['throughput']['ratio']:.3f}")
        results["load"] = os.getloadavg()[0]
    finally:
        for argv in (("rm", "--force", "one"), ("recover",)):  # a run that failed may have left it
            subprocess.run([LIMOSA, "--root", root, *argv], check=False, capture_output=True)
        shutil.rmtree(root, ignore_errors=True)
        subprocess.run(["umount", images], check=False)
        os.rmdir(images)
    os.makedirs(os.path.dirname(args.json), exist_ok=True)
    with open(args.json, "w", encoding="utf-8") as file:
        json.dump(results, file, indent=2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
