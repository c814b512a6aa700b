"""Build and test trees in forks of a warm container.

```
 CONTAINER ── checkpoint ─ bare ── fork, base tree, command ── checkpoint ─ warm base
                            │                                      │ fork: a place that goes from tree to tree
                            │                                      │   what differs, build ─ what differs, build ─ …
                            │                                      │                           └ checkpoint ─ fork, test
                            └─ fork, whole tree: what failed there
```
The container itself is only read. What is made is called CONTAINER-slice-PID-N, and is gone after `close`.
"""

import io
import os
import tarfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from limosa_slice.adapters.git import GitRepository, decode
from limosa_slice.adapters.limosa_command import LimosaCommand, Ran
from limosa_slice.adapters.verdicts import PROBE, Verdicts
from limosa_slice.model.change import GITLINK, SYMLINK, Entry
from limosa_slice.model.errors import SliceError
from limosa_slice.ports.workspace import Verdict

FORK_PATHS = 16  # a fork costs about what it costs to compile so many files again
OUTPUT_CHARS = 20000


@dataclass(slots=True, eq=False)
class Place:
    """A running fork, and the tree that its files are; `built`: there the tree has passed what was asked of it."""

    name: str
    tree: str | None = None
    built: bool = False


class ForkWorkspace:
    """Implements `ports.workspace.Workspace` over a running container of limosa.

    The first command of a tree (its build) is run in a standing place: the fork whose tree differs least, with what differs
    brought in. Each further one (a test) has a fork of its own of what was built there, so no test finds what another left in
    memory. A failure is believed only after it was repeated in a fork that nothing was built in before.
    """  # noqa: E501

    def __init__(self, repository: GitRepository, base: str, container: str, timeout_s: float, places: int = 1) -> None:
        self._repository, self._container, self._timeout_s = repository, container, timeout_s
        self._base_tree = repository.tree_of(base)
        self.places = max(1, places)
        self._limosa = LimosaCommand()
        self._free = threading.Semaphore(self.places)
        self._one = threading.RLock()  # over everything below, and the repository's helper processes
        self._bare = ""
        self._warm_base = ""
        self._passed: dict[str, list[str]] = {}
        self._standing: list[Place] = []  # those that nobody is in, the one that was left longest ago first
        self._names: set[str] = set()
        self._number = 0
        self._verdicts: Verdicts | None = None

    def close(self) -> None:
        """Remove the forks and let the commits go."""
        with self._one:
            commits = [commit for commit in (self._warm_base, self._bare) if commit]
            if self._names:
                self._limosa.remove(*self._names)
            if commits:
                self._limosa.forget(*commits)
            self._names.clear()
            self._standing.clear()
            self._bare = self._warm_base = ""

    def attempt_all(self, trees: Sequence[str], command: str, *, again: int = 0) -> list[Verdict]:
        pool = ThreadPoolExecutor(self.places)
        try:
            return list(pool.map(lambda tree: self.attempt(tree, command, again=again), trees))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            with self._one:
                self._limosa.remove(*self._names)  # which ends what the threads wait for
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
            ran, failures = (self._test if self._passed.get(tree) else self._build)(tree, command, again)
        verdict = _verdict(ran, failures, self._timeout_s)
        if not ran.timed_out:
            answers.keep(tree, command, verdict)
        return verdict

    def _warm(self, command: str) -> Verdicts:
        """Build the base, once, whether it passes or not, and keep it as it is then."""
        with self._one:
            if self._verdicts is None:
                self._bare = self._limosa.checkpoint(self._container, "limosa slice: before anything is built")
                place = self._fork(self._bare)
                try:
                    tools = self._limosa.build(place.name, _tar({}, [], {}), [f"{PROBE}; true"], self._timeout_s).output
                    self._verdicts = Verdicts(self._repository.git_dir, f"container\n{tools}".encode())
                    self._bring(place, self._base_tree, [command])
                    # It stays as a stopped container, so that its files are at hand for each fork.
                    self._warm_base = self._commit(place, stop=True)
                finally:
                    if not self._warm_base:
                        self._remove(place)
            return self._verdicts

    def _build(self, tree: str, command: str, again: int) -> tuple[Ran, int]:
        """Return how the command ended in a standing place, and how often it failed before it passed there."""
        place = self._take(tree)
        with self._given_back(place):
            for failures in range(again + 1):
                ran = self._bring(place, tree, [command])
                if ran.status == 0:
                    return self._counted(tree, command, ran), failures
                if ran.timed_out:
                    self._remove(place)  # what was started may still run
                    return ran, 0
            clean, ran = self._from_nothing(tree, [command])
            if clean:
                self._remove(place)
                self._give_back(clean)
            return self._counted(tree, command, ran), 0

    def _test(self, tree: str, command: str, again: int) -> tuple[Ran, int]:
        """Return how the command ended in forks of where the tree was built, and how often it failed before."""
        earlier = list(self._passed[tree])
        place = self._take(tree)
        with self._given_back(place):
            ready = (place.tree == tree and place.built) or self._bring(place, tree, earlier).status == 0
            commit = self._commit(place) if ready else ""
        try:
            for failures in range(again + 1 if commit else 0):
                ran = self._in_a_fork(commit, command)
                if ran.status == 0 or ran.timed_out:
                    return self._counted(tree, command, ran), failures
        finally:
            if commit:
                self._limosa.forget(commit)
        clean, ran = self._from_nothing(tree, [*earlier, command])
        if clean:
            self._remove(clean)
        return self._counted(tree, command, ran), 0

    def _counted(self, tree: str, command: str, ran: Ran) -> Ran:
        if ran.status == 0:
            self._passed.setdefault(tree, []).append(command)
        return ran

    def _bring(self, place: Place, tree: str, commands: list[str]) -> Ran:
        """Bring the files of `tree` into a place and run `commands` there, up to the first that fails."""
        arriving = self._arriving(place.tree, tree)
        place.built = False
        ran = self._limosa.build(place.name, arriving, commands, self._timeout_s)
        place.tree, place.built = tree, ran.status == 0
        return ran

    def _from_nothing(self, tree: str, commands: list[str]) -> tuple[Place | None, Ran]:
        """Return how `commands` end where nothing was built before, and the place if they pass."""
        place = self._fork(self._bare)
        try:
            ran = self._bring(place, tree, commands)
        finally:
            if not place.built:
                self._remove(place)
        return (place if place.built else None), ran

    def _in_a_fork(self, commit: str, command: str) -> Ran:
        place = self._fork(commit)
        try:
            return self._limosa.build(place.name, _tar({}, [], {}), [command], self._timeout_s)
        finally:
            self._remove(place)

    def _take(self, tree: str) -> Place:
        """Return the free place whose tree differs from `tree` in the fewest paths, or a new fork if that is nearer."""
        with self._one:
            start = self._base_tree if self._warm_base else None
            anew = FORK_PATHS + self._distance(start, tree)
            nearest = min(self._standing, key=lambda place: self._distance(place.tree, tree), default=None)
            if nearest and self._distance(nearest.tree, tree) <= anew:
                self._standing.remove(nearest)
                return nearest
        place = self._fork(self._warm_base or self._bare)
        place.tree = start
        return place

    @contextmanager
    def _given_back(self, place: Place) -> Iterator[None]:
        """Give a place back at the end; after an exception nobody knows what it is, and it goes."""
        try:
            yield
        except BaseException:
            self._remove(place)
            raise
        finally:
            self._give_back(place)

    def _give_back(self, place: Place) -> None:
        """Let others have a place, unless it is gone; one that was not used for long goes when there are enough."""
        with self._one:
            self._standing += [place] if place.name in self._names else []
            extra = [self._standing.pop(0)] if len(self._standing) > self.places else []
        for old in extra:
            self._remove(old)

    def _distance(self, start: str | None, tree: str) -> int:
        return 0 if start == tree else len(self._repository.entries(start, tree))

    def _fork(self, commit: str) -> Place:
        with self._one:
            self._number += 1
            place = Place(f"{self._container}-slice-{os.getpid()}-{self._number}")
            self._names.add(place.name)
        self._limosa.fork(commit, place.name)
        return place

    def _remove(self, place: Place) -> None:
        self._limosa.remove(place.name)
        with self._one:
            self._names.discard(place.name)

    def _commit(self, place: Place, *, stop: bool = False) -> str:
        """Return a commit of a place as it is now; none where a build left a process outside the container's own."""
        try:
            return self._limosa.checkpoint(place.name, f"limosa slice: tree {place.tree}", stop=stop)
        except SliceError:
            return ""

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
