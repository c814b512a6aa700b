#!/usr/bin/env python3
"""How soon a restored container answers, with its memory on demand and with all of it there (docs/performance.md).

    bench/lazy.py [--mib N…] [--copies N] [--depth N] [--warm N] [--runs N] [--json FILE]

A container with the safe defaults and no network has a heap. In turns, each from the engine's call to the first answer,
which reads a page: restore and rewind with --lazy=demand and with off; of off also criu's own part, from its request to
its answer. Copies: how long each takes, and the memory of all of them with their servers (Pss) beside one that has
everything. Depth: a restore of the first commit and of one with --depth ancestors. Warm: a fork that takes a copy which
was made ahead, --warm times. Needs root and gcc.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import places

from limosa import wiring
from limosa.engine import checkpoint, commits, copies, lifecycle, restore, rewind
from limosa.engine.host import Host
from limosa.linux import process
from limosa.model.commit import CommitRecord
from limosa.model.container import ContainerRecord, CopyRequest
from limosa.ports.page_servers import Laziness

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LIMOSA = f"{HERE}/.venv/bin/limosa"


class Bench:
    """A host of its own with one container, and what it answers."""

    def __init__(self, work: str) -> None:
        self.root, self.shared = f"{work}/root", f"{work}/shared"
        os.makedirs(self.root, mode=0o711)
        os.mkdir(self.shared)
        os.chmod(self.shared, 0o777)  # the container's root is nobody here
        self.limosa("image", "import", places.program_tar(work, "answer", "shared"), "answer")
        self.host: Host = wiring.host(self.root)
        self.criu_ms: list[float] = []
        self._time_criu()

    def limosa(self, *argv: str) -> str:
        """Run the command."""
        done = subprocess.run([LIMOSA, "--root", self.root, *argv], check=False, text=True, capture_output=True)
        assert done.returncode == 0, f"limosa {argv[0]}: {done.stderr}"
        return done.stdout

    def _time_criu(self) -> None:
        restored = self.host.checkpointer.restore

        def timed(*args: Any) -> int:
            start = time.perf_counter()
            pid = restored(*args)
            self.criu_ms.append((time.perf_counter() - start) * 1000)
            return pid

        self.host.checkpointer.restore = timed  # type: ignore[method-assign]

    def start(self, mib: int) -> None:
        """Start the program and wait until its heap is there."""
        mount = f"{self.shared}:/shared"
        options = ("--name", "one", "--network", "none", "-v", mount)
        self.limosa("run", "-d", *options, "answer", "/bin/answer", str(mib))
        while not os.path.exists(f"{self.shared}/answers"):
            time.sleep(0.01)

    def answer(self, record: ContainerRecord, directory: str = "") -> None:
        """Have one question answered; the answer comes in the directory that is shared, or another one."""
        path = f"{directory or self.shared}/answers"
        before = os.stat(path).st_mtime_ns  # not its content, which is the same after each restore
        os.kill(record.init_pid, signal.SIGUSR1)
        while os.stat(path).st_mtime_ns == before:
            time.sleep(0.0002)

    def record(self) -> ContainerRecord:
        """Return the container's record."""
        return self.host.containers.find("one")

    def commit(self, *, stop: bool = False) -> CommitRecord:
        """Commit it."""
        return checkpoint.checkpoint(self.host, self.record().container_id, checkpoint.Wanted(stop=stop))

    def answered_ms(self, bring: Callable[[], object]) -> float:
        """Return how long it takes until it answers, from a call on."""
        start = time.perf_counter()
        bring()
        self.answer(self.record())
        return (time.perf_counter() - start) * 1000

    def restored_ms(self, commit: CommitRecord, laziness: Laziness) -> float:
        """Restore a commit; the container does not run."""
        return self.answered_ms(lambda: restore.restore(self.host, commit, laziness=laziness))

    def stop(self) -> None:
        """End it."""
        lifecycle.stop(self.host, self.record().container_id, 0)

    def clear(self) -> None:
        """Remove the container and its commits."""
        self.limosa("rm", "--force", "one")
        for commit in commits.every(self.host):
            commits.forget(self.host, commit)
        self.limosa("gc", "--reflog-days", "0")
        os.unlink(f"{self.shared}/answers")


def one_size(bench: Bench, mib: int, runs: int) -> dict[str, Any]:
    """Measure restores and rewinds of a container with a heap of this size."""
    found: dict[str, list[float]] = {
        name: [] for name in ("restore_lazy", "restore_eager", "criu_eager", "rewind_lazy", "rewind_eager")
    }
    bench.start(mib)
    commit = bench.commit()
    for _ in range(runs):
        bench.stop()
        found["restore_lazy"].append(bench.restored_ms(commit, "demand"))
        bench.stop()
        found["restore_eager"].append(bench.restored_ms(commit, "off"))
        found["criu_eager"].append(bench.criu_ms[-1])
        for name, laziness in (("rewind_lazy", "demand"), ("rewind_eager", "off")):
            kind: Laziness = "demand" if laziness == "demand" else "off"
            found[name].append(
                bench.answered_ms(
                    lambda kind=kind: rewind.rewind(
                        bench.host, bench.record().container_id, commit, discard=True, laziness=kind
                    )
                )
            )
    bench.clear()
    return {"mib": mib} | {f"{name}_ms": statistics.median(values) for name, values in found.items()} | {"all": found}


