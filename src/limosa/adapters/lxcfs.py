"""The `OwnView` port by lxcfs, a FUSE file system that asks which container its reader is in.

    <run>/lxcfs/        where it is mounted, by one lxcfs for this root
    <run>/lxcfs.pid     its pid, which it writes itself
    <run>/lxcfs.lock    held shared by who hands its files out, exclusively by who starts or ends it

lxcfs is the only process here that is not one container's own (docs/adr/0012): the kernel has no other way to show a
share. It holds no state; containers survive its death, and it is started again by the next start of one.
"""

import os
import time
from collections.abc import Callable

from limosa.linux import flock, mount, process
from limosa.model.errors import LimosaError
from limosa.model.hints import Final

_FILES: Final = (
    *(f"proc/{name}" for name in ("cpuinfo", "diskstats", "loadavg", "meminfo", "stat", "swaps", "uptime")),
    "sys/devices/system/cpu/online",
)
_START_SECONDS: Final = 10.0
_END_SECONDS: Final = 5.0
_STEP_SECONDS: Final = 0.001
_SIGKILL: Final = 9


class Lxcfs:
    """One lxcfs per limosa root, started on demand."""

    def __init__(self, run_directory: str, program: str) -> None:
        """`program` is lxcfs, or "" where it is not installed."""
        self._mounted = f"{run_directory}/lxcfs"
        self._pid_file = f"{run_directory}/lxcfs.pid"
        self._lock = f"{run_directory}/lxcfs.lock"
        self._log = f"{run_directory}/lxcfs.log"
        self._program = program

    def inside(self) -> tuple[str, ...]:
        """See the port."""
        return tuple(f"/{name}" for name in _FILES)

    def provide(self) -> tuple[tuple[str, str], ...]:
        """See the port."""
        if not self._program:
            return ()
        with flock.locked(self._lock, exclusive=False):
            if self._answers():
                return self._files()
        with flock.locked(self._lock):
            if not self._answers():
                self._end()
                self._start()
            return self._files()

    def _files(self) -> tuple[tuple[str, str], ...]:
        return tuple((f"{self._mounted}/{name}", f"/{name}") for name in _FILES)

    def _answers(self) -> bool:
        """Say whether it is mounted and alive. A dead one refuses statvfs(3); stat(2) may be told from a cache."""
        try:
            os.statvfs(self._mounted)
        except OSError:
            return False
        return all(os.path.exists(f"{self._mounted}/{name}") for name in (_FILES[0], _FILES[-1]))

    def _start(self) -> None:
        os.makedirs(self._mounted, mode=0o755, exist_ok=True)
        argv = [self._program, "-f", "--enable-cfs", "--enable-loadavg", "-p", self._pid_file, self._mounted]
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            files = [(null, 0), (log, 1), (log, 2)]
            pid = process.spawn(argv, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, files=files, session=True)
        finally:
            os.close(null)
            os.close(log)
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if process.ended(pid, 0, _STEP_SECONDS) or time.monotonic() > deadline:
                self._kill(pid)
                self._end()
                raise self._failed()

    def _failed(self) -> LimosaError:
        with open(self._log, encoding="utf-8", errors="replace") as file:
            words = file.read()[-500:].strip()
        return LimosaError(
            "LIM-VIEW-001",
            "containers cannot be shown their own share of the machine",
            cause=f"lxcfs does not start: {words}",
            hint="limosa doctor --refresh tries it; without the package lxcfs containers see the host's /proc",
        )

    def close(self, unless: Callable[[], bool]) -> None:
        """See the port."""
        if not os.path.isdir(self._mounted):
            return
        with flock.locked(self._lock):
            if not unless():
                self._end()
                for path in (self._log, self._pid_file):
                    if os.path.exists(path):
                        os.unlink(path)
                if os.path.isdir(self._mounted):
                    os.rmdir(self._mounted)

    def _end(self) -> None:
        """End the process and take the mount away, whatever is left of the two."""
        self._kill(self._pid())
        while self._mounted in mount.mount_points(self._mounted):
            mount.umount(self._mounted, lazy=True)

    def _pid(self) -> int:
        """Return the pid of this root's lxcfs, 0 if there is none; the number in the file may be another's by now."""
        try:
            with open(self._pid_file, encoding="utf-8") as file:
                pid = int(file.read() or 0)
        except (FileNotFoundError, ValueError):
            return 0
        return pid if process.command(pid).endswith(f" {self._mounted}") else 0

    def _kill(self, pid: int) -> None:
        """End it at once: at SIGTERM it waits for a thread of its own that sleeps for up to five seconds."""
        if not pid:
            return
        try:
            os.kill(pid, _SIGKILL)
        except ProcessLookupError:
            return
        process.ended(pid, 0, _END_SECONDS)
