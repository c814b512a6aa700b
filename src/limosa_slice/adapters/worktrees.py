"""Build and test trees in one git worktree of their own; remember results by (tree, command, toolchain)."""

import hashlib
import json
import os
import tempfile

from limosa_slice.adapters import process
from limosa_slice.adapters.git import PLUMBING, GitRepository
from limosa_slice.model.errors import SliceError
from limosa_slice.ports.workspace import Verdict

TOOLS = ("cc", "make", "python3", "go", "rustc")


class WorktreeWorkspace:
    """Implements `ports.workspace.Workspace`. Untracked files stay between attempts, so builds are incremental."""

    def __init__(self, repository: GitRepository, base: str, timeout_s: float) -> None:
        self._repository, self._timeout_s = repository, timeout_s
        self._folder = tempfile.TemporaryDirectory(prefix="limosa-slice-")
        self.place = os.path.join(self._folder.name, "work")
        self._toolchain = ""
        repository.must("worktree", "add", "--quiet", "--detach", "--no-checkout", self.place, base)

    def close(self) -> None:
        """Remove the worktree."""
        self._repository.git("worktree", "remove", "--force", self.place)
        self._folder.cleanup()

    def attempt(self, tree: str, command: str, *, again: int = 0) -> Verdict:
        name = self._cache_name(tree, command)
        if os.path.exists(name):
            with open(name) as file:
                return Verdict(**{**json.load(file), "cached": True})
        self._check_out(tree)
        for attempts in range(again + 1):  # noqa: B007
            done = process.run(["sh", "-c", command], cwd=self.place, timeout_s=self._timeout_s, merge_output=True)
            if done.status == 0:
                break
        output = done.stdout.decode(errors="replace")[-20000:]
        verdict = Verdict(done.status == 0, output, done.seconds, flaky=done.status == 0 and attempts > 0)
        if not done.timed_out:
            os.makedirs(os.path.dirname(name), exist_ok=True)
            with open(name + ".new", "w") as file:
                json.dump(
                    {"passed": verdict.passed, "output": output, "seconds": done.seconds, "flaky": verdict.flaky}, file
                )
            os.replace(name + ".new", name)
        return verdict

    def _check_out(self, tree: str) -> None:
        done = process.run(["git", "-C", self.place, *PLUMBING, "read-tree", "--reset", "-u", tree])
        if done.status:
            raise SliceError("LIM-SLICE-040", "cannot check a slice out", cause=done.words())

    def _cache_name(self, tree: str, command: str) -> str:
        if not self._toolchain:
            found = [process.run(["sh", "-c", f"command -v {tool} && {tool} --version"]).stdout for tool in TOOLS]
            self._toolchain = hashlib.sha256(b"\0".join(found)).hexdigest()
        key = hashlib.sha256("\0".join((tree, command, self._toolchain)).encode()).hexdigest()
        return os.path.join(self._repository.git_dir, "limosa-slice", "verdicts", key)
