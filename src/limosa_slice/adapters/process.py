"""Start processes and wait for them: the only module of the slicer that does."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from limosa_slice.model.errors import SliceError


@dataclass(frozen=True, slots=True)
class Finished:
    """A process that has ended; `status` is 0..255, or 128 + the signal that ended it."""

    argv: tuple[str, ...]
    status: int
    stdout: bytes
    stderr: bytes
    seconds: float
    timed_out: bool = False

    def words(self) -> str:
        """Return the last thing that it said."""
        return (self.stderr or self.stdout).decode(errors="replace").strip()[-2000:]


def run(
    argv: Sequence[str],
    *,
    stdin: bytes = b"",
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
    merge_output: bool = False,
) -> Finished:
    """Run `argv` in a process group of its own and return what it said; after `timeout_s` the whole group is killed.

    Raises: SliceError LIM-SLICE-001: there is no such program.
    """
    started = time.monotonic()
    full_env = None if env is None else {**os.environ, **env}
    try:
        child = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merge_output else subprocess.PIPE,
            cwd=cwd,
            env=full_env,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise SliceError("LIM-SLICE-001", f"cannot run {argv[0]}: no such program", cause=str(error)) from error
    timed_out = False
    try:
        out, err = child.communicate(stdin, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        timed_out = True
        _end_group(child)
        out, err = child.communicate()
    except BaseException:
        _end_group(child)
        child.wait()
        raise
    status = child.returncode if child.returncode >= 0 else 128 - child.returncode
    return Finished(tuple(argv), status, out, err or b"", time.monotonic() - started, timed_out)


def _end_group(child: "subprocess.Popen[bytes]") -> None:
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


class Conversation:
    """A process that answers requests on its standard output until its input is closed (git cat-file --batch)."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        self._child = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=None if env is None else {**os.environ, **env},
        )
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._in, self._out = self._child.stdin, self._child.stdout

    def ask(self, line: bytes) -> bytes:
        """Send one line and return the first line of the answer, without its line feed."""
        self._in.write(line + b"\n")
        self._in.flush()
        return self._out.readline().rstrip(b"\n")

    def read(self, count: int) -> bytes:
        """Return exactly `count` bytes of the answer, or fewer if the process ended."""
        return self._out.read(count)

    def close(self) -> None:
        """End it and collect its status. Safe to repeat."""
        if not self._in.closed:
            self._in.close()
        self._out.close()
        self._child.wait()
