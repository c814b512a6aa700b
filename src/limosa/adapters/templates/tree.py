"""A small tree of files as a tar, made from data."""

import io
import tarfile
from collections.abc import Mapping


class Tree:
    """Collects directories, files and links and writes them as a tar; every owner is root, every time is 0."""

    def __init__(self, archive: str) -> None:
        self._tar = tarfile.open(archive, "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - closed by __exit__
        self._known: set[str] = set()

    def __enter__(self) -> "Tree":
        return self

    def __exit__(self, *_: object) -> None:
        self._tar.close()

    def _parents(self, path: str) -> None:
        parent = path.rpartition("/")[0]
        if parent and parent not in self._known:
            self.directory(parent)

    def directory(self, path: str, mode: int = 0o755) -> None:
        """Add a directory, and those above it that are not there yet."""
        self._parents(path)
        self._known.add(path)
        member = tarfile.TarInfo(path)
        member.type, member.mode = tarfile.DIRTYPE, mode
        self._tar.addfile(member)

    def file(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Add a file."""
        self._parents(path)
        member = tarfile.TarInfo(path)
        member.size, member.mode = len(data), mode
        self._tar.addfile(member, io.BytesIO(data))

    def link(self, path: str, target: str) -> None:
        """Add a symbolic link."""
        self._parents(path)
        member = tarfile.TarInfo(path)
        member.type, member.linkname, member.mode = tarfile.SYMTYPE, target, 0o777
        self._tar.addfile(member)

    def texts(self, contents: Mapping[str, str]) -> None:
        """Add a file per item; one whose text starts with "#!" can be executed."""
        for path, text in contents.items():
            self.file(path, text.encode(), 0o755 if text.startswith("#!") else 0o644)
