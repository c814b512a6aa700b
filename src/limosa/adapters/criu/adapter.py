"""The `Checkpointer` port over `criu swrk`."""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

from limosa.adapters.criu import cgroup_yard, kernel_cache, log, rpc, stats, watches
from limosa.linux import process
from limosa.model.confinement import Allowance
from limosa.model.errors import LimosaError, words_of
from limosa.model.obstacle import Obstacle
from limosa.ports.checkpointer import DumpPlan, OnDumpMoment, OnRestoreMoment, OnTerminal, RestorePlan, Session

_LOG_LEVEL: Final = 2
GHOST_LIMIT_BYTES: Final = 1 << 30  # a removed file that is still open goes into the dump up to this size
_ENV: Final = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}

_ENV_PROGRAM: Final = "/usr/bin/env"
_OTHER_MOUNTS: Final = "mnt[]:ms"  # device nodes and the like: found again by where they are mounted


class Criu:
    """CRIU, one process per dump or restore, spoken to over its RPC.

    The network namespace is left empty (`--empty-ns net`) and filled by limosa in `setup-namespaces`; every mount that
    is not the container's own is matched by itself on both sides (`mnt[]:ms`); see docs/adr/0003.
    """

    def __init__(
        self,
        program: str,
        log_directory: str,
        library: Callable[[], str] = str,
        programs: Callable[[], str] = str,
        namespaces: Callable[[], str] = str,
        restores: Callable[[], str] = str,
    ) -> None:
        """The log of the last dump and of the last restore that failed is kept in `log_directory`, made when needed.

        `library`, `programs`, `namespaces` and `restores` return what criu is given in C, see native.py, or "".
        """
        self._program, self._library, self._programs, self._namespaces = program, library, programs, namespaces
        self._restores = restores
        self._logs = log_directory

    def _argv(self) -> tuple[str, ...]:
        kernel_cache.keep(self._program)  # before the processes are stopped: it saves 0.1 s of frozen time
        return (self._program, "swrk", "3")

    def released(self, pid: int, timeout_s: float) -> bool:
        """See the port."""
        import time

        deadline = time.monotonic() + timeout_s
        while process.tracer(pid):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    @contextmanager
    def session(self, *, lazy_pages: bool = False) -> Iterator[Session]:
        """See the port."""
        argv = self._argv()
        if lazy_pages:
            argv = (_ENV_PROGRAM, f"LD_PRELOAD={self._restores()}", *argv)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            yield Session(argv, ours.fileno(), theirs.fileno())

    def obstacles(
        self, init_pid: int, processes: list[int], *, thorough: bool, not_committed: tuple[tuple[str, str], ...] = ()
    ) -> list[Obstacle]:
        """See the port."""
        from limosa.adapters.criu import obstacles

        known = obstacles.Known(GHOST_LIMIT_BYTES, not_committed, _network_lock(init_pid) != rpc.NO_LOCK)
        return obstacles.look(init_pid, processes, known, thorough=thorough)

    def dump(self, plan: DumpPlan, on_moment: OnDumpMoment) -> int:
        """See the port."""
        from limosa.adapters.criu import locks, mount_points  # not in the frozen time

        if plan.excluded:
            from limosa.adapters.criu import excluded

            excluded.refuse_open_files(plan.processes, plan.excluded)
        try:
            points = mount_points.found(plan.init_pid, plan.external_mounts)
            network_lock = _network_lock(plan.init_pid)
        except (FileNotFoundError, ProcessLookupError) as gone:
            raise LimosaError("LIM-CRIU-001", "its first process has ended", cause=words_of(gone)) from gone
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        null = os.open("/dev/null", os.O_RDWR)
        try:
            # 0..2 are a null device and 3 the connection: criu never sees a descriptor of the caller.
            files = [(null, 0), (null, 1), (null, 2), (theirs.fileno(), 3)]
            pid = process.spawn(self._argv(), env=self._dump_env(plan.skip_followed), files=files)
        finally:
            theirs.close()
            os.close(null)
        options = {
            **self._common(plan.rootfs, plan.own_network),
            "external": [f"mnt[{point}]:{_cookie(inside)}" for point, inside in points] + [_OTHER_MOUNTS],
            "pid": plan.init_pid,
            "leave_running": plan.leave_running,
            "tcp_established": True,
            "network_lock": network_lock,
            "log_file": "dump.log",
            "ghost_limit": GHOST_LIMIT_BYTES,
            "irmap_scan_paths": watches.watched_paths(plan.processes, plan.rootfs),
        }

        def notified(script: str, _: int) -> None:
            if script == "post-dump":
                locks.complete(plan.criu_images, plan.init_pid)
            on_moment(cast(Any, script))

        try:
            self._call(ours, rpc.DUMP, options, plan.criu_images, notified)
        finally:
            ours.close()  # criu takes this as its end
            process.wait(pid)
        try:
            with open(f"{plan.criu_images}/stats-dump", "rb") as file:
                return stats.stopped_ns(file.read())
        except (OSError, ValueError):
            return 0

    def _dump_env(self, skip_followed: bool) -> dict[str, str]:
        preloaded = [self._namespaces(), self._library() if skip_followed else ""]
        env = {**_ENV, "LD_PRELOAD": ":".join(filter(None, preloaded))}
        if self._programs():
            env["PATH"] = f"{self._programs()}:{env['PATH']}"
        return env

    def restore(self, session: Session, plan: RestorePlan, on_moment: OnRestoreMoment, on_terminal: OnTerminal) -> int:
        """See the port."""
        from limosa.adapters.criu import locks

        pids = [0]
        stands = [False]  # the processes are there, and have not gone on
        awaited: list[LimosaError] = []

        def silent() -> None:
            # A lock that somebody else has is waited for, for as long as he has it.
            try:
                if stands[0]:
                    locks.require_none_awaited(pids[0])
            except LimosaError as excluded:
                awaited.append(excluded)
                os.kill(pids[0], signal.SIGKILL)

        def notified(script: str, pid: int) -> None:
            pids[0] = pid or pids[0]
            stands[0] = bool(pids[0]) and script not in ("pre-resume", "post-resume")
            if script == "post-restore":
                with open(plan.pid_file, "w", encoding="ascii") as file:
                    file.write(str(pids[0]))
            if script != "orphan-pts-master":
                on_moment(cast(Any, script), pids[0])

        with socket.socket(fileno=os.dup(session.local_fd)) as ours:
            options = {
                **self._common(plan.rootfs, plan.own_network),
                "external": [f"mnt[{_cookie(inside)}]:{outside}" for inside, outside in plan.external_mounts]
                + [_OTHER_MOUNTS],
                "tcp_established": plan.keep_connections,
                "tcp_close": not plan.keep_connections,
                "log_file": "restore.log",
                "rst_sibling": True,
                "lazy_pages": plan.lazy_pages,
                "inherit_fd": [{"key": key, "fd": descriptor} for key, descriptor in plan.inherited],
                "cg_root": [{"ctrl": c, "path": path} if c else {"path": path} for c, path in plan.cgroup_roots],
            }
            try:
                answer = self._call(ours, rpc.RESTORE, options, plan.criu_images, notified, on_terminal, silent)
            except LimosaError as failed:
                raise (awaited or [failed])[0] from failed
        return int(answer.get("restore", {}).get("pid", pids[0]))

    def require_confined(self, criu_images: str, allowance: Allowance) -> None:
        """See the port."""
        from limosa.adapters.criu import confinement

        confinement.require(criu_images, allowance)

    def move_ids(self, criu_images: str, first_host_id: int, other_first_host_id: int) -> None:
        """See the port."""
        from limosa.adapters.criu import ids

        ids.move(criu_images, first_host_id, other_first_host_id)

    def require_locks(self, criu_images: str, processes: list[int]) -> None:
        """See the port."""
        from limosa.adapters.criu import locks

        locks.require_takeable(criu_images, processes)

    def take_locks(self, criu_images: str, processes: list[int]) -> None:
        """See the port."""
        from limosa.adapters.criu import locks

        locks.take(criu_images, processes)

    def _common(self, rootfs: str, own_network: bool) -> dict[str, Any]:
        options: dict[str, Any] = {
            "root": rootfs,
            "log_level": _LOG_LEVEL,
            "notify_scripts": True,
            "file_locks": True,
            "link_remap": True,
            "orphan_pts_master": True,  # the monitor holds the terminal's master
            "ext_unix_sk": True,
            "manage_cgroups_mode": rpc.CGROUPS_SOFT,
            # By a field: every criu up to 4.2 dies of network-lock in a configuration file that is named by RPC.
            "network_lock": rpc.NFTABLES,
            "tcp_skip_in_flight": True,  # a connection that nobody has accepted yet: Networks.settle_newcomers
        }
        yard = cgroup_yard.yard()
        if yard:
            options["cgroup_yard"] = yard
        if own_network:
            options["empty_ns"] = rpc.CLONE_NEWNET
        return options

    def _call(
        self,
        connection: socket.socket,
        kind: int,
        options: dict[str, Any],
        criu_images: str,
        on_notify: Callable[[str, int], None],
        on_terminal: OnTerminal | None = None,
        on_silence: Callable[[], None] = lambda: None,
    ) -> dict[str, Any]:
        # criu opens /proc/PID/fd/NUMBER of the process that made the socket pair, which is this one.
        directory = os.open(criu_images, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return rpc.call(
                connection, kind, {"images_dir_fd": directory, **options}, on_notify, on_terminal, on_silence
            )
        except rpc.RpcFailed as failed:
            path = f"{criu_images}/{options['log_file']}"
            try:
                with open(path, encoding="utf-8", errors="replace") as file:
                    text = file.read()
            except FileNotFoundError:
                text = f"Error (rpc): {failed}"
            verb = "dump" if kind == rpc.DUMP else "restore"
            raise log.translated(verb, text, self._kept(text, f"failed-{verb}.log")) from failed
        finally:
            os.close(directory)

    def _kept(self, text: str, name: str) -> str:
        """Keep a log, since what criu wrote beside it goes with the attempt; return where, "" if that cannot be."""
        path = f"{self._logs}/{name}"
        try:
            os.makedirs(self._logs, mode=0o700, exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        except OSError:
            return ""
        return path


def _cookie(inside: str) -> str:
    return f"limosa{inside.replace('/', '%')}"  # confined_mounts compares it


def _network_lock(init_pid: int) -> int:
    """Return how the network stands still: not at all where it is the host's, in whose rules a lock would stay."""
    shared = os.readlink(f"/proc/{init_pid}/ns/net") == os.readlink("/proc/self/ns/net")
    return rpc.NO_LOCK if shared else rpc.NFTABLES
