"""Run something in a child process that is killed, or whose disk fails, at the nth thing that it does to a file.

The child says through a pipe what it has finished and what it has synced, so that the parent knows what must be there
and can take away what a power failure would take.
"""

import errno
import os
import random
import signal
import stat
from collections.abc import Callable
from typing import Any, NamedTuple

OPERATIONS = ("truncate", "write", "pwrite", "fsync", "rename", "replace", "unlink", "ftruncate", "mkdir", "open")


class Outcome(NamedTuple):
    """`finished`: the child came to its end. `said`: what it announced. `synced`: sizes of files when they were."""

    finished: bool
    said: list[str]
    synced: dict[str, int]
    operations: int


def run(work: Callable[[Callable[[str], None]], None], *, fail_at: int, how: str, stays: bool = False) -> Outcome:
    """Run `work(announce)` in a child; at operation `fail_at` it is killed ("kill") or gets ENOSPC or EIO.

    `stays`: the failure goes on with every later operation that would take space.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        status = 1
        try:
            _instrument(writing, fail_at, how, stays)
            work(lambda line: _say(writing, f"D {line}"))
            _say(writing, "F")
            status = 0
        except BaseException as error:
            _say(writing, f"E {type(error).__name__} {getattr(error, 'code', '')} {error!s:.300}".replace("\n", " "))
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8", errors="replace") as pipe:
        lines = pipe.read().splitlines()
    os.waitpid(pid, 0)
    synced = {}
    for line in lines:
        if line.startswith("S "):
            _, size, path = line.split(" ", 2)
            synced[path] = int(size)
    said = [line[2:] for line in lines if line[:2] in ("D ", "E ")]
    return Outcome("F" in lines, said, synced, sum(line.startswith("O") for line in lines))


_real: dict[str, Any] = {}


def _say(descriptor: int, line: str) -> None:
    _real.get("write", os.write)(descriptor, f"{line}\n".encode())


def _instrument(pipe: int, fail_at: int, how: str, stays: bool) -> None:
    count = 0

    def failing(name: str) -> Callable[..., Any]:
        real = getattr(os, name)
        _real[name] = real

        def call(*args: Any, **options: Any) -> Any:
            nonlocal count
            if name == "open" and not args[1] & os.O_CREAT:
                return real(*args, **options)
            count += 1
            _say(pipe, "O")
            takes_space = name in ("write", "pwrite", "open", "mkdir", "fsync")
            if count == fail_at or (stays and count > fail_at and takes_space):
                _fail(name, how, real, args)
            found = real(*args, **options)
            if name == "fsync":
                status = os.fstat(args[0])
                if stat.S_ISREG(status.st_mode):
                    path = os.readlink(f"/proc/self/fd/{args[0]}")
                    _say(pipe, f"S {status.st_size} {path}")
            return found

        return call

    for name in OPERATIONS:
        replacement = failing(name)
        setattr(os, name, replacement)


def _fail(name: str, how: str, real: Any, args: tuple[Any, ...]) -> None:
    if name in ("write", "pwrite") and how != "EIO":  # a part of it arrives
        data = memoryview(args[1])
        real(args[0], data[: random.Random(len(data)).randrange(len(data) + 1)], *args[2:])
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    number = getattr(errno, how)
    raise OSError(number, os.strerror(number))


def lose_power(root: str, synced: dict[str, int], rng: random.Random) -> None:
    """Take from the packs below `root` what was not synced, and from the index what it does not sync."""
    packs = f"{root}/packs"
    for name in os.listdir(packs):
        path = f"{packs}/{name}"
        size = os.path.getsize(path)
        kept = rng.randint(min(synced.get(path, 0), size), size)
        with open(path, "r+b") as file:
            if rng.random() < 0.5:
                file.truncate(kept)
            elif kept < size:  # the size arrived, the content did not
                file.seek(kept)
                file.write(bytes(size - kept))
    for name in os.listdir(f"{root}/index"):
        if name.endswith("-wal") and rng.random() < 0.5:
            os.unlink(f"{root}/index/{name}")
