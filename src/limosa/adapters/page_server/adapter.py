"""The `PageServers` port over copies of this process. `page-server` in the directory of a container's present life
names its server for as long as something is owed; a server that has died leaves it there."""

import json
import os
import select
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from limosa.adapters.page_server import restoring, server
from limosa.adapters.page_server.source import PageSource
from limosa.linux import boot, missing_pages, process
from limosa.model.commit_store import ObjectId
from limosa.model.errors import LimosaError
from limosa.model.hints import Final
from limosa.model.ids import ContainerId
from limosa.model.value import NamedTuple
from limosa.ports.commit_store import CommitStore
from limosa.ports.page_servers import LazyMemory

_READY: Final = b"ready"
_PATIENCE_S: Final = 30.0


class ForkedPageServers:
    """Servers of one root."""

    def __init__(self, directory_of: Callable[[ContainerId], str], library: Callable[[], str]) -> None:
        """`directory_of` says where things are that go when a container's processes do; `library` returns what criu is
        given for it, or "".
        """
        self._directory_of, self._library = directory_of, library
        self._gate: int | None = None

    def works(self) -> bool:
        """See the port."""
        return bool(self._library()) and missing_pages.works()

    @contextmanager
    def in_front(self) -> Iterator[None]:
        """See the port."""
        gate, held = os.pipe2(os.O_CLOEXEC)
        self._gate = gate
        try:
            yield
        finally:
            self._gate = None
            os.close(gate)
            os.close(held)

    @contextmanager
    def serving(
        self,
        container_id: ContainerId,
        store: CommitStore,
        commit: ObjectId,
        memories: Sequence[LazyMemory],
        criu_images: str,
        failed: Callable[[str], None],
        *,
        in_background: bool,
    ) -> "Iterator[_Starting]":
        """See the port."""
        path = self._path(container_id)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            try:
                with theirs, restoring.listening(criu_images) as listening:
                    store.release()
                    task = _Task(path, store, commit, memories, listening, theirs, failed, in_background, self._gate)
                    kept = [theirs.fileno(), listening.fileno()]
                    kept += [self._gate] if self._gate is not None else []
                    pid = process.fork_off(lambda: self._serve(task), kept)
            except OSError as refused:
                raise _refused(str(refused)) from refused
            try:
                yield _Starting(ours, pid, path)
            finally:
                restoring.hung_up(criu_images)
        # Without having adopted it the server ends, since this end of the connection is closed.

    def _serve(self, task: "_Task") -> None:
        """Be the server of a container."""
        try:
            task.store.spare()
            with task.store.reading(task.commit) as reader:
                task.command.send(_READY)
                connections = (task.listening, task.command)
                serving = server.Server(PageSource(reader), *connections, background=task.in_background, gate=task.gate)
                watch = process.watched_by_copy(serving.kill_container)
                try:
                    complete = serving.restore(task.memories) and serving.serve()
                except EOFError:
                    complete = False  # the restore failed, and nothing has run
                if complete:
                    with suppress(FileNotFoundError):
                        os.unlink(task.path)
                os.kill(watch, signal.SIGKILL)
                os.waitpid(watch, 0)
        except LimosaError as failed:
            task.failed(f"{failed.code}: {failed.summary}: {failed.cause}")
            raise
        except OSError as failed:
            task.failed(str(failed))
            raise

    def complete(self, container_id: ContainerId) -> None:
        """See the port."""
        named = self._named(container_id)
        if named is None:
            return
        pid, ticks = named
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            descriptor = -1
        if descriptor >= 0:
            try:
                if process.alive(pid, ticks):
                    signal.pidfd_send_signal(descriptor, server.ALL_NOW)
                    ending = select.poll()
                    ending.register(descriptor, select.POLLIN)
                    ending.poll()
            except ProcessLookupError:
                pass
            finally:
                os.close(descriptor)
        if self._named(container_id) == named:
            raise LimosaError(
                "LIM-LAZY-001",
                f"the memory of {container_id[:12]} cannot be completed",
                state="the container is being killed; its commits are whole",
                cause="the process that served its pages died before all were there",
                hint="limosa events shows why; limosa restore brings its latest commit back",
            )

    def lost(self, container_id: ContainerId) -> bool:
        """See the port."""
        named = self._named(container_id)
        return named is not None and not process.alive(*named) and self._named(container_id) == named

    def _path(self, container_id: ContainerId) -> str:
        return f"{self._directory_of(container_id)}/page-server"

    def _named(self, container_id: ContainerId) -> tuple[int, int] | None:
        try:
            with open(self._path(container_id), encoding="ascii") as file:
                boot_id, pid, ticks = json.load(file)
        except (OSError, ValueError):
            return None
        return (int(pid), int(ticks)) if boot_id == boot.boot_id() else None


class _Task(NamedTuple):
    """What a server is to do."""

    path: str
    store: CommitStore
    commit: ObjectId
    memories: Sequence[LazyMemory]
    listening: socket.socket
    command: socket.socket
    failed: Callable[[str], None]
    in_background: bool
    gate: int | None


class _Starting:
    """The server of a container that is being restored."""

    def __init__(self, connection: socket.socket, pid: int, path: str) -> None:
        self._connection, self._pid, self._path = connection, pid, path

    def adopt(self, init_pid: int) -> None:
        """See the port."""
        self._connection.settimeout(_PATIENCE_S)
        try:
            said = self._connection.recv(1 << 10)
            if said == _READY:
                with open(f"{self._path}.new", "w", encoding="ascii") as file:
                    json.dump((boot.boot_id(), self._pid, process.start_ticks(self._pid)), file)
                os.replace(f"{self._path}.new", self._path)
                self._connection.send(str(init_pid).encode())
                said = self._connection.recv(1 << 10)
        except OSError as failed:
            raise _refused(str(failed)) from failed
        if said != server.ADOPTED:
            raise _refused(said.decode(errors="replace") or "it has ended")


def _refused(cause: str) -> LimosaError:
    return LimosaError(
        "LIM-LAZY-002",
        "the memory of a container cannot come on demand",
        cause=f"its server of pages: {cause}",
        hint="with --lazy=off all of it is there before anything goes on",
    )
