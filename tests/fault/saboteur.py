"""Ends a limosa command by SIGKILL just before its nth call that changes the system.

A child process replaces the functions of `limosa.linux` and the changing ones of `os` by ones that count; nothing of
this is in the product. What the command started by then (monitor, runtime, criu) lives on, as it would after an
administrator's `kill -9`.
"""

import importlib
import os
import pkgutil
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from limosa import linux
from limosa.cli import dispatch

_LOOKING = """
alive allocated_bytes boot_id command delegatable_files device_of ended exit_status find_link groups hierarchies
is_btrfs is_mount link_names links mount_points names_in open_below parent processes proxy_neighbours read
start_ticks subvolume wait
descriptors namespaces socket_facts odd_mappings tracer mount_table unread_netlink interfaces row source_of short_name
unix_sockets names_in
"""
_COMPUTING = """
as_text as_u32 attribute attributes family_of first_attribute mac_bytes nested numbers packed parsed text u32
"""
_HOLDING = "clone_tree locked make_filesystem set_attributes with_mapping"
# What only looks or computes, and what ends with the process that did it (a lock, a mount that is attached nowhere):
# a kill before it is the same as one before the next change. Private functions change something through counted ones,
# or once for the public function that calls them.
_SAME = frozenset(f"{_LOOKING} {_COMPUTING} {_HOLDING}".split())
_OS_CHANGES = (
    *("mkdir", "unlink", "rmdir", "rename", "replace", "link", "symlink", "chmod", "chown", "truncate", "ftruncate"),
    *("fsync", "posix_spawn", "fork", "kill", "write", "setxattr", "mknod"),
)


class Counter:
    """Counts calls in this process; at the `fatal` one it dies. 0 only counts."""

    def __init__(self, fatal: int) -> None:
        self.calls = 0
        self._fatal = fatal
        self._pid = os.getpid()

    def around(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            if os.getpid() == self._pid:  # not in a child of the command
                self.calls += 1
                if self.calls == self._fatal:
                    os.kill(self._pid, signal.SIGKILL)
            return original(*arguments, **options)

        return counted


def run(argv: Sequence[str], fatal: int) -> tuple[int, int]:
    """Run a limosa command in a child; return its wait status and how many calls it made (if it lived)."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read_end)
        counter = Counter(fatal)
        _command(argv, 2, 2, counter, write_end)  # what it says is shown with a failure
    os.close(write_end)
    with os.fdopen(read_end, "rb") as told:
        calls = told.read()
    return os.waitpid(child, 0)[1], int(calls or 0)


def in_copy(argv: Sequence[str], out: int, errors: int) -> int:
    """Run a limosa command, unharmed, in a copy of this process; return its status, -9 and the like for a signal."""
    child = os.fork()
    if child == 0:
        _command(argv, out, errors)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _command(
    argv: Sequence[str], out: int, errors: int, counter: Counter | None = None, write_end: int = -1
) -> NoReturn:
    """Run a limosa command with these streams and end; with a counter it is sabotaged, and tells what was counted."""
    status, os_write, os_exit = 99, os.write, os._exit
    try:
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.dup2(out, 1)
        os.dup2(errors, 2)
        sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", closefd=False)
        if counter is not None:
            _sabotage(counter)
        status = dispatch.run(argv)
        sys.stdout.flush()
        if counter is not None:
            os_write(write_end, str(counter.calls).encode())
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os_exit(status)


def _sabotage(counter: Counter) -> None:
    replaced: dict[int, tuple[Any, Any]] = {}
    for found in pkgutil.iter_modules(linux.__path__, f"{linux.__name__}."):
        module = importlib.import_module(found.name)
        for name, value in list(vars(module).items()):
            own = getattr(value, "__module__", "") == module.__name__
            if own and callable(value) and not isinstance(value, type) and name not in _SAME and name[0] != "_":
                replaced[id(value)] = (value, counter.around(value))
            if own and isinstance(value, type):
                for method in ("change", "run"):
                    if method in vars(value):
                        setattr(value, method, counter.around(vars(value)[method]))
    for module in [one for name, one in sys.modules.items() if name.startswith("limosa.")]:
        for name, value in list(vars(module).items()):
            if id(value) in replaced and replaced[id(value)][0] is value:
                setattr(module, name, replaced[id(value)][1])
    for name in _OS_CHANGES:
        setattr(os, name, counter.around(getattr(os, name)))
