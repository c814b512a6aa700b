#!/usr/bin/env python3
"""The main job, from nothing to nothing: `make demo`.

Each step is a command that you could type; it is printed with the time that it took. Everything lives below a root of
its own in a temporary directory, which is empty again at the end, whatever happened.
"""

import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import NoReturn

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LIMOSA = f"{HERE}/.venv/bin/limosa"
PORT = 16379
CONTAINERFILE = """\
FROM localhost/debian:12
RUN apt-get update -q && apt-get install -y -q --no-install-recommends redis-server && apt-get clean
CMD ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--dir", "/var/lib/redis"]
"""


class Demo:
    """One run: commands on a root of its own."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._steps = 0

    def title(self, text: str) -> None:
        """Begin a chapter."""
        self._steps += 1
        print(f"\n\033[1m{self._steps}. {text}\033[0m" if sys.stdout.isatty() else f"\n{self._steps}. {text}")

    def limosa(self, *words: str, show: bool = True, quiet: bool = False, typed: str = "") -> str:
        """Run a command that reads `typed`, print it with its time and its output, and return the output."""
        began = time.monotonic()
        done = subprocess.run(
            [LIMOSA, "--root", self._root, *words],
            check=False,
            input=typed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        took_ms = (time.monotonic() - began) * 1000
        if show or done.returncode:
            told = f"echo {shlex.quote(typed.strip())} | " if typed else ""
            print(f"   $ {f'{told}limosa {shlex.join(words)}':<88.300s} {took_ms:8.0f} ms")
        if not quiet or done.returncode:
            for line in done.stdout.splitlines():
                print(f"     {line}")
        if done.returncode:
            stop(f"limosa {words[0]} ended with {done.returncode}")
        return done.stdout

    def end(self) -> None:
        """Remove every container and image and whatever a failure left."""
        names = self.limosa("ps", "-a", "-q", show=False, quiet=True).split()
        if names:
            self.limosa("rm", "--force", *names, show=False, quiet=True)
        self.limosa("recover", show=False, quiet=True)


def stop(why: str) -> NoReturn:
    """End the demo as failed."""
    raise SystemExit(f"demo: {why}")


def ask_redis(*words: str) -> str:
    """Send one command to redis through the published port, as any client of the host would, and return its answer."""
    with socket.create_connection(("127.0.0.1", PORT), timeout=5) as connection:
        connection.sendall(f"*{len(words)}\r\n".encode() + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in
                                                                    (word.encode() for word in words)))  # fmt: skip
        answer = connection.recv(4096).decode()
    print(f"   127.0.0.1:{PORT}> {' '.join(words)}")
    print(f"     {spoken(answer)}")
    return answer


def spoken(answer: str) -> str:
    """Return an answer of redis's protocol as a person reads it."""
    first, _, rest = answer.strip().partition("\r\n")
    return rest if first.startswith("$") and rest else "(nil)" if first == "$-1" else first.lstrip("+:")


