"""The `Migrations` port over files: <root>/migrations/<id>.json, and <id>.lock beside it."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from limosa.linux import atomic_file, files, flock
from limosa.model import codec
from limosa.model.ids import ID_DIGITS, looks_like_id
from limosa.model.migration import MigrationEntry

_STEP_S: Final = 0.05


class FileMigrations:
    """Migrations of one root."""

    def __init__(self, root: str) -> None:
        self._directory = f"{root}/migrations"

    def _path(self, migration_id: str) -> str:
        if len(migration_id) != ID_DIGITS or not looks_like_id(migration_id):
            raise ValueError(f"{migration_id[:80]!r} is no migration's id")
        return f"{self._directory}/{migration_id}"

    def write(self, entry: MigrationEntry) -> None:
        """See the port."""
        path = f"{self._path(entry.migration_id)}.json"
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        if entry.phase:
            atomic_file.replace(path, json.dumps(codec.to_jsonable(entry)).encode())
        else:
            files.remove_file(path)
            files.sync_directory(self._directory)

    def load(self, migration_id: str) -> MigrationEntry | None:
        """See the port."""
        try:
            with open(f"{self._path(migration_id)}.json", encoding="utf-8") as file:
                return codec.from_jsonable(MigrationEntry, json.load(file))
        except FileNotFoundError:
            return None

    def all(self) -> list[MigrationEntry]:
        """See the port."""
        names = [name for name in files.names_in(self._directory) if name.endswith(".json")]
        found = [self.load(name.removesuffix(".json")) for name in names]
        return sorted((one for one in found if one is not None), key=lambda one: one.created_ns)

    def sweep(self) -> None:
        """See the port."""
        for name in files.names_in(self._directory):
            if name.endswith(".new"):
                files.remove_file(f"{self._directory}/{name}")
            elif name.endswith(".lock"):
                try:
                    with self.locked(name.removesuffix(".lock")):
                        pass  # whoever lets it go removes what has no entry
                except BlockingIOError:
                    continue

    def busy(self, migration_id: str) -> bool:
        """See the port."""
        path = f"{self._path(migration_id)}.lock"
        if not os.path.exists(path):
            return False
        try:
            with flock.locked(path, blocking=False):
                return False
        except BlockingIOError:
            return True

    @contextmanager
    def locked(self, migration_id: str, wait_s: float = 0.0) -> Iterator[None]:
        """See the port."""
        path = f"{self._path(migration_id)}.lock"
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        deadline = time.monotonic() + wait_s
        with ExitStack() as held:
            while True:
                try:
                    held.enter_context(flock.locked(path, blocking=False))
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(_STEP_S)
                    continue
                if os.path.exists(path):  # else its last holder has removed it
                    break
                held.pop_all().close()
            try:
                yield
            finally:
                if not os.path.exists(f"{path.removesuffix('.lock')}.json"):
                    files.remove_file(path)
