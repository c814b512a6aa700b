#!/usr/bin/env python3
"""Where the time of `run --rm` and `exec` goes: every call of a port, timed, as a table of medians.

    bench/phases.py --root DIR IMAGE [--network NAME] [--runs N]

The use cases run in this process, so the start of the interpreter and the imports are not in the table; `bench/run.py`
has the whole command. A call's time has that of the calls below it in it only where one adapter calls itself.
"""

import argparse
import os
import statistics
import time
from collections import defaultdict
from contextlib import ExitStack
from typing import Any

from limosa import wiring
from limosa.engine import attached, creation, lifecycle, sessions
from limosa.engine.host import Host
from limosa.model.container import ContainerConfig, NetworkRequest
from limosa.ports.runtime import Streams


class Stopwatch:
    """Milliseconds by what was called, for one run."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = defaultdict(float)

    def add(self, what: str, start: float) -> None:
        """Add the time since `start`."""
        self.ms[what] += (time.perf_counter() - start) * 1000


class Timed:
    """An adapter whose calls are timed."""

    def __init__(self, port: str, adapter: object, watch: Stopwatch) -> None:
        self._port, self._adapter, self._watch = port, adapter, watch

    def __getattr__(self, name: str) -> Any:
        """Return the adapter's attribute; a method comes back timed."""
        found = getattr(self._adapter, name)
        if not callable(found):
            return found

        def call(*args: Any, **named: Any) -> Any:
            start = time.perf_counter()
            try:
                made = found(*args, **named)
                if hasattr(made, "__enter__") and name == "locked":
                    return _Entered(made, self._watch, f"{self._port}.{name}")
                return made
            finally:
                self._watch.add(f"{self._port}.{name}", start)

        return call


class _Entered:
    """A lock whose waiting is timed."""

    def __init__(self, lock: Any, watch: Stopwatch, what: str) -> None:
        self._lock, self._watch, self._what = lock, watch, what

    def __enter__(self) -> Any:
        start = time.perf_counter()
        try:
            return self._lock.__enter__()
        finally:
            self._watch.add(self._what, start)

    def __exit__(self, *reason: Any) -> Any:
        return self._lock.__exit__(*reason)


def timed_host(root: str, watch: Stopwatch) -> Host:
    """Return the host at `root` with every adapter timed; making it counts as `(import and make)`."""
    host = wiring.host(root)

    def wrapped(name: str, build: Any) -> Any:
        def make() -> Timed:
            start = time.perf_counter()
            adapter = build()
            watch.add(f"{name} (import and make)", start)
            return Timed(name, adapter, watch)

        return make

    builders = {name: wrapped(name, build) for name, build in host._builders.items()}
    return Host(builders, host.now_ns, host.random_bytes, host.boot_id)


def one_run(root: str, oci_image: str, network: str, watch: Stopwatch) -> None:
    """Do what `run --rm IMAGE true` does."""
    host = timed_host(root, watch)
    config = ContainerConfig("", oci_image, args=("true",), remove_when_stopped=True, network=NetworkRequest(network))
    with ExitStack() as watched:
        record = creation.create(host, config, watch=watched, to_start=True)
        assert attached.run(host, record, Streams()) == 0


def in_children(count: int, action: Any) -> dict[str, list[float]]:
    """Do `action(watch)` in `count` processes, one after the other, and return the times by what was called."""
    found: dict[str, list[float]] = defaultdict(list)
    for _ in range(count):
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            watch = Stopwatch()
            start = time.perf_counter()
            action(watch)
            watch.add("in all", start)
            os.write(writer, "\n".join(f"{what}\t{ms}" for what, ms in watch.ms.items()).encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as stream:
            for line in stream:
                what, ms = line.split("\t")
                found[what].append(float(ms))
        assert os.waitpid(pid, 0)[1] == 0
        time.sleep(0.3)
    return found


def show(title: str, times: dict[str, list[float]]) -> None:
    """Print the medians, in the order of the first call."""
    print(f"\n{title}\n")
    print("| call | ms |\n| --- | ---: |")
    for what, values in times.items():
        print(f"| {what} | {statistics.median(values):.1f} |")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True)
    parser.add_argument("--network", default="none")
    parser.add_argument("--runs", type=int, default=11)
    parser.add_argument("oci_image", metavar="IMAGE")
    args = parser.parse_args()
    times = in_children(args.runs, lambda watch: one_run(args.root, args.oci_image, args.network, watch))
    show(f"run --rm --network {args.network}", times)
    host = wiring.host(args.root)
    config = ContainerConfig("", args.oci_image, args=("sleep", "600"), network=NetworkRequest(args.network))
    record = lifecycle.start(host, creation.create(host, config).container_id)
    try:

        def execute(watch: Stopwatch) -> None:
            inside = timed_host(args.root, watch)
            found = inside.containers.find(record.config.name)
            assert sessions.execute(inside, found, sessions.Wanted(("true",))) == 0

        show("exec", in_children(args.runs, execute))
    finally:
        lifecycle.remove(host, record.container_id, force=True)


if __name__ == "__main__":
    main()
