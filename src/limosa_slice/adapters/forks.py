"""Build and test trees in forks of a warm container.

```
 CONTAINER ── checkpoint ─ bare ── fork, base tree, command ── checkpoint ─ warm base
                            │                                      │ fork, what differs, command: passes ── checkpoint
                            │                                      ├────────────────────────────────────► built prefix
                            └─ fork, whole tree: what failed warm   │ fork … of the nearest of all these
```
The container itself is only read. What is made is called CONTAINER-slice-PID-N, and is gone after `close`.
"""

import io
import os
import tarfile
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from limosa_slice.adapters.git import GitRepository, decode
from limosa_slice.adapters.limosa_command import LimosaCommand, Ran
from limosa_slice.adapters.verdicts import PROBE, Verdicts
from limosa_slice.model.change import GITLINK, SYMLINK, Entry
from limosa_slice.model.errors import SliceError
from limosa_slice.ports.workspace import Verdict

KEPT = 12  # built prefixes that are kept beside the base
OUTPUT_CHARS = 20000


class Built(NamedTuple):
    """What a tree was built in: a stopped container, whose files are at hand, and its last commit."""

    place: str
    commit: str


class ForkWorkspace:
    """Implements `ports.workspace.Workspace` over a running container of limosa.

    Each attempt has a fork of its own, of the commit whose tree differs least. A failure there is believed only after it was
    repeated in a fork that nothing was built in before.
    """  # noqa: E501

    def __init__(self, repository: GitRepository, base: str, container: str, timeout_s: float, places: int = 1) -> None:
        self._repository, self._container, self._timeout_s = repository, container, timeout_s
        self._base_tree = repository.tree_of(base)
        self.places = max(1, places)
        self._limosa = LimosaCommand()
        self._free = threading.Semaphore(self.places)
        self._one = threading.RLock()  # over everything below, and the repository's helper processes
        self._bare = ""
        self._built: dict[str, Built] = {}  # by tree, the oldest first
        self._passed: dict[str, list[str]] = {}
        self._lent: Counter[str] = Counter()  # trees whose commit is about to be forked
        self._places: set[str] = set()
        self._number = 0
        self._verdicts: Verdicts | None = None

    def close(self) -> None:
        """Remove the forks and let the commits go."""
        with self._one:
            commits = [*(one.commit for one in self._built.values()), *([self._bare] if self._bare else [])]
            if self._places:
                self._limosa.remove(*self._places)
            if commits:
                self._limosa.forget(*commits)
            self._places.clear()
            self._built.clear()
            self._bare = ""

    def attempt_all(self, trees: Sequence[str], command: str, *, again: int = 0) -> list[Verdict]:
        pool = ThreadPoolExecutor(self.places)
        try:
            return list(pool.map(lambda tree: self.attempt(tree, command, again=again), trees))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            with self._one:
                self._limosa.remove(*self._places)  # which ends what the threads wait for
            raise
        finally:
            pool.shutdown()

    def attempt(self, tree: str, command: str, *, again: int = 0) -> Verdict:
        answers = self._warm(command)
        if known := answers.find(tree, command):
            if known.passed:
                self._passed.setdefault(tree, []).append(command)
            return known
        with self._free:
            ran, failures = self._run(tree, command, again)
        verdict = _verdict(ran, failures, self._timeout_s)
        if not ran.timed_out:
            answers.keep(tree, command, verdict)
        return verdict

    def _warm(self, command: str) -> Verdicts:
        """Build the base, once, whether it passes or not, and keep it as it is then."""
        with self._one:
            if self._verdicts is None:
                self._bare = self._limosa.checkpoint(self._container, "limosa slice: before anything is built")
                place, kept = self._fork(self._bare), False
                try:
                    tools = self._limosa.build(place, _tar({}, [], {}), [f"{PROBE}; true"], self._timeout_s).output
                    self._verdicts = Verdicts(self._repository.git_dir, f"container\n{tools}".encode())
                    self._limosa.build(place, self._arriving(None, self._base_tree), [command], self._timeout_s)
                    kept = self._keep(place, self._base_tree)
                finally:
                    if not kept:
                        self._remove(place)
            return self._verdicts

    def _run(self, tree: str, command: str, again: int) -> tuple[Ran, int]:
        """Return how the command ended and how often it failed before."""
        failures = 0
        while True:
            bare = failures > again
            earlier = [c for c in self._passed.get(tree, []) if c != command] if bare else []
            start, place = (None, self._fork(self._bare)) if bare else self._fork_nearest(tree)
            kept = False
            try:
                ran = self._limosa.build(place, self._arriving(start, tree), [*earlier, command], self._timeout_s)
                if ran.status == 0:
                    self._passed.setdefault(tree, []).append(command)
                    kept = self._keep(place, tree)
            finally:
                if not kept:
                    self._remove(place)
            if ran.status == 0 or bare or ran.timed_out:
                return ran, 0 if bare else failures
            failures += 1

    def _fork_nearest(self, tree: str) -> tuple[str | None, str]:
        """Return the built tree from which `tree` differs in the fewest paths, and a fork of what it was built in."""
        with self._one:
            built = dict(self._built)
            self._lent.update(built.keys())
        try:
            distance = {one: 0 if one == tree else len(self._repository.entries(one, tree)) for one in built}
            nearest = min(reversed(distance), key=distance.__getitem__, default=None)
            return nearest, self._fork(built[nearest].commit if nearest else self._bare)
        finally:
            with self._one:
                self._lent.subtract(built.keys())

    def _fork(self, commit: str) -> str:
        with self._one:
            self._number += 1
            place = f"{self._container}-slice-{os.getpid()}-{self._number}"
            self._places.add(place)
        self._limosa.fork(commit, place)
        return place

    def _remove(self, place: str) -> None:
        self._limosa.remove(place)
        with self._one:
            self._places.discard(place)

    def _keep(self, place: str, tree: str) -> bool:
        """Commit a place as what `tree` is when it is built, and say whether it stays.

        What cannot be committed (a build left a process outside the container's own) is built anew when needed.
        """
        if tree in self._built:
            return False
        try:
            commit = self._limosa.checkpoint(place, f"limosa slice: tree {tree[:12]}", stop=True)
        except SliceError:
            return False
        with self._one:
            gone = [Built(place, commit)] if tree in self._built else []
            self._built.setdefault(tree, Built(place, commit))
            old = [one for one in self._built if one != self._base_tree][:-KEPT]
            gone += [self._built.pop(one) for one in old if not self._lent[one]]
        for one in gone:
            self._remove(one.place)
            self._limosa.forget(one.commit)
        return True

    def _arriving(self, start: str | None, tree: str) -> bytes:
        """Return the tar that makes `tree` of `start`."""
        with self._one:
            changed = self._repository.entries(start, tree)
            there = {path: entry for path, entry in changed.items() if entry is not None}
            data = {p: self._repository.blob(e.oid) if e.mode != GITLINK else b"" for p, e in there.items()}
        return _tar(data, list(changed) if start else [], there)


