"""The loop of a server of pages: who waits comes first, the rest in between or never.

It begins while criu is still at work, is adopted when all processes are there, and ends when nothing is owed any more
or the container has ended.
"""

import os
import resource
import select
import signal
import socket
from collections.abc import Sequence

from limosa.adapters.page_server.restoring import Restoring
from limosa.adapters.page_server.served import Served
from limosa.adapters.page_server.source import PageSource
from limosa.linux import missing_pages
from limosa.model.hints import Final
from limosa.ports.page_servers import LazyMemory

ALL_NOW: Final = signal.SIGUSR1
"""What a server is told when all memory is to be there."""

ADOPTED: Final = b"adopted"
_SOON_MS: Final = 1
_MOST_EVENTS: Final = 64
_MANY: Final = 64  # of processes: then those that have ended are looked for


class Server:
    """One container's."""

    def __init__(
        self,
        source: PageSource,
        listening: socket.socket,
        command: socket.socket,
        *,
        background: bool,
        gate: int | None = None,
    ) -> None:
        """`command` is the connection to the command that restores, which sends the pid of the first process.

        The background begins when nobody holds the other end of the pipe `gate` any more.
        """
        self._source, self._listening, self._command = source, listening, command
        self._background, self._gate = background and gate is None, gate
        self._served: dict[int, Served] = {}
        _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))  # each child has one
        self._poll = select.epoll()
        self._device = os.open(missing_pages.DEVICE, os.O_RDWR | os.O_CLOEXEC)
        self._init = -1
        self._reserved = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        self._busy = False
        self._look_at = _MANY
        self._place: tuple[int, int] = (-1, 0)  # where the background goes on: a descriptor, a page
        self._asked, asking = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(asking)
        signal.signal(ALL_NOW, lambda number, frame: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [ALL_NOW])
        self._poll.register(self._asked, select.EPOLLIN)
        if gate is not None and background:
            self._poll.register(gate, select.EPOLLIN)

    def kill_container(self) -> None:
        """Kill the container and wait until nothing of it runs: for a copy of this process, if this one has died."""
        try:
            signal.pidfd_send_signal(self._reserved, signal.SIGKILL)
        except OSError:
            return  # it was not adopted, and nothing of it has run
        ending = select.poll()
        ending.register(self._reserved, select.POLLIN)
        ending.poll()

    # While criu is at work

    def restore(self, memories: Sequence[LazyMemory]) -> bool:
        """Serve until criu has finished; say whether the container is ours. Raises: EOFError, OSError."""
        for one in (self._listening, self._command):
            self._poll.register(one, select.EPOLLIN)
        restoring: Restoring | None = None
        while restoring is None or not restoring.finished:
            for descriptor, _ in self._poll.poll():
                if descriptor == self._listening.fileno():
                    restoring = Restoring(self._connection(), self._device, memories)
                elif descriptor == self._command.fileno():
                    if not self._adopt():
                        return False
                elif descriptor == self._init:
                    return False
                elif restoring is not None and descriptor == restoring.connection.fileno():
                    restored = restoring.hear()
                    if restored is not None:
                        self._take(restored)
                else:
                    self._hear(descriptor)
            self._serve_waiting()
        self._poll.unregister(restoring.connection)
        restoring.connection.close()
        os.close(self._device)
        return self._init >= 0

    def _connection(self) -> socket.socket:
        connection, _ = self._listening.accept()
        self._poll.unregister(self._listening)
        self._listening.close()
        self._poll.register(connection, select.EPOLLIN)
        return connection

    def _adopt(self) -> bool:
        """Hear the pid of the first process, once, and then that the command is gone; False if it was gone before."""
        told = self._command.recv(64)
        if not told:
            self._poll.unregister(self._command)
            return self._init >= 0
        try:
            for one in self._served.values():
                one.make_sure()
            init = os.pidfd_open(int(told))
        except OSError as failed:
            self._command.send(str(failed).encode())
            return True
        os.dup2(init, self._reserved, inheritable=False)
        os.close(init)
        self._init = self._reserved
        self._poll.register(self._init, select.EPOLLIN)
        self._command.send(ADOPTED)
        return True

    # While the container runs

    def serve(self) -> bool:
        """Serve until nothing is owed; False if the container ended before."""
        while self._let_go():
            idle_ms = _SOON_MS if any(one.waits() for one in self._served.values()) else -1
            for descriptor, _ in self._poll.poll(0 if self._busy else idle_ms, _MOST_EVENTS):
                if descriptor == self._init:
                    return False
                if descriptor == self._asked:
                    os.read(self._asked, 1 << 10)
                    self._background = True
                elif descriptor == self._command.fileno():
                    self._adopt()
                else:
                    self._hear(descriptor)
            self._serve_waiting()
            self._busy = self._background and self._give_a_block()
        return True

    def _let_go(self) -> bool:
        """Close those who are owed nothing; say whether anybody is left."""
        for one in [one for one in self._served.values() if one.gone or not (one.owed or one.waits())]:
            self._drop(one)
        return bool(self._served)

    def _give_a_block(self) -> bool:
        """Give the next block of the background to somebody; False if nobody could be given anything now."""
        for _ in range(2):
            descriptor, page = self._place
            one = self._served.get(descriptor)
            went_on = None if one is None else one.give_next(self._source, page)
            if went_on is not None:
                self._place = (descriptor, went_on)
                return True
            others = [number for number in self._served if number > descriptor] or list(self._served)
            self._place = (min(others, default=-1), 0)
        return False

    def _serve_waiting(self) -> None:
        for one in list(self._served.values()):
            if one.waits():
                one.serve(self._source)

    def _hear(self, descriptor: int) -> None:
        if descriptor == self._gate:
            self._poll.unregister(self._gate)
            os.close(self._gate)
            self._background, self._gate = True, None
            return
        one = self._served.get(descriptor)
        if one is None:
            return
        for child in one.hear():
            self._take(child)

    def _take(self, one: Served) -> None:
        if len(self._served) >= self._look_at:
            for known in list(self._served.values()):
                if not missing_pages.has_memory(known.descriptor):
                    self._drop(known)
            self._look_at = 2 * len(self._served) + _MANY
        self._served[one.descriptor] = one
        self._poll.register(one.descriptor, select.EPOLLIN)

    def _drop(self, one: Served) -> None:
        self._poll.unregister(one.descriptor)
        del self._served[one.descriptor]
        one.close()
