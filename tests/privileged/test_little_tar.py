"""A small tmpfs is saved as the real tar would, and everything else by the real tar."""

import os
import shutil
import socket
import subprocess
from typing import Any

import pytest

from limosa.adapters.criu import native

# As criu calls it.
ARGUMENTS = [
    *("--create", "--gzip", "--no-unquote", "--no-wildcards", "--one-file-system", "--check-links"),
    *("--preserve-permissions", "--sparse", "--numeric-owner", "--directory", "/proc/self/fd/0", "."),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory: Any) -> str:
    directory = native.programs(str(tmp_path_factory.mktemp("native")), shutil.which("cc") or "")
    assert directory
    return f"{directory}/tar"


def saved(program: str, source: str) -> tuple[bytes, int]:
    """Return what is written for a directory, and how many programs were executed."""
    descriptor = os.open(source, os.O_RDONLY)
    try:
        argv = ["strace", "-f", "-qq", "-e", "trace=execve", "-o", f"{source}.trace", program, *ARGUMENTS]
        done = subprocess.run(argv, stdin=descriptor, stdout=subprocess.PIPE, check=True)
    finally:
        os.close(descriptor)
    with open(f"{source}.trace", encoding="utf-8", errors="replace") as file:
        return done.stdout, sum(" = 0" in line for line in file)


def listed(archive: bytes) -> list[str]:
    names = subprocess.run(["tar", "-tvz", "--full-time"], input=archive, stdout=subprocess.PIPE, check=True).stdout
    return sorted(line for line in names.decode().splitlines())


@pytest.fixture
def source(tmp_path: Any) -> str:
    path = f"{tmp_path}/source"
    os.mkdir(path, 0o1777)
    return path


def by_tar(source: str) -> bytes:
    descriptor = os.open(source, os.O_RDONLY)
    try:
        return subprocess.run(["tar", *ARGUMENTS], stdin=descriptor, stdout=subprocess.PIPE, check=True).stdout
    finally:
        os.close(descriptor)


def test_a_small_tmpfs(program: str, source: str, tmp_path: Any) -> None:
    assert listed(saved(program, source)[0]) == listed(by_tar(source)), "empty"
    os.chmod(source, 0o1770)
    os.makedirs(f"{source}/a/b", 0o750)
    for name, size in (("empty", 0), ("small", 1), ("block", 512), ("large", 300_000)):
        with open(f"{source}/a/{name}", "wb") as file:
            file.write(os.urandom(size))
    os.symlink("/somewhere/else", f"{source}/link")
    os.chmod(f"{source}/a/small", 0o4711)
    os.utime(f"{source}/a/small", (1, 123456789))
    archive, programs = saved(program, source)
    assert programs == 1, "nothing else is executed"
    assert listed(archive) == listed(by_tar(source))
    os.mkdir(f"{tmp_path}/back")
    subprocess.run(["tar", "-xzC", f"{tmp_path}/back"], input=archive, check=True)
    subprocess.run(["diff", "--recursive", "--no-dereference", source, f"{tmp_path}/back"], check=True)


@pytest.mark.parametrize("strange", ["fifo", "socket", "sparse", "hard link", "long name", "much", "hard linked link"])
def test_what_is_not_little_is_left_to_tar(program: str, source: str, strange: str, tmp_path: Any) -> None:
    path = f"{source}/{strange}"
    if strange == "fifo":
        os.mkfifo(path)
    elif strange == "socket":
        socket.socket(socket.AF_UNIX).bind(path)
    elif strange == "sparse":
        with open(path, "wb") as file:
            file.truncate(100_000)
    elif strange == "hard link":
        with open(path, "wb") as file:
            file.write(b"x")
        os.link(path, f"{path} again")
    elif strange == "hard linked link":
        os.symlink("x", path)
        os.link(path, f"{path} again", follow_symlinks=False)
    elif strange == "long name":
        os.mkdir(f"{source}/{'n' * 120}")
    else:
        for number in range(3):
            with open(f"{path} {number}", "wb") as file:
                file.write(os.urandom(2_000_000))
    archive, programs = saved(program, source)
    assert programs > 1
    assert listed(archive) == listed(by_tar(source))


def test_anything_else_is_left_to_tar(program: str, source: str) -> None:
    done = subprocess.run([program, "--version"], stdout=subprocess.PIPE, check=True)
    assert b"GNU tar" in done.stdout
