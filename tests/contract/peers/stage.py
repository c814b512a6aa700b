"""A host whose commits are real and whose containers are not, at the end of a connection made of pipes."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from limosa.adapters.archive_files import LayoutFiles
from limosa.adapters.commit_store import parts
from limosa.adapters.commit_store.keys import DirectoryKeys
from limosa.adapters.commit_store.store import DirectoryStore
from limosa.adapters.file_migrations import FileMigrations
from limosa.adapters.ssh_peers.frames import FramedConnection
from limosa.engine.host import Host
from limosa.model.errors import LimosaError


class NoContainers:
    def all(self) -> list[Any]:
        return []

    def find(self, reference: str) -> Any:
        raise LimosaError("LIM-NAME-003", f"there is no container {reference!r}")


class NoImages:
    """Knows no image and takes none, but gives room for the files of one."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._count = 0

    def all(self) -> list[Any]:
        return []

    def nameless(self, layers: object) -> list[Any]:
        return []

    def layer_directories(self, layers: object) -> Any:
        raise LimosaError("LIM-IMG-002", f"no {layers}")

    @contextmanager
    def workspace(self) -> Iterator[str]:
        self._count += 1
        place = f"{self._directory}/{self._count}"
        os.makedirs(place)
        yield place

    def import_archive(self, path: str, reference: str, progress: object) -> Any:
        del reference, progress
        raise LimosaError("LIM-IMG-004", f"{path} is no image")


class Nobody:
    def own_name(self) -> str:
        return "stage"


def host(directory: str, key: bytes | None = None) -> Host:
    """Return a host in a directory."""
    parts.create(f"{directory}/commits", key)
    builders = {
        "store": lambda: DirectoryStore(f"{directory}/commits"),
        "store_keys": lambda: DirectoryKeys(f"{directory}/commits"),
        "containers": NoContainers,
        "oci_images": lambda: NoImages(f"{directory}/images"),
        "archive_files": LayoutFiles,
        "peers": Nobody,
        "migrations": lambda: FileMigrations(f"{directory}/journal"),
    }
    return Host(builders, lambda: 1, os.urandom, lambda: "boot")


@contextmanager
def ends(idle_s: float = 5.0) -> Iterator[tuple[FramedConnection, FramedConnection]]:
    """Give both ends of a connection."""
    there, out = os.pipe()
    back, answer = os.pipe()
    one = FramedConnection(back, out, "there", idle_s=idle_s)
    other = FramedConnection(there, answer, "here", idle_s=idle_s)
    greeting = threading.Thread(target=other.begin)
    greeting.start()
    one.begin()
    greeting.join()
    try:
        yield one, other
    finally:
        one.close()
        other.close()
        for descriptor in (there, out, back, answer):
            try:
                os.close(descriptor)
            except OSError:
                pass
