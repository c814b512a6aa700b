#!/usr/bin/env python3
"""Moving a running redis to another host, beside podman's checkpoint, scp and restore (docs/performance.md).

    bench/moving.py [--mib N] [--runs N] [--json FILE]

Two hosts and a client's are network and mount namespaces on one bridge, each with an sshd. On them redis holds --mib of
data that hardly compresses, and somebody writes to it 200 times a second. What is measured is the longest gap that a
client sees. limosa's client holds one connection. podman's container has its host's network and address, and nobody is
connected: its downtime is from the command until the other host answers, less what podman needs to start at all. Both
run in the same namespaces, copy through the same sshd, and use the same criu: Debian 13's cannot dump a socket on new
kernels. Needs root and, the first time, Debian's mirror.
"""

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import places
from launcher import Launcher
from run import HERE, PATH, isolated

sys.path.insert(0, HERE)
from tests.e2e.clients import COUNTER, REDIS, client, fill, filling, prepare, wait_for_port
from tests.e2e.several_hosts import LimosaHost, Segment, segment

from limosa.linux import mount, namespaces
from limosa.wiring_setup import TOOLS_DIR

ADDRESS = "10.77.0.80"
ROOTFS = f"{places.CACHE}/redis-bookworm.tar"
GOALS = (("gap", "downtime that a client sees", 1 / 20), ("total", "from the command to its end", 1 / 2))

# Writes to random keys, 200 times a second, at the first address that answers.
WRITER = """
import random, socket, sys, time
while True:
    for address in sys.argv[2:]:
        try:
            with socket.create_connection((address, 6379), timeout=1) as connection:
                answers = connection.makefile("rb")
                while True:
                    number = random.randrange(1, int(sys.argv[1]))
                    connection.sendall(b"SET key:%d %d\\r\\n" % (number, number))
                    if not answers.readline():
                        break
                    time.sleep(0.005)
        except OSError:
            time.sleep(0.05)
"""


def rootfs() -> str:
    """Return a tar with a Debian 12 with redis, built once per machine."""
    if not os.path.exists(ROOTFS):
        os.makedirs(places.CACHE, exist_ok=True)
        command = ["mmdebstrap", "--quiet", "--variant=minbase", "--include=redis-server", "bookworm"]
        subprocess.run([*command, f"{ROOTFS}.new.tar"], check=True)
        os.rename(f"{ROOTFS}.new.tar", ROOTFS)
    return ROOTFS


@contextlib.contextmanager
def writer(host: LimosaHost, mib: int, *addresses: str) -> Iterator[None]:
    """Let somebody on a host write to redis for the time of a `with` block."""
    argv = [*host.prefix, sys.executable, "-c", WRITER, str(mib * 400), *addresses]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def limosa_moves(hosts: Segment, mib: int, runs: int) -> list[dict[str, Any]]:
    """Move redis there and back, `runs` times in all; return what each took."""
    found = []
    here, there = hosts.a, hosts.b
    here("run", "-d", "--name", "db", "--network", "lan", "--ip", ADDRESS, "redis", *REDIS, timeout=300)
    wait_for_port(hosts.c, ADDRESS, 6379)
    fill(here, mib)
    for _ in range(runs):
        with writer(hosts.c, mib, ADDRESS), client(hosts.c, COUNTER, ADDRESS) as said:
            time.sleep(1)
            began = time.monotonic()
            summary = json.loads(here("migrate", "--json", "db", there.name, timeout=300))
            total_s = time.monotonic() - began
            time.sleep(1)
        found.append({"gap_s": said["longest_s"], "total_s": total_s, "summary": summary})
        here, there = there, here
    here("rm", "--force", "db")
    return found


class Podman:
    """podman on one of the hosts."""

    def __init__(self, host: LimosaHost, work: str, tree: str) -> None:
        self.host, self.work = host, f"{work}/podman-{host.name}"
        os.makedirs(self.work)
        os.link(ROOTFS, f"{self.work}/rootfs.tar") if _one_disk(ROOTFS, self.work) else _copy(ROOTFS, self.work)
        env = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8", "PODMAN_IGNORE_CGROUPSV1_WARNING": "1"}
        self._launcher = Launcher(f"podman-{host.name}", env, lambda: self._enter(tree), "", "")
        self.do("import", "--quiet", "/mnt/rootfs.tar", "localhost/redis")

    def _enter(self, tree: str) -> None:
        namespaces.setns(namespaces.open_network(self.host.pid), namespaces.CLONE_NEWNET)
        places.enter_podman(tree, self.work, (TOOLS_DIR,))
        mount.bind(os.path.realpath(f"{TOOLS_DIR}/current/criu"), "/usr/sbin/criu")

    def do(self, *words: str) -> float:
        """Run podman; return the milliseconds that it took."""
        return float(self._launcher.run(["/usr/bin/podman", *words]).checked().wall_ms)

    def end(self) -> None:
        """Remove what is left."""
        self.do("rm", "--force", "--all", "--time", "0")
        self._launcher.end()


