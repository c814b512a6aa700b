"""The `CommitMounts` port: overlays without an upper layer, and <root>/mounts/<id>.json.

The mount's source is `limosa-<id>`, so that it is told from what somebody else mounted there later.
"""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

from limosa.linux import atomic_file, files, flock, mount
from limosa.model import codec
from limosa.model.errors import LimosaError, words_of
from limosa.model.ids import ContainerId
from limosa.ports.commit_mounts import CommitMount


class DirectoryCommitMounts:
    """The mounts of the root directory `root`."""

    def __init__(self, root: str) -> None:
        self._directory = f"{root}/mounts"

    def _path(self, mount_id: ContainerId) -> str:
        return f"{self._directory}/{mount_id}.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """See the port."""
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        with flock.locked(f"{self._directory}/lock"):
            for name in files.names_in(self._directory):
                if name.endswith(".new"):  # of a command that was killed while it wrote
                    files.remove_file(f"{self._directory}/{name}")
            yield

    def all(self) -> list[CommitMount]:
        """See the port."""
        found = []
        for name in files.names_in(self._directory):
            if name.endswith(".json"):
                try:
                    with open(f"{self._directory}/{name}", encoding="utf-8") as file:
                        found.append(codec.from_jsonable(CommitMount, json.load(file)))
                except FileNotFoundError:
                    continue
        return sorted(found, key=lambda one: (one.made_ns, one.mount_id))

    def add(self, wanted: CommitMount) -> None:
        """See the port."""
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        atomic_file.replace(self._path(wanted.mount_id), json.dumps(codec.to_jsonable(wanted)).encode())

    def remove(self, mount_id: ContainerId) -> None:
        """See the port."""
        files.remove_file(self._path(mount_id))
        files.remove_tree(f"{self._directory}/{mount_id}.layers")

    def attach(self, wanted: CommitMount, lower: tuple[str, ...]) -> None:
        """See the port."""
        directory = wanted.directory
        if not os.path.isdir(directory) or mount.source_of(directory) is not None:
            why = "something is mounted on it" if os.path.isdir(directory) else "it is no directory"
            raise LimosaError(
                "LIM-MOUNT-001",
                f"a commit cannot be mounted on {directory}",
                cause=why,
                hint="give a directory that is there, and on which nothing is mounted",
            )
        try:
            overlay = self._overlay(wanted, lower)
            try:
                mount.attach(overlay, directory)
            finally:
                os.close(overlay)
        except OSError as refused:
            raise LimosaError(
                "LIM-ROOT-001",
                "the files of a commit cannot be mounted",
                cause=words_of(refused),
                hint="limosa doctor shows whether this kernel has overlayfs",
            ) from refused

    def _overlay(self, wanted: CommitMount, lower: tuple[str, ...]) -> int:
        """Return a detached overlay of `lower`, by links with short names: an option's value has at most 255 bytes."""
        links = f"{self._directory}/{wanted.mount_id}.layers"
        os.mkdir(links, 0o700)
        try:
            names = [mount.short_name(index) for index in range(len(lower))]
            for name, directory in zip(names, lower, strict=True):
                os.symlink(directory, f"{links}/{name}")
            with files.working_directory(links):
                options = [("source", _source(wanted)), ("lowerdir", ":".join(reversed(names)))]
                made = mount.make_filesystem("overlay", options)
        finally:
            files.remove_tree(links)
        mount.set_attributes(made, mount.MOUNT_ATTR_RDONLY | mount.MOUNT_ATTR_NODEV | mount.MOUNT_ATTR_NOSUID)
        return made

    def attached(self, wanted: CommitMount) -> bool:
        """See the port."""
        return mount.source_of(wanted.directory) == _source(wanted)

    def detach(self, wanted: CommitMount) -> None:
        """See the port."""
        while self.attached(wanted):
            try:
                mount.umount(wanted.directory)
            except OSError as busy:
                if busy.errno != errno.EBUSY:
                    raise
                raise LimosaError(
                    "LIM-MOUNT-002",
                    f"{wanted.directory} is in use",
                    state="it is mounted; nothing changed",
                    cause="a process has a file of it open, or works in it",
                    hint=f"fuser -vm {wanted.directory} lists them",
                ) from busy


def _source(wanted: CommitMount) -> str:
    return f"limosa-{wanted.mount_id}"