def eventually(what: Callable[[], bool], doing: str, seconds: float = 60) -> None:
    """Wait until `what()` holds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if what():
                return
        except OSError:
            pass
        time.sleep(0.2)
    stop(f"{doing} took more than {seconds:.0f} s")


def listening() -> bool:
    """Say whether the published port is answered."""
    with socket.create_connection(("127.0.0.1", PORT), timeout=1) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(16).startswith(b"+PONG")


def images(demo: Demo, work: str) -> None:
    """Build a template and an image from Debian packages."""
    demo.title("Images: a Debian 12 template, and redis from its packages by a Containerfile")
    demo.limosa("template", "build", "--quiet", "debian:12")
    with open(f"{work}/Containerfile", "w", encoding="ascii") as file:
        file.write(CONTAINERFILE)
    demo.limosa("image", "build", "-t", "redis", work, quiet=True)
    demo.limosa("images")


def redis(demo: Demo) -> None:
    """Run redis with limits, an address and a published port, and change its limits live."""
    demo.title("A real redis-server: limits, an address, a published port")
    demo.limosa("run", "-d", "--name", "cache", "-p", f"{PORT}:6379", "--memory", "256m", "--cpus", "0.5", "redis")
    eventually(listening, "the start of redis")
    demo.limosa("ps")
    ask_redis("SET", "bird", "limosa")
    ask_redis("GET", "bird")
    demo.limosa("exec", "cache", "redis-cli", "get", "bird")
    demo.title("Its limits are changed while it runs")
    demo.limosa("set", "--memory", "384m", "--cpus", "1.5", "cache")
    demo.limosa("stats", "--no-stream", "cache")
    demo.limosa("exec", "cache", "head", "-1", "/proc/meminfo")


def commits(demo: Demo) -> None:
    """Commit redis under load, damage its data, rewind, and run copies that go their own ways."""
    demo.title("A checkpoint is a commit: redis under load")
    load = ("redis-benchmark", "-h", "cache", "-q", "-n", "100000000", "-t", "incr", "-r", "1000")
    demo.limosa("run", "-d", "--name", "load", "redis", *load)
    ask_redis("SET", "bird", "limosa lapponica")
    demo.limosa("checkpoint", "-m", "before the accident", "--tag", "good", "cache")
    demo.limosa("log", "cache")
    demo.title("The data is damaged, and the container goes back: memory, files and processes together")
    demo.limosa("rm", "--force", "load", quiet=True)
    ask_redis("FLUSHALL")
    ask_redis("GET", "bird")
    demo.limosa("rewind", "cache", "good")
    eventually(listening, "the return of redis")
    ask_redis("GET", "bird")
    demo.title("Three running copies, each its own")
    copies = demo.limosa("fork", "-n", "3", "--name", "copy", "good").split()
    for number, name in enumerate(copies, 1):
        demo.limosa("exec", name, "redis-cli", "append", "bird", f" {number}", show=False, quiet=True)
    for name in ("cache", *copies):
        demo.limosa("exec", name, "redis-cli", "get", "bird")
    demo.limosa("verify")
    demo.limosa("rm", "--force", *copies, quiet=True)


def system_container(demo: Demo) -> None:
    """Boot a Debian with its own init, and enter it."""
    demo.title("A Debian system container with its own init")
    demo.limosa("create", "--init", "machine", "debian:12", quiet=True)
    demo.limosa("start", "machine")
    state = ["exec", "machine", "sh", "-c", "systemctl is-system-running || true"]
    eventually(
        lambda: demo.limosa(*state, show=False, quiet=True).strip() in ("running", "degraded"),
        "the boot of Debian",
        120,
    )
    demo.limosa(*state)
    demo.limosa("enter", "machine", typed="hostname; ps -o pid,user,args --ppid 1\n")
    demo.limosa("exec", "machine", "sh", "-c", "ping -c 1 -W 2 cache | head -2")


def moving(demo: Demo, root: str) -> None:
    """Move redis between two hosts, each of them a namespace, under a client's hands."""
    demo.title("Live migration by ssh: two hosts, and a client on a third that counts over one connection")
    script = f"{HERE}/tools/demo_moving.py"
    command = ["unshare", "--mount", "--net", "--propagation", "private", "--", sys.executable, script, root, "good"]
    if subprocess.run(command, check=False, stdin=subprocess.DEVNULL).returncode:
        stop("the migration failed")


def main() -> int:
    """Run every chapter, and clean up whatever happened."""
    if os.geteuid() != 0:
        stop("needs root")
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr] - it is no stream of another program's
    began = time.monotonic()
    work = tempfile.mkdtemp(prefix="limosa-demo-", dir="/var/tmp")
    os.chmod(work, 0o711)
    demo = Demo(f"{work}/root")
    try:
        images(demo, work)
        redis(demo)
        commits(demo)
        system_container(demo)
        demo.title("Both are stopped, and nothing is left")
        demo.limosa("stop", "cache", "machine")
        demo.limosa("ps", "-a")
        moving(demo, f"{work}/root")
    finally:
        demo.end()
        shutil.rmtree(work)
    print(f"\ndone in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