def _tar(data: dict[str, bytes], gone: list[str], entries: dict[str, Entry]) -> bytes:
    """Return a tar with the paths that go, the folders that this may leave empty, deepest first, and the new files."""
    folders = {path[:end] for path in gone for end in range(len(path)) if path[end] == "/"}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as tar:
        for name, paths in (("gone", gone), ("left", sorted(folders, key=lambda f: -f.count("/")))):
            listing = "\0".join([*paths, ""]).encode("utf-8", "surrogateescape")
            tar.addfile(_member(name, len(listing), 0o644), io.BytesIO(listing))
        for path, entry in entries.items():
            if entry.mode == GITLINK:
                member = _member(f"tree/{path}", 0, 0o755)
                member.type = tarfile.DIRTYPE
            elif entry.mode == SYMLINK:
                member = _member(f"tree/{path}", 0, 0o777)
                member.type, member.linkname = tarfile.SYMTYPE, decode(data[path])
            else:
                member = _member(f"tree/{path}", len(data[path]), int(entry.mode[-3:], 8))
            tar.addfile(member, io.BytesIO(data[path]) if member.isreg() else None)
    return out.getvalue()


def _member(name: str, size_bytes: int, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size_bytes, mode
    return member


def _verdict(ran: Ran, failures: int, timeout_s: float) -> Verdict:
    output = ran.output[-OUTPUT_CHARS:] + (f"\nno end after {timeout_s:.0f} s" if ran.timed_out else "")
    return Verdict(ran.status == 0, output, ran.seconds, flaky=ran.status == 0 and failures > 0)
