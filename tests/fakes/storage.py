"""The `Storage` port in plain directories, for tests of the engine: the same answers and refusals, nothing mounted."""

import os
import shutil
import threading
from collections.abc import Callable

from limosa.model.errors import LimosaError
from limosa.model.ids import ContainerId
from limosa.ports.storage import StorageUsage, WritableFiles

LEAST_DISK_BYTES = 64 << 20
LEAST_RESIZED_BYTES = 256 << 20


class FakeStorage:
    """Copies files one by one. `full` makes the pool full; the other attributes are to be looked at."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self.limits: dict[str, int | None] = {}  # by place
        self.located: set[ContainerId] = set()
        self.calls: list[tuple[str, ContainerId]] = []
        self.full = False
        self.closed = False
        self._receiving = threading.Lock()

    def prepare(self) -> None:
        self.closed = False
        for name in ("containers", "snapshots"):
            os.makedirs(f"{self._directory}/{name}", exist_ok=True)

    def create(self, container_id: ContainerId, disk_bytes: int | None) -> WritableFiles:
        self._require_room()
        self.calls.append(("create", container_id))
        place = self._container(container_id)
        if not os.path.isdir(place):
            self.limits[place] = _checked(disk_bytes)
            os.makedirs(f"{place}/upper", 0o755)
            os.makedirs(f"{place}/work", 0o755)
        return _files(place)

    def locate(self, container_id: ContainerId) -> WritableFiles:
        found = _files(self._existing(container_id))
        self.located.add(container_id)
        return found

    def release(self, container_id: ContainerId) -> None:
        self.located.discard(container_id)

    def write_back(self, container_id: ContainerId) -> None:
        self._existing(container_id)
        self.calls.append(("write_back", container_id))

    def take_snapshot(self, container_id: ContainerId, label: str) -> None:
        place = self._existing(container_id)
        self._require_room()
        self.calls.append(("take_snapshot", container_id))
        self._copy(place, self._snapshot(container_id, label))

    def snapshot(self, container_id: ContainerId, label: str) -> str:
        return f"{self._taken(container_id, label)}/upper"

    def receive_snapshot(
        self, container_id: ContainerId, label: str, disk_bytes: int | None, fill: Callable[[str], None]
    ) -> None:
        self._require_room()
        target = self._snapshot(container_id, label)
        making = f"{target}.making"
        with self._receiving:
            if os.path.isdir(target):
                return
            try:
                os.makedirs(f"{making}/upper")
                os.makedirs(f"{making}/work")
                self.limits[making] = _checked(disk_bytes)
                fill(f"{making}/upper")
                self._copy(making, target)
            finally:
                shutil.rmtree(making, ignore_errors=True)

    def drop_snapshot(self, container_id: ContainerId, label: str) -> None:
        place = self._snapshot(container_id, label)
        shutil.rmtree(place, ignore_errors=True)
        if not self.snapshots(container_id):
            shutil.rmtree(os.path.dirname(place), ignore_errors=True)

    def clone(self, source: ContainerId, label: str, target: ContainerId, disk_bytes: int | None) -> WritableFiles:
        origin = self._taken(source, label)
        self._require_room()
        self.calls.append(("clone", target))
        limit = _checked(disk_bytes)
        if limit is not None and _used(origin) > limit:
            raise _does_not_fit()
        return self._brought(origin, target, limit)

    def revert(self, container_id: ContainerId, label: str) -> WritableFiles:
        origin = self._taken(container_id, label)
        self.calls.append(("revert", container_id))
        return self._brought(origin, container_id, self.limits[origin])

    def resize(self, container_id: ContainerId, disk_bytes: int) -> None:
        place = self._existing(container_id)
        limit = _checked(disk_bytes)
        assert limit is not None
        if self.limits[place] is None:
            if container_id in self.located:
                raise _does_not_fit()
        elif limit != self.limits[place] and limit < LEAST_RESIZED_BYTES:
            raise _does_not_fit()
        if _used(place) > limit:
            raise _does_not_fit()
        self.limits[place] = limit

    def usage(self, container_id: ContainerId) -> StorageUsage:
        place = self._existing(container_id)
        return StorageUsage(_used(place), self.limits[place])

    def destroy(self, container_id: ContainerId) -> None:
        self.calls.append(("destroy", container_id))
        self.located.discard(container_id)
        for kind in ("containers", "snapshots"):
            shutil.rmtree(f"{self._directory}/{kind}/{container_id}", ignore_errors=True)

    def discard_files(self, container_id: ContainerId) -> bool:
        self.located.discard(container_id)
        found = os.path.isdir(self._container(container_id))
        shutil.rmtree(self._container(container_id), ignore_errors=True)
        return found

    def snapshots(self, container_id: ContainerId) -> list[str]:
        directory = os.path.dirname(self._snapshot(container_id, "any"))
        return sorted(os.listdir(directory)) if os.path.isdir(directory) else []

    def present(self) -> list[ContainerId]:
        found = {name for kind in ("containers", "snapshots") for name in os.listdir(f"{self._directory}/{kind}")}
        return [ContainerId(name) for name in sorted(found)]

    def close(self) -> None:
        self.closed = True

    def _container(self, container_id: ContainerId) -> str:
        return f"{self._directory}/containers/{container_id}"

    def _snapshot(self, container_id: ContainerId, label: str) -> str:
        if not label or label.startswith(".") or "/" in label:
            raise ValueError(f"no label for a snapshot: {label!r}")
        return f"{self._directory}/snapshots/{container_id}/{label}"

    def _existing(self, container_id: ContainerId) -> str:
        if not os.path.isdir(self._container(container_id)):
            raise LimosaError("LIM-STOR-006", "the files are not in the pool")
        return self._container(container_id)

    def _taken(self, container_id: ContainerId, label: str) -> str:
        place = self._snapshot(container_id, label)
        if not os.path.isdir(place):
            raise KeyError(label)
        return place

    def _copy(self, source: str, target: str) -> None:
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target, symlinks=True)
        self.limits[target] = self.limits[source]

    def _brought(self, origin: str, container_id: ContainerId, limit: int | None) -> WritableFiles:
        place = self._container(container_id)
        self._copy(origin, place)
        self.limits[place] = limit
        shutil.rmtree(f"{place}/work")
        os.mkdir(f"{place}/work")
        return _files(place)

    def _require_room(self) -> None:
        if self.full:
            raise LimosaError("LIM-STOR-002", "the pool of containers' files is full")


def _checked(disk_bytes: int | None) -> int | None:
    if disk_bytes is not None and disk_bytes < LEAST_DISK_BYTES:
        raise LimosaError("LIM-STOR-005", "a disk that small is not possible")
    return disk_bytes


def _does_not_fit() -> LimosaError:
    return LimosaError("LIM-STOR-003", "the disk limit cannot be changed")


def _files(place: str) -> WritableFiles:
    return WritableFiles(f"{place}/upper", f"{place}/work")


def _used(place: str) -> int:
    return sum(
        os.lstat(f"{directory}/{name}").st_blocks * 512 for directory, _, names in os.walk(place) for name in names
    )