def podman_moves(hosts: Segment, work: str, mib: int) -> dict[str, Any]:
    """Move redis once as podman does: an export while it is stopped, scp, an import; return what it took."""
    tree = places.podman_tree()
    here, there = (Podman(host, work, tree) for host in (hosts.a, hosts.b))
    addresses = (hosts.a.address, hosts.b.address)
    here.do("run", "-d", "--name", "db", "--network", "host", "localhost/redis", *REDIS)
    wait_for_port(hosts.c, addresses[0], 6379)
    here.do("exec", "db", "redis-cli", *filling(mib))
    export = "export.tar.zst"
    with writer(hosts.c, mib, addresses[0]):
        time.sleep(1)
    starting_s = here.do("container", "exists", "db") / 1000
    began = time.monotonic()
    here.do("container", "checkpoint", "--export", f"/mnt/{export}", "db")
    checkpointed = time.monotonic()
    hosts.a.do("scp", "-O", "-q", f"{here.work}/{export}", f"root@{addresses[1]}:{there.work}/{export}", timeout=300)
    copied = time.monotonic()
    there.do("container", "restore", "--import", f"/mnt/{export}")
    ended = time.monotonic()
    wait_for_port(hosts.c, addresses[1], 6379)
    size_bytes = os.stat(f"{here.work}/{export}").st_size
    for side in (here, there):
        side.end()
    return {
        "gap_s": ended - began - starting_s, "total_s": ended - began, "sent_bytes": size_bytes,
        "checkpoint_s": checkpointed - began, "copy_s": copied - checkpointed, "restore_s": ended - copied,
    }  # fmt: skip


def _one_disk(path: str, directory: str) -> bool:
    return os.stat(path).st_dev == os.stat(directory).st_dev


def _copy(path: str, directory: str) -> None:
    subprocess.run(["cp", "--reflink=auto", path, f"{directory}/rootfs.tar"], check=True)


def inside(args: argparse.Namespace, work: str) -> int:
    """Measure and report."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with segment("abc") as hosts:
        prepare(hosts, ROOTFS, "redis")
        moves = limosa_moves(hosts, args.mib, args.runs)
        podman = podman_moves(hosts, work, args.mib)
    gap_s, total_s = (statistics.median(one[name] for one in moves) for name in ("gap_s", "total_s"))
    first, *others = [one["summary"]["sent_bytes"] for one in moves]
    print(f"redis with {args.mib} MiB under light writes, {args.runs} moves; podman once\n")
    print("| | limosa | podman | ratio | goal | |\n| --- | ---: | ---: | ---: | ---: | --- |")
    missed = False
    for (name, what, goal), value_s in zip(GOALS, (gap_s, total_s), strict=True):
        ratio = value_s / podman[f"{name}_s"]
        missed |= ratio > goal
        met = "met" if ratio <= goal else "missed"
        print(f"| {what} | {value_s:.2f} s | {podman[f'{name}_s']:.2f} s | {ratio:.3f} | {goal:.3f} | {met} |")
    for number, one in enumerate(moves, 1):
        summary = one["summary"]
        parts = ", ".join(f"{part['part']} {part['ns'] / 1e6:.0f}" for part in summary["took"])
        rounds = ", ".join(f"{part['sent_bytes'] / 1e6:.1f}" for part in summary["rounds"])
        print(
            f"\nmove {number}: frozen {summary['frozen_ns'] / 1e6:.0f} ms ({parts}), seen {one['gap_s'] * 1000:.0f} ms;"
            f" {summary['sent_bytes'] / 1e6:.1f} MB, rounds {rounds} MB, frozen {summary['frozen_bytes'] / 1e6:.2f} MB",
            end="",
        )
    if others:
        print(f"\n\nback: {others[0] / first:.3f} of the bytes of the first move (goal 0.1)")
    machine = {"kernel": platform.release(), "processors": os.cpu_count(), "load": os.getloadavg()[0]}
    os.makedirs(os.path.dirname(os.path.abspath(args.json)), exist_ok=True)
    with open(args.json, "w", encoding="ascii") as file:
        json.dump({"machine": machine, "mib": args.mib, "limosa": moves, "podman": podman}, file, indent=1)
    print(f"\n{args.json}")
    return 1 if missed else 0


def main() -> int:
    """Measure in namespaces of our own, and clean up after them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=512, metavar="N", help="of data")
    parser.add_argument("--runs", type=int, default=2, metavar="N", help="moves of limosa's")
    parser.add_argument("--json", default=f"{HERE}/bench/out/moving.json", metavar="FILE")
    args = parser.parse_args()
    rootfs()
    return isolated(lambda work, groups: inside(args, work))


if __name__ == "__main__":
    sys.exit(main())
