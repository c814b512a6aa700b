"""Layers and archives made for tests, member by member, and what a directory has in it."""

import io
import os
import shutil
import stat
import tarfile
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from limosa.model.errors import LimosaError
from limosa.model.oci import RootfsConfig
from limosa.ports.oci_images import OciImages

RUN = RootfsConfig(cmd=("/bin/true",), env=(("A", "b=c"),), stop_signal="SIGINT", labels=(("k", "v"),), user="7:8")


def entry(name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    """Return a member; `fields` are attributes of `tarfile.TarInfo`."""
    member = tarfile.TarInfo(name)
    member.type = kind
    member.size = len(data)
    member.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    for field, value in fields.items():
        setattr(member, field, value)
    return member, data


def tar_of(entries: Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """Return a tar of members, in order."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member, data in entries:
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def listing(directory: str) -> dict[str, tuple[Any, ...]]:
    """Return everything below a directory: kind and mode, owner, size or device, target, attributes, time."""
    found: dict[str, tuple[Any, ...]] = {}
    inodes: dict[int, str] = {}
    for place, directories, names in os.walk(directory):
        for name in sorted([*directories, *names]):
            path = f"{place}/{name}"
            status = os.lstat(path)
            mode = status.st_mode
            special = stat.S_ISCHR(mode) or stat.S_ISBLK(mode)
            first = inodes.setdefault(status.st_ino, os.path.relpath(path, directory))
            attributes = {} if stat.S_ISLNK(mode) else {key: os.getxattr(path, key) for key in os.listxattr(path)}
            found[os.path.relpath(path, directory)] = (
                stat.filemode(mode),
                status.st_uid,
                status.st_gid,
                status.st_rdev if special else (0 if stat.S_ISDIR(mode) else status.st_size),
                os.readlink(path) if stat.S_ISLNK(mode) else "",
                first,
                tuple(sorted(attributes.items())),
                int(status.st_mtime),
            )
    return found


def program(name: str) -> str:
    found = shutil.which(name)
    assert found, f"{name} is not installed"
    return found


def quiet(what: str, done_bytes: int, total_bytes: int) -> None:
    """No progress."""


def rootfs(tmp_path: object, name: str = "rootfs.tar", data: bytes = b"#!/bin/sh\n") -> str:
    path = f"{tmp_path}/{name}"
    with open(path, "wb") as file:
        file.write(
            tar_of(
                [
                    entry("bin", tarfile.DIRTYPE),
                    entry("bin/true", data=data, mode=0o755),
                    entry("etc", tarfile.DIRTYPE, mode=0o750, uid=3, gid=4),
                    entry("etc/motd", data=os.urandom(3000)),
                ]
            )
        )
    return path


def tree(images: OciImages, reference: str) -> list[dict[str, object]]:
    """Return what the layers of an image have, lowest first."""
    return [dict(listing(directory)) for directory in images.layer_directories(images.resolve(reference).layers)]


def refused(code: str, action: Callable[[], object]) -> LimosaError:
    with pytest.raises(LimosaError) as caught:
        action()
    assert caught.value.code == code, caught.value
    assert caught.value.hint
    return caught.value
