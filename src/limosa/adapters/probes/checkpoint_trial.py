"""The proof of a CRIU: a process with an established TCP connection is dumped, is gone, is restored, and goes on.

Versions prove nothing here: Debian 13's criu passes `criu check` on a 6.18 kernel and cannot dump any TCP socket there.
"""

import contextlib
import os
import signal
import sys
import time
from typing import Final

from limosa.linux import process
from limosa.ports.probes import MISSING, WORKS, Outcome

# The process: both ends of one loopback connection; each round a number goes through it and, when it has arrived, into
# a file.  After a restore the number goes on from where it was, or the connection is not the same.
_VICTIM: Final = """
import os, socket, sys, time
listener = socket.create_server(("127.0.0.1", 0))
here = socket.create_connection(listener.getsockname())
there, _ = listener.accept()
progress = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT, 0o600)
number = 0
while True:
    here.sendall(number.to_bytes(8, "big"))
    assert int.from_bytes(there.recv(8), "big") == number
    os.pwrite(progress, b"%d" % number, 0)
    number += 1
    time.sleep(0.005)
"""
_OPTIONS: Final = ("--tcp-established", "--network-lock", "nftables", "--manage-cgroups=ignore", "-v4")


def checkpoint(criu: str) -> Outcome:
    """Dump and restore a process with the CRIU at path `criu`."""
    process.run(["ip", "link", "set", "lo", "up"])
    version = process.run([criu, "--version"]).decode().split("\n")[0].removeprefix("Version: ")
    os.mkdir("images")
    victim = _start()
    if _progress() is None:
        return Outcome(MISSING, "the process to be dumped did not start", version)
    began = time.monotonic()
    dumped = process.capture([criu, "dump", "-t", str(victim), "-D", "images", "-o", "dump.log", *_OPTIONS])
    dump_s = time.monotonic() - began
    if dumped.status != 0:
        return Outcome(MISSING, f"dump: {_reason('images/dump.log', dumped)}", version)
    process.wait(victim)
    before = _progress(at_least=-1)
    began = time.monotonic()
    restored = process.capture([criu, "restore", "-d", "-D", "images", "-o", "restore.log", *_OPTIONS])
    restore_s = time.monotonic() - began
    if restored.status != 0:
        return Outcome(MISSING, f"restore: {_reason('images/restore.log', restored)}", version)
    after = _progress(at_least=(before or 0) + 5)
    with contextlib.suppress(ProcessLookupError):
        os.kill(victim, signal.SIGKILL)
    if after is None:
        return Outcome(MISSING, "the restored process does not go on: its TCP connection is dead", version)
    detail = (
        f"dumped a process with a TCP connection in {dump_s * 1000:.0f} ms, restored it in {restore_s * 1000:.0f} ms"
    )
    return Outcome(WORKS, detail, version)


def _start() -> int:
    null = os.open("/dev/null", os.O_RDWR)
    log = os.open("victim.log", os.O_WRONLY | os.O_CREAT, 0o600)
    argv = [sys.executable, "-I", "-S", "-c", _VICTIM, os.path.abspath("progress")]
    return process.spawn(argv, env={"PATH": "/usr/bin:/bin"}, files=[(null, 0), (log, 1), (log, 2)], session=True)


def _progress(at_least: int = 1) -> int | None:
    """Return the number in the process's file once it is at least that; None after five seconds without."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            with open("progress", encoding="ascii") as file:
                number = int(file.read() or -1)
        except FileNotFoundError:
            number = -1
        if number >= at_least:
            return number
        time.sleep(0.01)
    return None


def _reason(log: str, finished: process.Finished) -> str:
    try:
        with open(log, encoding="utf-8", errors="replace") as file:
            errors = [line.strip() for line in file if "Error (" in line]
    except FileNotFoundError:
        errors = []
    words = finished.stderr.decode(errors="replace").strip().splitlines() or [f"status {finished.status}"]
    return errors[0] if errors else words[-1]
