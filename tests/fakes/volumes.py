"""The `Volumes` port over plain directories, for tests of the engine."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from limosa.model.errors import LimosaError
from limosa.model.volume import Volume


class FakeVolumes:
    """Volumes in a directory; their records in memory."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._known: dict[str, Volume] = {}

    def create(self, volume: Volume) -> None:
        if volume.name in self._known:
            raise LimosaError("LIM-VOL-001", f"there is a volume called {volume.name!r} already")
        os.makedirs(f"{self._directory}/{volume.name}")
        self._known[volume.name] = volume

    def find(self, name: str) -> Volume:
        if name not in self._known:
            raise LimosaError("LIM-VOL-002", f"there is no volume {name!r}")
        return self._known[name]

    def all(self) -> list[Volume]:
        return [self._known[name] for name in sorted(self._known)]

    def mark_filled(self, name: str) -> None:
        self._known[name] = self.find(name)._replace(filled=True)

    def directory(self, name: str) -> str:
        return f"{self._directory}/{self.find(name).name}"

    def used_bytes(self, name: str) -> int:
        return sum(
            os.stat(f"{place}/{one}").st_size for place, _, names in os.walk(self.directory(name)) for one in names
        )

    def remove(self, name: str) -> None:
        shutil.rmtree(self.directory(name))
        del self._known[name]

    def write_back(self, name: str) -> None:
        self.find(name)

    def _snapshot(self, name: str, label: str) -> str:
        return f"{self._directory}.snapshots/{label}/{name}"

    def take_snapshot(self, name: str, label: str) -> None:
        shutil.rmtree(self._snapshot(name, label), ignore_errors=True)
        shutil.copytree(self.directory(name), self._snapshot(name, label))

    def snapshot(self, name: str, label: str) -> str:
        if not os.path.isdir(self._snapshot(name, label)):
            raise KeyError(label)
        return self._snapshot(name, label)

    def receive_snapshot(self, name: str, label: str, fill: Callable[[str], None]) -> None:
        made = f"{self._directory}.staged"
        os.makedirs(made)
        try:
            fill(made)
            shutil.rmtree(self._snapshot(name, label), ignore_errors=True)
            shutil.copytree(made, self._snapshot(name, label))
        finally:
            shutil.rmtree(made)

    def drop_snapshots(self, label: str) -> None:
        shutil.rmtree(f"{self._directory}.snapshots/{label}", ignore_errors=True)

    def revert(self, name: str, label: str) -> None:
        origin = self.snapshot(name, label)
        shutil.rmtree(self.directory(name))
        shutil.copytree(origin, self.directory(name))

    def copy(self, name: str, label: str, volume: Volume) -> None:
        origin = self.snapshot(name, label)
        self.create(volume)
        shutil.copytree(origin, self.directory(volume.name), dirs_exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        yield

    def tidy(self) -> list[str]:
        left = sorted(set(os.listdir(self._directory)) - set(self._known))
        for name in left:
            shutil.rmtree(f"{self._directory}/{name}")
        return left
