"""Run a piece of this program as a process that has a container's root directory and is its root user."""

import codecs
import importlib
import json
import os
import stat
import sys
from collections.abc import Callable
from typing import Final, NoReturn

from limosa.linux import libc, mount, namespaces, process, user_namespace
from limosa.model.container import SUBORDINATE_IDS
from limosa.ports.container_files import Inside, Placed

_DIED: Final = {"kind": "died", "words": "the process that copies in the container was killed"}


class Jailed:
    """A process at work; `outcome` waits for it."""

    def __init__(self, pid: int, report: int) -> None:
        self._pid = pid
        self._report = report

    def outcome(self) -> dict[str, str]:
        """Wait for the process's end and return {} or {"kind", "words"} of what it failed of."""
        with open(self._report, "rb") as report:
            data = report.read()
        status = process.wait(self._pid)
        if data:
            found: dict[str, str] = json.loads(data)
            return found
        return {} if status == 0 else _DIED


def start(inside: Inside, keep: int, work: Callable[[], None]) -> Jailed:
    """Run `work` in a child that is locked in; of the descriptors only 0..2 and `keep` are meant for it.

    Modules must be loaded before: nothing is ever imported from the container.
    Raises: ProcessLookupError: the container has ended.
    """
    root, userns = _opened(inside)
    report_read, report_write = os.pipe2(os.O_CLOEXEC)
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(report_read)
        _child(inside, root, userns, report_write, work)
    for descriptor in (root, userns, report_write, keep):
        if descriptor >= 0:
            os.close(descriptor)
    return Jailed(pid, report_read)


def _opened(inside: Inside) -> tuple[int, int]:
    """Return the root directory and the user namespace (-1: none) of a container."""
    if not inside.init_pid:
        root = os.open(inside.rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        extents = [(0, inside.first_host_id, SUBORDINATE_IDS)]
        return root, user_namespace.with_mapping(extents) if inside.first_host_id else -1
    proc = f"/proc/{inside.init_pid}"
    try:
        root = os.open(f"{proc}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        userns = os.open(f"{proc}/ns/user", os.O_RDONLY | os.O_CLOEXEC) if inside.first_host_id else -1
    except FileNotFoundError as gone:
        raise ProcessLookupError("the container has ended") from gone
    if not process.alive(inside.init_pid, inside.init_start_ticks):  # looked at after the opening: no other's pid
        raise ProcessLookupError("the container has ended")
    return root, userns


def _child(inside: Inside, root: int, userns: int, report: int, work: Callable[[], None]) -> NoReturn:
    status = 1
    try:
        try:
            _lock_in(inside, root, userns)
            work()
            status = 0
        except BaseException as failed:
            os.write(report, json.dumps({"kind": type(failed).__name__, "words": words(failed)}).encode())
    finally:
        os._exit(status)


def _lock_in(inside: Inside, root: int, userns: int) -> None:
    # What is imported from now on would come from the container, so nothing can be; this is what tarfile wants later.
    for name in ("utf-8", "ascii", "latin-1", "iso8859-1"):
        codecs.lookup(name)
    libc.loaded()
    for name in ("zlib", "bz2", "lzma"):
        importlib.import_module(name)
    sys.path.clear()
    sys.meta_path.clear()
    sys.path_hooks.clear()
    trees = []
    if inside.mounts:  # in mounts of this process's own, which end with it
        namespaces.new_mounts()
        os.close(root)
        root = os.open(inside.rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        trees = [(one, mount.clone_tree(one.source, recursive=True)) for one in inside.mounts]
    os.fchdir(root)
    os.chroot(".")
    os.chdir("/")
    os.close(root)
    for one, tree in trees:
        _put(one, tree, inside.first_host_id)
    if userns >= 0:
        namespaces.setns(userns, namespaces.CLONE_NEWUSER)
        os.close(userns)
        os.setgroups([])
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
    os.umask(0)


def _put(placed: Placed, tree: int, owner_id: int) -> None:
    """Mount a tree where the container has it, and make the place as a start would if it is not there."""
    if placed.read_only:
        mount.set_attributes(tree, mount.MOUNT_ATTR_RDONLY, recursive=True)
    if not os.path.lexists(placed.target):
        directory = placed.target if stat.S_ISDIR(os.fstat(tree).st_mode) else os.path.dirname(placed.target)
        missing = []
        while not os.path.lexists(directory):
            missing.append(directory)
            directory = os.path.dirname(directory)
        for path in reversed(missing):
            os.mkdir(path, 0o755)
            os.chown(path, owner_id, owner_id)
        if not os.path.lexists(placed.target):
            os.close(os.open(placed.target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))
            os.chown(placed.target, owner_id, owner_id)
    mount.attach(tree, placed.target)
    os.close(tree)


def words(failed: BaseException) -> str:
    """Return what an error says."""
    if isinstance(failed, OSError) and failed.strerror:
        return f"{failed.filename}: {failed.strerror}" if isinstance(failed.filename, str) else failed.strerror
    return str(failed) or type(failed).__name__
