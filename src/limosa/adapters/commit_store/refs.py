"""Refs: names of commits, moved in one step, each with a log of what it named before; and forgotten commits."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from limosa.adapters.commit_store import failures
from limosa.linux import atomic_file, flock
from limosa.model import json_text
from limosa.model.commit_store import ID_BYTES, ObjectId, RefChange
from limosa.model.hints import Final
from limosa.model.ids import is_name

_LONGEST_KIND: Final = 20
_LONGEST_NAME: Final = 64
_UNKNOWN: Final = object()


def checked(name: str) -> str:
    """Return `name` if it can name a ref, as `tags/NAME` or `containers/ID` do. Raises: LimosaError LIM-CSTORE-008."""
    kind, _, rest = name.partition("/")
    good = kind.isascii() and kind.isalpha() and kind.islower() and len(kind) <= _LONGEST_KIND
    if not good or not is_name(rest, _LONGEST_NAME) or name.endswith(".new"):
        raise failures.bad_ref(name)
    return name


class Refs:
    """The refs of one store: a file each, with the id in hexadecimal digits."""

    def __init__(self, root: str) -> None:
        self._refs = f"{root}/refs"
        self._logs = f"{root}/logs"
        self._lock = f"{root}/refs.lock"

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Keep other processes from changing refs for the time of a `with` block."""
        with flock.locked(self._lock):
            yield

    def get(self, name: str) -> ObjectId | None:
        """Return the commit that a ref names, None if there is no such ref."""
        try:
            with open(f"{self._refs}/{checked(name)}", encoding="ascii") as file:
                return _identifier(file.read().strip())
        except FileNotFoundError:
            return None

    def all(self) -> dict[str, ObjectId]:
        """Return every ref and its commit."""
        found = {}
        for kind in sorted(os.listdir(self._refs)):
            for name in sorted(os.listdir(f"{self._refs}/{kind}")):
                if not name.endswith(".new"):
                    commit = self.get(f"{kind}/{name}")
                    if commit is not None:
                        found[f"{kind}/{name}"] = commit
        return found

    def move(
        self, name: str, new: ObjectId | None, *, when_ns: int, why: str, expected: ObjectId | object | None = _UNKNOWN
    ) -> None:
        """Move a ref (None removes it) and log the move first. The caller has made sure that the commit is on disk.

        Raises: LimosaError LIM-CSTORE-007: it is not where the caller `expected` it; nothing changed.
        """
        checked(name)
        with self.changing():
            old = self.get(name)
            if expected is not _UNKNOWN and old != expected:
                raise failures.ref_moved(name)
            if old == new:
                return
            self._append(name, RefChange(when_ns, old, new, why))
            path = f"{self._refs}/{name}"
            if new is None:
                os.unlink(path)
                _sync_directory(os.path.dirname(path))
                return
            _make_directory(os.path.dirname(path))
            atomic_file.replace(path, f"{new.hex()}\n".encode(), locked=True)

    def log(self, name: str) -> list[RefChange]:
        """Return what a ref named, the last change last. A line that a crash cut short is left out."""
        return _parsed(self._log_lines(name))

    def _log_lines(self, name: str) -> list[bytes]:
        try:
            with open(f"{self._logs}/{checked(name)}", "rb") as file:
                return file.read().split(b"\n")[:-1]
        except FileNotFoundError:
            return []

    def logged(self) -> set[ObjectId]:
        """Return every commit that some log names."""
        found: set[ObjectId] = set()
        for name in self._logs_there():
            for change in self.log(name):
                found.update(commit for commit in (change.old, change.new) if commit is not None)
        return found

    def _logs_there(self) -> list[str]:
        kinds = sorted(os.listdir(self._logs))
        names = [f"{kind}/{name}" for kind in kinds for name in sorted(os.listdir(f"{self._logs}/{kind}"))]
        return [name for name in names if not name.endswith(".new")]

    def expire_logs(self, before_ns: int) -> None:
        """Forget what logs say about the time before `before_ns`, and logs of which nothing is left."""
        with self.changing():
            for name in self._logs_there():
                changes = self.log(name)
                kept = [change for change in changes if change.when_ns >= before_ns]
                path = f"{self._logs}/{name}"
                if not kept:
                    os.unlink(path)
                elif len(kept) < len(changes):
                    atomic_file.replace(path, b"".join(_line(change) for change in kept), locked=True)

    def drop_log(self, name: str) -> None:
        """Forget what a ref named before."""
        with self.changing():
            try:
                os.unlink(f"{self._logs}/{checked(name)}")
            except FileNotFoundError:
                pass

    def _append(self, name: str, change: RefChange) -> None:
        path = f"{self._logs}/{name}"
        _make_directory(os.path.dirname(path))
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            torn = size and os.pread(descriptor, 1, size - 1) != b"\n"
            os.write(descriptor, (b"\n" if torn else b"") + _line(change))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _sync_directory(os.path.dirname(path))

    def forgotten(self) -> set[ObjectId]:
        """Return the commits whose content a collection may take although a later commit descends from them."""
        try:
            with open(f"{self._refs}.forgotten", encoding="ascii") as file:
                return {_identifier(line) for line in file.read().split()}
        except FileNotFoundError:
            return set()

    def set_forgotten(self, commits: set[ObjectId]) -> None:
        """Replace the list of forgotten commits. To be called within `changing`."""
        lines = "".join(f"{commit.hex()}\n" for commit in sorted(commits))
        atomic_file.replace(f"{self._refs}.forgotten", lines.encode(), locked=True)


def _identifier(text: str) -> ObjectId:
    value = bytes.fromhex(text)
    if len(value) != ID_BYTES:
        raise ValueError(f"not an id: {text!r}")
    return ObjectId(value)


def _line(change: RefChange) -> bytes:
    when_ns, old, new, why = change
    return (json_text.dumps([when_ns, old and old.hex(), new and new.hex(), why]) + "\n").encode()


def _parsed(lines: list[bytes]) -> list[RefChange]:
    changes = []
    for line in lines:
        try:
            when_ns, old, new, why = json_text.loads(line)
            changes.append(RefChange(int(when_ns), old and _identifier(old), new and _identifier(new), str(why)))
        except (ValueError, TypeError):
            continue
    return changes


def _make_directory(path: str) -> None:
    if not os.path.isdir(path):
        os.makedirs(path, mode=0o700, exist_ok=True)
        _sync_directory(os.path.dirname(path))


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
