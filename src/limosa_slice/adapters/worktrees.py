"""Build and test trees in git worktrees of their own; remember results by (tree, command, toolchain)."""

import os
import queue
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from limosa_slice.adapters import process
from limosa_slice.adapters.git import PLUMBING, GitRepository
from limosa_slice.adapters.verdicts import PROBE, Verdicts
from limosa_slice.model.errors import SliceError
from limosa_slice.ports.workspace import Verdict

OUTPUT_CHARS = 20000
# Two versions of a module can have one size and one second; a cached byte code file would then be the wrong one.
ENVIRONMENT = {"PYTHONDONTWRITEBYTECODE": "1"}


class WorktreeWorkspace:
    """Implements `ports.workspace.Workspace`.

    Untracked files stay between attempts, so builds are incremental; a failure in a place that was used before is
    believed only after it was repeated in a clean one.
    """

    def __init__(self, repository: GitRepository, base: str, timeout_s: float, places: int = 1) -> None:
        self._repository, self._base, self._timeout_s, self.places = repository, base, timeout_s, max(1, places)
        self._folder = tempfile.TemporaryDirectory(prefix="limosa-slice-")
        self._free: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        for _ in range(self.places):
            self._free.put(None)
        self._made: list[str] = []
        self._used: set[str] = set()
        self._making = threading.Lock()
        self._verdicts: Verdicts | None = None

    def close(self) -> None:
        """Remove the worktrees."""
        for place in self._made:
            self._repository.git("worktree", "remove", "--force", place)
        self._made.clear()
        self._folder.cleanup()

    def attempt_all(self, trees: Sequence[str], command: str, *, again: int = 0) -> list[Verdict]:
        self._answers()
        with ThreadPoolExecutor(self.places) as pool:
            return list(pool.map(lambda tree: self.attempt(tree, command, again=again), trees))

    def attempt(self, tree: str, command: str, *, again: int = 0) -> Verdict:
        answers = self._answers()
        if known := answers.find(tree, command):
            return known
        place = self._free.get()
        try:
            place = place or self._make()
            done, failures = self._run(place, tree, command, again)
        finally:
            self._free.put(place)
        output = done.stdout.decode(errors="replace")[-OUTPUT_CHARS:]
        if done.timed_out:
            output += f"\nno end after {self._timeout_s:.0f} s"
        verdict = Verdict(done.status == 0, output, done.seconds, flaky=done.status == 0 and failures > 0)
        if not done.timed_out:
            answers.keep(tree, command, verdict)
        return verdict

    def _run(self, place: str, tree: str, command: str, again: int) -> tuple[process.Finished, int]:
        """Return how the command ended and how often it failed in a clean place before."""
        self._check_out(place, tree)
        dirty = place in self._used
        self._used.add(place)
        failures = 0
        while True:
            done = process.run(
                ["sh", "-c", command], cwd=place, timeout_s=self._timeout_s, merge_output=True, env=ENVIRONMENT
            )
            if done.status == 0 or (failures >= again and not dirty):
                return done, failures
            if dirty:
                process.run(["git", "-C", place, "clean", "-xdffq"])
                self._check_out(place, tree)
                dirty = False
            else:
                failures += 1

    def _make(self) -> str:
        with self._making:
            place = os.path.join(self._folder.name, f"work{len(self._made)}")
            self._made.append(place)
            self._repository.must("worktree", "add", "--quiet", "--detach", "--no-checkout", place, self._base)
        return place

    def _check_out(self, place: str, tree: str) -> None:
        done = process.run(["git", "-C", place, *PLUMBING, "read-tree", "--reset", "-u", tree])
        if done.status:
            raise SliceError("LIM-SLICE-040", "cannot check a slice out", cause=done.words())

    def _answers(self) -> Verdicts:
        if self._verdicts is None:
            self._verdicts = Verdicts(self._repository.git_dir, process.run(["sh", "-c", PROBE]).stdout)
        return self._verdicts