def pss_mib(pids: list[int]) -> float:
    """Return the memory of processes; what several have is divided among them."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            total += next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    return total / 1024


def many(bench: Bench, mib: int, number: int) -> dict[str, Any]:
    """Measure copies: time for each, and the memory of all beside that of one with everything."""
    bench.start(0)
    empty = bench.commit(stop=True)
    bench.restored_ms(empty, "off")
    empty_criu_ms = []
    for _ in range(5):
        bench.stop()
        bench.restored_ms(empty, "off")
        empty_criu_ms.append(bench.criu_ms[-1])
    bench.clear()
    bench.start(mib)
    one_mib = pss_mib([bench.record().init_pid])
    commit = bench.commit()
    start = time.perf_counter()
    # What is mounted from outside is written to by one only, unless it is said.
    options = ("--lazy=demand", "--number", str(number), "--share-volumes")
    names = bench.limosa("fork", *options, commit.commit_id).split()
    took_ms = (time.perf_counter() - start) * 1000
    made = [bench.host.containers.find(name) for name in names]
    for record in made:
        bench.answer(record)
    servers = []
    for record in made:
        with open(f"{bench.root}/run/bundles/{record.container_id}/page-server", encoding="ascii") as file:
            pid = json.load(file)[1]
            servers += [pid, *process.children(pid)]
    all_mib, served_mib = pss_mib([record.init_pid for record in made]), pss_mib(servers)
    bench.limosa("rm", "--force", *names)
    bench.clear()
    return {
        **{"mib": mib, "copies": number, "took_ms": took_ms, "empty_criu_ms": statistics.median(empty_criu_ms)},
        **{"one_mib": one_mib, "copies_mib": all_mib, "servers_mib": served_mib},
    }


def depth(bench: Bench, mib: int, ancestors: int, runs: int) -> dict[str, Any]:
    """Measure a restore of the first commit and of one with ancestors."""
    bench.start(mib)
    first = bench.commit()
    for _ in range(ancestors):
        bench.answer(bench.record())
        last = bench.commit()
    found: dict[str, list[float]] = {"first": [], "last": []}
    for _ in range(runs):
        for name, commit in (("first", first), ("last", last)):
            bench.stop()
            found[name].append(bench.restored_ms(commit, "demand"))
    bench.clear()
    return {"mib": mib, "ancestors": ancestors} | {
        f"{name}_ms": statistics.median(values) for name, values in found.items()
    }


def warm(bench: Bench, mib: int, number: int) -> dict[str, Any]:
    """Measure forks that take a copy which was made ahead, from the engine's call to the first answer."""
    bench.limosa("run", "-d", "--name", "one", "answer", "/bin/answer", str(mib))  # on the default network
    place = bench.host.rootfs.path(bench.record().container_id)
    while not os.path.exists(f"{place}/shared/answers"):
        time.sleep(0.01)
    commit = bench.commit()
    bench.limosa("fork", "--warm", str(number), commit.commit_id)
    took_ms = []
    for _ in range(number):
        start = time.perf_counter()
        (record,) = copies.fork(bench.host, commit, [CopyRequest()])
        bench.answer(record, f"{bench.host.rootfs.path(record.container_id)}/shared")
        took_ms.append((time.perf_counter() - start) * 1000)
        bench.limosa("rm", "--force", record.config.name)
    bench.limosa("rm", "--force", "one")
    return {"mib": mib, "warm_ms": statistics.median(took_ms), "all": took_ms}


def main() -> int:
    """Print what was measured and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, nargs="*", default=[256, 1024, 4096])
    parser.add_argument("--copies", type=int, default=20)
    parser.add_argument("--depth", type=int, default=100)
    parser.add_argument("--warm", type=int, default=20)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", default=f"{HERE}/bench/out/lazy.json")
    args = parser.parse_args()
    work = tempfile.mkdtemp(prefix="limosa-bench-", dir="/var/tmp")
    os.chmod(work, 0o711)
    results: dict[str, Any] = {"kernel": os.uname().release, "sizes": []}
    try:
        bench = Bench(work)
        for mib in args.mib:
            size = one_size(bench, mib, args.runs)
            results["sizes"].append(size)
            on_demand, at_once, criu = (size[f"{name}_ms"] for name in ("restore_lazy", "restore_eager", "criu_eager"))
            back, back_at_once = size["rewind_lazy_ms"], size["rewind_eager_ms"]
            print(
                f"{mib:5} MiB: restore {on_demand:6.0f} on demand, {at_once:6.0f} at once (criu {criu:6.0f}): "
                f"{on_demand / criu:.3f}  rewind {back:6.0f}, {back_at_once:6.0f} ms: {back / back_at_once:.3f}",
                flush=True,
            )
        if args.copies:
            results["copies"] = one = many(bench, 512, args.copies)
            each = one["took_ms"] / args.copies
            print(
                f"{args.copies} copies of 512 MiB: {each:.0f} ms each, criu of an empty process "
                f"{one['empty_criu_ms']:.0f} ms; {one['copies_mib']:.0f} MiB and {one['servers_mib']:.0f} of servers "
                f"beside {one['one_mib']:.0f} MiB of one",
                flush=True,
            )
        if args.depth:
            results["depth"] = one = depth(bench, 64, args.depth, args.runs)
            print(f"first commit {one['first_ms']:.0f} ms, after {args.depth} more {one['last_ms']:.0f} ms")
        if args.warm:
            results["warm"] = one = warm(bench, 512, args.warm)
            print(f"a warm fork of 512 MiB: {one['warm_ms']:.1f} ms, at most {max(one['all']):.1f}")
        results["load"] = os.getloadavg()[0]
    finally:
        for argv in (("rm", "--force", "one"), ("recover",)):  # a run that failed may have left it
            subprocess.run([LIMOSA, "--root", f"{work}/root", *argv], check=False, capture_output=True)
        shutil.rmtree(work, ignore_errors=True)
    os.makedirs(os.path.dirname(args.json), exist_ok=True)
    with open(args.json, "w", encoding="utf-8") as file:
        json.dump(results, file, indent=2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
