"""The real series: reading them, splitting them in a tuning and a reporting half, and who wrote which hunk.

A half is decided by a hash, so nobody chooses. Series that share a commit go to the same half together.
"""

import hashlib
import json
import os
import subprocess
from collections import Counter
from dataclasses import dataclass

from limosa_slice.model.change import Atom, Change, Role


@dataclass(frozen=True)
class Series:
    """A series that a person wrote: `commits` in order, from `base` to `head`."""

    repository: str
    base: str
    head: str
    commits: tuple[str, ...]

    @property
    def key(self) -> str:
        """A short name that is the same everywhere."""
        return f"{self.repository}-{self.base[:8]}-{self.head[:8]}"


def load(source: str, name: str) -> list[Series]:
    """Return all series of NAME.json in the folder `source`."""
    with open(os.path.join(source, f"{name}.json")) as file:
        listed = json.load(file)["series"]
    return [Series(name, s["base"], s["head"], tuple(s["commits"])) for s in listed]


def halves(all_series: list[Series]) -> tuple[list[Series], list[Series]]:
    """Return the tuning and the reporting half."""
    parent: dict[str, str] = {}

    def root(item: str) -> str:
        while parent.setdefault(item, item) != item:
            item = parent[item]
        return item

    for series in all_series:
        for commit in series.commits[1:]:
            parent[root(commit)] = root(series.commits[0])
    least: dict[str, str] = {}
    for commit in parent:
        least[root(commit)] = min(commit, least.get(root(commit), commit))
    tuning, reporting = [], []
    for series in all_series:
        name = least[root(series.commits[0])]
        chosen = reporting if hashlib.sha256(name.encode()).digest()[0] & 1 else tuning
        chosen.append(series)
    return tuning, reporting


def bare_clone(source: str, name: str, into: str) -> str:
    """Return the git directory of NAME.bundle, cloned under `into` if it is not there yet."""
    place = os.path.join(into, f"{name}.git")
    if not os.path.isdir(place):
        subprocess.run(["git", "clone", "-q", "--bare", os.path.join(source, f"{name}.bundle"), place], check=True)
    return place


def mined(
    git_dir: str, name: str, tip: str, limit: int = 70, least_hunks: int = 6, most_hunks: int = 400
) -> list[Series]:
    """Return series that the merges before `tip` brought, chosen by hash, in the manner of the listed ones."""
    text = _git(git_dir, "log", "--merges", "--format=%H %P", tip).decode()
    merges = sorted((line.split() for line in text.splitlines()), key=lambda m: hashlib.sha256(m[0].encode()).digest())
    found: list[Series] = []
    seen: set[str] = set()
    for _, first, *others in merges:
        if len(found) >= limit or len(others) != 1:
            continue
        base = _git(git_dir, "merge-base", first, others[0]).decode().strip()
        span = f"{base}..{others[0]}"
        if not base or _git(git_dir, "rev-list", "--merges", span).strip():
            continue
        commits = _git(git_dir, "rev-list", "--reverse", span).decode().split()
        if not 3 <= len(commits) <= 25 or seen & set(commits):
            continue
        hunks = _git(git_dir, "diff", "-U0", base, others[0]).count(b"\n@@ ")
        if least_hunks <= hunks <= most_hunks:
            seen.update(commits)
            found.append(Series(name, base, others[0], tuple(commits)))
    return found


def _git(git_dir: str, *args: str) -> bytes:
    return subprocess.run(["git", "--git-dir", git_dir, *args], capture_output=True, check=False).stdout


def _blame(git_dir: str, path: str, *args: str) -> list[str]:
    """Return the commit of each line of `path`; empty if git has none."""
    out = _git(git_dir, "blame", "--incremental", *args, "--", path)
    owner: dict[int, str] = {}
    for line in out.split(b"\n"):
        parts = line.split(b" ")
        if len(parts) == 4 and len(parts[0]) == 40 and parts[3].isdigit():
            for number in range(int(parts[2]), int(parts[2]) + int(parts[3])):
                owner[number] = parts[0].decode()
    return [owner.get(number, "") for number in range(1, max(owner, default=0) + 1)]


class Truth:
    """The commit of the person that each line of a change belongs to."""

    def __init__(self, git_dir: str, series: Series, change: Change) -> None:
        self._git_dir, self._series, self._change = git_dir, series, change
        self._span = f"{series.base}..{series.head}"
        self._position = {commit: n for n, commit in enumerate(series.commits)}
        self._new: dict[int, list[str]] = {}
        self._old: dict[int, list[str]] = {}

    def votes(self, atom: Atom) -> Counter[int]:
        """Return how many lines of `atom` belong to each commit, by the commit's number in the series."""
        delta, hunk = self._change.files[atom.file], atom.hunk
        if atom.role in (Role.EDIT, Role.WHOLE) and (hunk.old_count or hunk.new_count):
            added, removed = range(hunk.new_count), range(hunk.old_count)
            owners = [self.writer(atom.file, hunk.new_start + n) for n in added]
            owners += [self.deleter(atom.file, hunk.old_start + n) for n in removed]
            return Counter(owner for owner in owners if owner is not None)
        span = self._span
        paths = [p for p in (delta.old_path, delta.new_path) if p]
        last = _git(self._git_dir, "log", "--no-merges", "--format=%H", span, "--", *paths).decode().split()
        return Counter([self._position[c] for c in last if c in self._position][:1])

    def writer(self, file: int, line: int) -> int | None:
        """Return which commit wrote line `line` of the new side of a file, or None."""
        if file not in self._new:
            path = self._change.files[file].new_path
            self._new[file] = _blame(self._git_dir, path, self._span) if path else []
        owners = self._new[file]
        return self._position.get(owners[line]) if line < len(owners) else None

    def deleter(self, file: int, line: int) -> int | None:
        """Return which commit took line `line` of the old side of a file away, or None."""
        if file not in self._old:
            path = self._change.files[file].old_path
            self._old[file] = _blame(self._git_dir, path, "--reverse", self._span) if path else []
        seen = self._old[file][line] if line < len(self._old[file]) else ""
        if seen == self._series.base:
            return 0
        after = self._position.get(seen, len(self._position)) + 1
        return after if after < len(self._position) else None


def hunk_key(atom: Atom) -> tuple[int, int, bool]:
    """Return which hunk of `git diff -U0 base head` an atom came from."""
    return (atom.file, atom.ordinal, atom.role in (Role.EDIT, Role.WHOLE))
