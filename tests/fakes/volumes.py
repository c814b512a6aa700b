"""The `Volumes` port over plain directories, for tests of the engine."""

import os
import shutil
from collections.abc import Iterator
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

    @contextmanager
    def locked(self) -> Iterator[None]:
        yield

    def tidy(self) -> list[str]:
        left = sorted(set(os.listdir(self._directory)) - set(self._known))
        for name in left:
            shutil.rmtree(f"{self._directory}/{name}")
        return left
