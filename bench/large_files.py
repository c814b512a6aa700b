#!/usr/bin/env python3
"""Commit, fork and rewind of a container with one large file, beside one with a small file, in turns in one run.

    bench/large_files.py [--large MIB] [--small MIB] [--runs N] [--json FILE]

A process maps its file; before each commit it stores to two pages through the mapping and sets the file's times back.
Told are milliseconds, their ratio, and the bytes that a commit read and added. Needs root, gcc and room for the large
file. See docs/performance.md.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from typing import Any

import places
from run import HERE, LIMOSA, isolated

GOAL = 1.5
_STEPS = ("commit", "frozen", "fork", "rewind")


class Container:
    """A container with a file of one size, committed once."""

    def __init__(self, root: str, name: str, mib: int) -> None:
        self._command, self.name, self._changes = [LIMOSA, "--root", root], name, 0
        self.ms: dict[str, list[float]] = {step: [] for step in _STEPS}
        self.read_bytes: list[int] = []
        self.new_bytes: list[int] = []
        self.do("run", "-d", "--name", name, "--network", "none", "bench", "/bin/mapper", str(mib))
        self._wait("ready", 1)
        start = time.perf_counter()
        self.do("checkpoint", name)
        self.first_ms = (time.perf_counter() - start) * 1000

    def do(self, *argv: str) -> str:
        """Run the command; return what it printed."""
        done = subprocess.run([*self._command, *argv], check=False, text=True, capture_output=True)
        if done.returncode:
            raise RuntimeError(f"limosa {argv[0]}: {done.stderr}")
        return done.stdout

    def _timed(self, step: str, *argv: str) -> str:
        start = time.perf_counter()
        printed = self.do(*argv)
        self.ms[step].append((time.perf_counter() - start) * 1000)
        return printed

    def _wait(self, word: str, times: int) -> None:
        deadline = time.monotonic() + 900
        while self.do("logs", self.name).count(word) < times:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} never said {word!r}")
            time.sleep(0.05)

    def measure(self) -> None:
        """Change the file and commit, start a copy of the commit, and go back to it, each once."""
        self._changes += 1
        self.do("kill", "-s", "USR1", self.name)
        self._wait("changed", self._changes)
        took = json.loads(self._timed("commit", "checkpoint", "--json", self.name))["stats"]
        self.ms["frozen"].append(took["frozen_ns"] / 1e6)
        self.read_bytes.append(took["read_bytes"])
        self.new_bytes.append(took["new_bytes"])
        self.do("rm", "--force", self._timed("fork", "fork", f"{self.name}~0").strip())
        self._timed("rewind", "rewind", "--discard", self.name, f"{self.name}~0")

    def figures(self, mib: int) -> dict[str, Any]:
        """Return the medians and everything measured."""
        medians = {f"{step}_ms": statistics.median(self.ms[step]) for step in _STEPS}
        moved = {"read_bytes": statistics.median(self.read_bytes), "new_bytes": statistics.median(self.new_bytes)}
        return {"mib": mib, "first_ms": self.first_ms, **medians, **moved, "all_ms": self.ms}


def inside(args: argparse.Namespace, work: str) -> int:
    """Measure and report."""
    root = f"{work}/limosa"
    os.mkdir(root, 0o711)
    tar = places.program_tar(work, "mapper")
    subprocess.run([LIMOSA, "--root", root, "image", "import", tar, "bench"], check=True, capture_output=True)
    small, large = Container(root, "small", args.small), Container(root, "large", args.large)
    for number in range(args.runs):
        for container in (small, large) if number % 2 == 0 else (large, small):
            container.measure()
    found = {"small": small.figures(args.small), "large": large.figures(args.large)}
    print(f"| | {args.large} MiB | {args.small} MiB | ratio | goal | |\n| --- | ---: | ---: | ---: | ---: | --- |")
    missed = False
    for step in _STEPS:
        ours, beside = found["large"][f"{step}_ms"], found["small"][f"{step}_ms"]
        missed |= ours > GOAL * beside
        met = "met" if ours <= GOAL * beside else "missed"
        print(f"| {step} | {ours:.0f} ms | {beside:.0f} ms | {ours / beside:.2f} | {GOAL} | {met} |")
    for kind in ("read", "new"):
        print(f"| bytes {kind} | {found['large'][f'{kind}_bytes']:.0f} | {found['small'][f'{kind}_bytes']:.0f} | | | |")
    print(f"\nthe first commit: {large.first_ms / 1000:.1f} s and {small.first_ms / 1000:.1f} s")
    machine = {"kernel": platform.release(), "processors": os.cpu_count(), "load": os.getloadavg()[0]}
    os.makedirs(os.path.dirname(os.path.abspath(args.json)), exist_ok=True)
    with open(args.json, "w", encoding="ascii") as file:
        json.dump({"machine": machine, "runs": args.runs, **found}, file, indent=1)
    print(f"\n{args.json}")
    return 1 if missed else 0


def main() -> int:
    """Measure in namespaces of our own, and clean up after them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", type=int, default=10240, metavar="MIB")
    parser.add_argument("--small", type=int, default=200, metavar="MIB")
    parser.add_argument("--runs", type=int, default=5, metavar="N")
    parser.add_argument("--json", default=f"{HERE}/bench/out/large_files.json", metavar="FILE")
    args = parser.parse_args()
    return isolated(lambda work, groups: inside(args, work))


if __name__ == "__main__":
    sys.exit(main())
