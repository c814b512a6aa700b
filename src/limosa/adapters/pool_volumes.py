"""The `Volumes` port: a btrfs subvolume per volume in the containers' pool, so that a commit can snapshot both.

<root>/volumes/<name>.json       the record: a volume exists while it does
<root>/volumes/lock
<pool>/volumes/<name>/           the subvolume; made before the record, removed after it
<pool>/volume-snapshots/<label>/<name>/   as it was in the commit of that label, read-only
<pool>/volume-staging/<random>/  being made, or being removed
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from limosa.linux import atomic_file, btrfs, files, flock, renameat2
from limosa.model import codec, json_text
from limosa.model.errors import LimosaError
from limosa.model.volume import Volume

_SUFFIX = ".json"


class PoolVolumes:
    """Volumes of one limosa root."""

    def __init__(self, root: str, pool: str) -> None:
        """`pool` is the directory of the containers' storage, which the caller prepares."""
        self._records = f"{root}/volumes"
        self._files = f"{pool}/volumes"
        self._snapshots = f"{pool}/volume-snapshots"
        self._staging = f"{pool}/volume-staging"

    def _record(self, name: str) -> str:
        return f"{self._records}/{name}{_SUFFIX}"

    def create(self, volume: Volume) -> None:
        """See the port."""
        self._require_new(volume.name)
        os.makedirs(self._files, mode=0o711, exist_ok=True)
        if not os.path.isdir(f"{self._files}/{volume.name}"):
            btrfs.create_subvolume(f"{self._files}/{volume.name}")
        self._save(volume)

    def _require_new(self, name: str) -> None:
        if os.path.exists(self._record(name)):
            raise LimosaError(
                "LIM-VOL-001",
                f"there is a volume called {name!r} already",
                hint=f"limosa volume inspect {name}",
            )

    def _save(self, volume: Volume) -> None:
        os.makedirs(self._records, mode=0o700, exist_ok=True)
        atomic_file.replace(self._record(volume.name), json_text.dumps(codec.to_jsonable(volume), indent=1).encode())

    def find(self, name: str) -> Volume:
        """See the port."""
        try:
            with open(self._record(os.path.basename(name)), encoding="utf-8") as file:
                return codec.from_jsonable(Volume, json_text.loads(file.read()))
        except FileNotFoundError as missing:
            raise LimosaError(
                "LIM-VOL-002", f"there is no volume {name!r}", hint="limosa volume ls lists them"
            ) from missing

    def all(self) -> list[Volume]:
        """See the port."""
        found = []
        for entry in sorted(files.names_in(self._records)):
            if entry.endswith(_SUFFIX):
                try:
                    found.append(self.find(entry.removesuffix(_SUFFIX)))
                except LimosaError:
                    continue  # removed since the directory was read
        return found

    def mark_filled(self, name: str) -> None:
        """See the port."""
        self._save(self.find(name)._replace(filled=True))

    def directory(self, name: str) -> str:
        """See the port."""
        return f"{self._files}/{self.find(name).name}"

    def used_bytes(self, name: str) -> int:
        """See the port."""
        return files.allocated_bytes(self.directory(name))

    def remove(self, name: str) -> None:
        """See the port."""
        volume = self.find(name)
        os.unlink(self._record(volume.name))
        _delete(f"{self._files}/{volume.name}")

    def write_back(self, name: str) -> None:
        """See the port."""
        with self._staged() as staged:
            btrfs.snapshot_subvolume(self.directory(name), staged, read_only=True)

    @contextmanager
    def _staged(self) -> Iterator[str]:
        """Yield a place for a subvolume; what is there at the end is removed."""
        os.makedirs(self._staging, mode=0o700, exist_ok=True)
        staged = f"{self._staging}/{os.urandom(8).hex()}"
        try:
            yield staged
        finally:
            _delete(staged)

    def take_snapshot(self, name: str, label: str) -> None:
        """See the port."""
        target = f"{self._snapshots}/{label}/{self.find(name).name}"
        os.makedirs(os.path.dirname(target), mode=0o711, exist_ok=True)
        _delete(target)
        btrfs.snapshot_subvolume(self.directory(name), target, read_only=True)

    def snapshot(self, name: str, label: str) -> str:
        """See the port."""
        place = f"{self._snapshots}/{label}/{name}"
        if not os.path.isdir(place):
            raise KeyError(label)
        return place

    def receive_snapshot(self, name: str, label: str, fill: Callable[[str], None]) -> None:
        """See the port."""
        target = f"{self._snapshots}/{label}/{name}"
        with self._staged() as staged:
            btrfs.create_subvolume(staged)
            fill(staged)
            os.makedirs(os.path.dirname(target), mode=0o711, exist_ok=True)
            with suppress(FileExistsError):  # of a command that was faster
                btrfs.snapshot_subvolume(staged, target, read_only=True)

    def drop_snapshots(self, label: str) -> None:
        """See the port."""
        place = f"{self._snapshots}/{label}"
        for name in files.names_in(place):
            _delete(f"{place}/{name}")
        if os.path.isdir(place):
            os.rmdir(place)

    def revert(self, name: str, label: str) -> None:
        """See the port."""
        origin = self.snapshot(name, label)
        with self._staged() as staged:
            btrfs.snapshot_subvolume(origin, staged)
            renameat2.exchange(staged, self.directory(name))

    def copy(self, name: str, label: str, volume: Volume) -> None:
        """See the port."""
        origin = self.snapshot(name, label)
        self._require_new(volume.name)
        os.makedirs(self._files, mode=0o711, exist_ok=True)
        _delete(f"{self._files}/{volume.name}")
        btrfs.snapshot_subvolume(origin, f"{self._files}/{volume.name}")
        self._save(volume)

    def locked(self) -> AbstractContextManager[None]:
        """See the port."""
        os.makedirs(self._records, mode=0o700, exist_ok=True)
        return flock.locked(f"{self._records}/lock")

    def tidy(self) -> list[str]:
        """See the port."""
        left = [name for name in sorted(files.names_in(self._files)) if not os.path.exists(self._record(name))]
        for name in left:
            _delete(f"{self._files}/{name}")
        for name in files.names_in(self._records):
            if name.endswith(".new"):
                files.remove_file(f"{self._records}/{name}")
        for name in files.names_in(self._staging):
            _delete(f"{self._staging}/{name}")
        return left


def _delete(place: str) -> None:
    try:
        btrfs.delete_subvolume(place)
    except FileNotFoundError:
        pass
