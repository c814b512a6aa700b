#!/usr/bin/env python3
"""A chapter of the demo: redis moves between two hosts while a client on a third holds its connection to it.

    tools/demo_moving.py ROOT COMMIT

ROOT has the commit, and with it the image of redis. The hosts are network and mount namespaces on one bridge, each with
a root and an sshd of its own; this program is in namespaces of its own, too (tools/demo.py), so nothing of it is left.
"""

import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from tests.e2e.clients import COUNTER, client, prepare, wait_for_port
from tests.e2e.several_hosts import LimosaHost, segment
from tests.limosa_command import Limosa

ADDRESS = "10.77.0.80"


def shown(host: Limosa, at: str, *words: str) -> str:
    """Run a command of limosa on a host, print it with its time and its output, and return the output."""
    began = time.monotonic()
    told = host(*words, timeout=300)
    print(f"   {at}$ {f'limosa {chr(32).join(words)}':<86.300s} {(time.monotonic() - began) * 1000:8.0f} ms")
    for line in told.splitlines():
        print(f"     {line}")
    return told


def main() -> int:
    """Show it."""
    root, commit = sys.argv[1:]
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr] - it is no stream of another program's
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with segment("abc") as hosts:
        a, b, c = hosts.a, hosts.b, hosts.c
        shown(Limosa(root), "", "push", "--init", commit, f"{a.root}")
        prepare(hosts)
        shown(a, "a", "run", "-d", "--name", "db", "--network", "lan", "--ip", ADDRESS, "redis")
        wait_for_port(c, ADDRESS, 6379)
        with client(c, COUNTER, ADDRESS) as said:
            for here, there in ((a, b), (b, a)):
                time.sleep(1)
                move(here, there)
            time.sleep(1)
        beat = int(a("exec", "db", "redis-cli", "get", "beat"))
        if beat != said["answers"]:
            raise SystemExit(f"demo: redis counted {beat}, the client {said['answers']}")
        print(
            f"     one connection from c: {said['answers']} times INCR, each answer the next number;"
            f" the longest gap was {said['longest_s'] * 1000:.0f} ms"
        )
    return 0


def move(here: LimosaHost, there: LimosaHost) -> None:
    """Move redis between two hosts."""
    shown(here, here.name, "migrate", "db", there.name)
    shown(there, there.name, "ps")


if __name__ == "__main__":
    sys.exit(main())
