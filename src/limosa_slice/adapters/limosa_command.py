"""limosa's verbs, as far as building needs them: another program, reached by its command (docs/adr/0102)."""

import os
import secrets
import shlex
from dataclasses import dataclass

from limosa_slice.adapters import process
from limosa_slice.model.errors import SliceError

COMMAND = "LIMOSA_COMMAND"  # how to call limosa; `limosa slice` says how it was called itself
TREE = "/var/tmp/limosa-slice"  # noqa: S108
ENVIRONMENT = {"LIMOSA_SLICE_TREE": TREE, "PYTHONDONTWRITEBYTECODE": "1"}
# Standard input is a tar: what to remove, which folders that may leave empty, and the files that are new. The times of
# the files are those of their arrival, so make sees them as newer than whatever was built before.
ARRIVE = """\
umask 022; T=$LIMOSA_SLICE_TREE; N=$T.new
rm -rf "$N" && mkdir -p "$T" "$N" && tar -x -m -o -C "$N" -f - && cd "$T" || exit
if [ -s "$N/gone" ]; then xargs -0 rm -rf -- <"$N/gone" || exit; fi
if [ -s "$N/left" ]; then xargs -0 -n 1 rmdir -- <"$N/left" 2>/dev/null; fi
if [ -d "$N/tree" ]; then cp -a "$N/tree/." . || exit; fi
rm -rf "$N" || exit
"""
COMMANDS = """\
while [ $# -gt 1 ]; do echo "$ $1"; sh -c "$1" </dev/null 2>&1; S=$?; shift; [ $S = 0 ] || break; done
printf '\\n%s %s\\n' "$1" $S
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """How the last of some commands ended in a container."""

    status: int
    output: str
    seconds: float
    timed_out: bool


class LimosaCommand:
    """Calls limosa."""

    def __init__(self) -> None:
        self._argv = shlex.split(os.environ.get(COMMAND, "limosa"))

    def checkpoint(self, container: str, message: str, *, stop: bool = False) -> str:
        """Return a new commit of a running container, which `stop` ends with it. Raises: SliceError LIM-SLICE-052."""
        return self._must("checkpoint", "-m", message, *(["--stop"] if stop else []), container)

    def fork(self, commit: str, name: str) -> None:
        """Start a copy of a commit. Raises: SliceError LIM-SLICE-052."""
        self._must("fork", "--name", name, commit)

    def remove(self, *containers: str) -> None:
        """Remove containers, running or not; one that is not there is no failure."""
        process.run([*self._argv, "rm", "--force", *containers])

    def forget(self, *commits: str) -> None:
        """Let limosa's gc take commits."""
        process.run([*self._argv, "forget", *commits])

    def build(self, container: str, arriving: bytes, commands: list[str], timeout_s: float) -> Ran:
        """Bring files into a container's tree and run `commands` there, up to the first that fails.

        Raises: SliceError LIM-SLICE-052: the files or the shell did not get there.
        """
        mark = secrets.token_hex(16)
        env = [word for name, value in ENVIRONMENT.items() for word in ("-e", f"{name}={value}")]
        done = process.run(
            [*self._argv, "exec", "-i", *env, container, "sh", "-c", ARRIVE + COMMANDS, "sh", *commands, mark],
            stdin=arriving, timeout_s=timeout_s, merge_output=True,
        )  # fmt: skip
        text, _, status = done.stdout.decode(errors="replace").rpartition(f"\n{mark} ")
        if done.timed_out:
            return Ran(124, done.stdout.decode(errors="replace"), done.seconds, timed_out=True)
        if not status.strip().isdigit():
            raise SliceError("LIM-SLICE-052", f"cannot build in {container}", cause=done.words(), hint=NEEDS)
        return Ran(int(status), text, done.seconds, timed_out=False)

    def _must(self, *args: str) -> str:
        done = process.run([*self._argv, *args])
        if done.status:
            raise SliceError(
                "LIM-SLICE-052", f"limosa {args[0]} failed for {args[-1]}", cause=done.words(),
                hint="the container has to run, and limosa needs root",
            )  # fmt: skip
        return done.stdout.decode().strip()


NEEDS = "the container needs sh, tar, cp and xargs, and a /var/tmp to write to"
