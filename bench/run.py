#!/usr/bin/env python3
"""limosa beside podman: what a user waits for, interleaved, as a table and as JSON (docs/performance.md).

    bench/run.py [--runs N] [--only NAME…] [--json FILE]

Needs root and, the first time, Debian's mirror. Everything runs in namespaces of this program's own.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import places
from launcher import Launcher

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LIMOSA = f"{HERE}/.venv/bin/limosa"
LIMIT = 0.8
MANY = 200
COPIES = 50
AT_ONCE = 10
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_WORK = "LIMOSA_BENCH_WORK"  # the directory of a bench whose namespaces have been entered


class Scenario(NamedTuple):
    """One thing to measure: the same arguments for both commands."""

    name: str
    what: str
    argv: tuple[str, ...]
    copies: int = 1
    running: str = ""  # "one" or "many": containers that run meanwhile


SCENARIOS = (
    Scenario("run-none", "run --rm, no network", ("run", "--rm", "--network", "none", "IMAGE", "true")),
    Scenario("run-bridge", "run --rm, bridge", ("run", "--rm", "IMAGE", "true")),
    Scenario("exec", "exec", ("exec", "one", "true"), running="one"),
    Scenario("parallel", f"{COPIES} parallel run --rm, bridge", ("run", "--rm", "IMAGE", "true"), copies=COPIES),
    Scenario("ps", "ps, many containers", ("ps",), running="many"),
)


class Side:
    """One of the two commands."""

    def __init__(self, launcher: Launcher, command: list[str], oci_image: str, at_once: tuple[str, ...] = ()) -> None:
        """`at_once` are the options with which `rm --force` does not wait for a program to end."""
        self.launcher, self._command, self._oci_image, self.at_once = launcher, command, oci_image, at_once
        self.wall_ms: list[float] = []
        self.cpu_ms = 0.0

    def do(self, *argv: str, copies: int = 1) -> Any:
        """Run the command with arguments in which IMAGE is the image."""
        words = [self._oci_image if word == "IMAGE" else word for word in argv]
        return self.launcher.run([*self._command, *words], copies).checked()

    def measure(self, scenario: Scenario) -> None:
        """Run a scenario once and wait until the machine is quiet again."""
        before = self.launcher.cpu_ms()
        self.wall_ms.append(self.do(*scenario.argv, copies=scenario.copies).wall_ms)
        self.launcher.settle()
        self.cpu_ms += self.launcher.cpu_ms() - before

    def figures(self) -> dict[str, Any]:
        """Return what was measured since the last call."""
        count = len(self.wall_ms)
        found = {
            "median_ms": statistics.median(self.wall_ms),
            "min_ms": min(self.wall_ms),
            "max_ms": max(self.wall_ms),
            "cpu_ms": self.cpu_ms / count or None,
            "all_ms": [round(value, 2) for value in self.wall_ms],
        }
        self.wall_ms, self.cpu_ms = [], 0.0
        return found


def start_containers(side: Side, kind: str, many: int) -> None:
    """Start the containers that a scenario needs."""
    start = ("run", "-d", "--network", "none")
    if kind == "one":
        side.do(*start, "--name", "one", "IMAGE", "sleep", "100000")
    elif kind == "many":
        for _ in range(many // AT_ONCE):
            side.do(*start, "IMAGE", "sleep", "100000", copies=AT_ONCE)
    side.launcher.settle(as_before=False)


def remove_containers(side: Side) -> None:
    """Remove all of them."""
    names = side.do("ps", "--all", "--quiet").output.split()
    for first in range(0, len(names), AT_ONCE):
        side.do("rm", "--force", *side.at_once, *names[first : first + AT_ONCE])
    side.launcher.settle(as_before=False)


def compare(scenario: Scenario, sides: dict[str, Side], runs: int, many: int) -> dict[str, Any]:
    """Measure one scenario, the two commands in turn, each first in every other round."""
    for side in sides.values():
        start_containers(side, scenario.running, many)
        side.do(*scenario.argv, copies=scenario.copies)  # neither pays for cold files
        side.launcher.settle(as_before=False)  # what it started to stay, it keeps: limosa the view of /proc
    for number in range(runs):
        order = list(sides.values())
        for side in order if number % 2 == 0 else reversed(order):
            side.measure(scenario)
    found: dict[str, Any] = {name: side.figures() for name, side in sides.items()}
    ratio = found["limosa"]["median_ms"] / found["podman"]["median_ms"]
    return {"name": scenario.name, "what": scenario.what, "argv": list(scenario.argv), "copies": scenario.copies,
            "runs": runs, **found, "ratio": round(ratio, 3)}  # fmt: skip


def row(result: dict[str, Any]) -> str:
    """Return a result as a line of the table."""
    cells = [result["what"]]
    for key in ("median_ms", "cpu_ms"):
        cells += ["-" if result[side][key] is None else f"{result[side][key]:.0f}" for side in ("limosa", "podman")]
    return "| " + " | ".join([*cells, f"{result['ratio']:.2f}"]) + " |"


def busybox(directory: str) -> str:
    """Make a tar with a root file system: busybox and the names that the scenarios use."""
    program = shutil.which("busybox") or sys.exit("bench: apt install busybox-static")
    tree = f"{directory}/busybox"
    for name in ("bin", "etc", "tmp", "proc", "sys", "dev"):
        os.makedirs(f"{tree}/{name}")
    shutil.copy(program, f"{tree}/bin/busybox")
    for name in ("sh", "true", "sleep"):
        os.symlink("busybox", f"{tree}/bin/{name}")
    subprocess.run(["tar", "--create", "--file", f"{directory}/busybox.tar", "--directory", tree, "."], check=True)
    return f"{directory}/busybox.tar"


def sides_of(work: str, groups: places.Groups, tree: str, archive: str) -> dict[str, Side]:
    """Make both commands ready, with the image of the root file system in `archive`."""
    groups.make(("limosa", "podman"))

    def launcher(name: str, enter: Any) -> Launcher:
        def entered() -> None:
            groups.enter(name)
            enter()

        env = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8", "PODMAN_IGNORE_CGROUPSV1_WARNING": "1"}
        files = (groups.file(name, "cpuacct", "cpuacct.usage"), groups.file(name, "cpuacct", ""))
        return Launcher(name, env, entered, *files)

    os.makedirs(f"{work}/podman")
    os.link(archive, f"{work}/podman/rootfs.tar")
    os.mkdir(f"{work}/limosa", 0o711)
    limosa = launcher("limosa", lambda: None)
    podman = launcher("podman", lambda: places.enter_podman(tree, f"{work}/podman"))
    found = {
        "limosa": Side(limosa, [LIMOSA, "--root", f"{work}/limosa"], "bench"),
        "podman": Side(podman, ["/usr/bin/podman"], "localhost/bench", ("--time", "0")),
    }
    found["limosa"].do("image", "import", archive, "bench")
    found["podman"].do("import", "--quiet", "/mnt/rootfs.tar", "localhost/bench")
    return found


def inside(args: argparse.Namespace, work: str, groups: places.Groups) -> int:
    """Measure; this process is in namespaces of its own, with which everything that it leaves behind ends."""
    sides = sides_of(work, groups, places.podman_tree(), busybox(work))
    version = sides["podman"].do("--version").output.strip()
    print(f"limosa beside {version}, {args.runs} runs each in turn; milliseconds, medians\n")
    print("| | limosa | podman | CPU limosa | CPU podman | ratio |\n| --- | ---: | ---: | ---: | ---: | ---: |")
    results: list[dict[str, Any]] = []
    for scenario in SCENARIOS:
        if not args.only or scenario.name in args.only:
            for side in sides.values() if results else ():
                remove_containers(side)
            results.append(compare(scenario, sides, args.runs, args.many))
            print(row(results[-1]), flush=True)
    for side in sides.values():
        side.launcher.end()
    machine = {"kernel": platform.release(), "processors": os.cpu_count(), "python": platform.python_version()}
    report: dict[str, Any] = {"limit": LIMIT, "podman": version, "many": args.many}
    report |= {"machine": {**machine, "load": os.getloadavg()[0]}, "results": results}
    os.makedirs(os.path.dirname(os.path.abspath(args.json)), exist_ok=True)
    with open(args.json, "w", encoding="ascii") as file:
        json.dump(report, file, indent=1)
    print(f"\n{args.json}")
    slow = [result["name"] for result in results if result["ratio"] > LIMIT]
    if slow:
        print(f"more than {LIMIT} of podman's time: {', '.join(slow)}")
    return 1 if slow else 0


def first_process(action: Callable[[], int]) -> int:
    """Do `action` in a child and be what a first process is: the parent of orphans, whose end it takes note of."""
    child = os.fork()
    if child == 0:
        return action()
    while True:
        pid, status = os.wait()
        if pid == child:
            return os.waitstatus_to_exitcode(status)


def isolated(measure: Callable[[str, places.Groups], int]) -> int:
    """Call `measure` with a directory and cgroups, in namespaces of this program's own, and clean up after it."""
    if _WORK in os.environ:
        work = os.environ[_WORK]
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)  # podman's criu connects to it
        return first_process(lambda: measure(work, places.Groups(os.path.basename(work))))
    places.podman_tree()
    work = tempfile.mkdtemp(prefix="limosa-bench-", dir="/var/tmp")
    os.chmod(work, 0o711)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    command = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation"]
    command += ["private", sys.executable, *sys.argv]
    try:
        return subprocess.run(command, env={**os.environ, _WORK: work}, check=False).returncode
    finally:
        clean_up(work)


def main() -> int:
    """Measure in namespaces of our own, and clean up after them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=11, metavar="N")
    parser.add_argument("--many", type=int, default=MANY, metavar="N", help="containers that `ps` lists")
    parser.add_argument("--only", nargs="+", choices=[scenario.name for scenario in SCENARIOS])
    parser.add_argument("--json", default=f"{HERE}/bench/out/run.json", metavar="FILE")
    args = parser.parse_args()
    return isolated(lambda work, groups: inside(args, work, groups))


def clean_up(work: str) -> None:
    """Remove cgroups and files; the kernel ends what was in the namespaces a moment after their first process."""
    deadline = time.monotonic() + 10
    groups = places.Groups(os.path.basename(work))
    while groups.remove() and time.monotonic() < deadline:
        time.sleep(0.05)
    shutil.rmtree(work)


if __name__ == "__main__":
    sys.exit(main())
