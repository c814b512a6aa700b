"""Where a tree is built and tested: a git worktree, or a fork of a warm container."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a command said about a tree; `flaky` when it failed first and passed when run again."""

    passed: bool
    output: str
    seconds: float
    cached: bool = False
    flaky: bool = False


class Workspace(Protocol):
    """A place to try trees in, several at once."""

    places: int  # how many trees are tried at once

    def attempt(self, tree: str, command: str, *, again: int = 0) -> Verdict:
        """Run `command` (a line for the shell, from the user) in a checkout of `tree`; retry a failure `again` times.

        Raises: SliceError LIM-SLICE-040: the tree cannot be checked out; LIM-SLICE-052: the container cannot build.

        State: nothing of the repository changes but its objects; `close` removes the place.
        """

    def attempt_all(self, trees: Sequence[str], command: str, *, again: int = 0) -> list[Verdict]:
        """Do the same for several trees, as many at once as there are places; the verdicts are in the same order."""

    def close(self) -> None:
        """Remove what was made. Safe to repeat."""
