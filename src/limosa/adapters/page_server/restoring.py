"""How criu hands over the userfaultfds of what it restores.

criu connects to `lazy-pages.socket` among its images, and for each process there come its pid inside the container (4
bytes, negative: it had ended) and a byte with its userfaultfd; at the end a word that is no pid. Between the two we
answer the pid with the device that it makes the userfaultfd of, and the userfaultfd with a byte once it is ready; that
is what for_restores.c waits for. Source: CRIU criu/uffd.c.
"""

import os
import socket
import struct
from collections.abc import Sequence

from limosa.adapters.page_server.served import Served
from limosa.linux import missing_pages
from limosa.model.commit_store import PageMap
from limosa.model.hints import Final
from limosa.model.owed_pages import OwedPages
from limosa.ports.page_servers import LazyMemory

SOCKET: Final = "lazy-pages.socket"
_WORD: Final = struct.Struct("<i")
_FINISHED: Final = 0x52535446


def listening(criu_images: str) -> socket.socket:
    """Return a socket to which criu will connect. Raises: OSError."""
    directory = os.open(criu_images, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:  # by a path that is short enough for a socket's name
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.bind(f"/proc/self/fd/{directory}/{SOCKET}")
        made.listen(1)
        return made
    finally:
        os.close(directory)


def hung_up(criu_images: str) -> None:
    """Remove the socket's name. Nothing happens if it is gone."""
    try:
        os.unlink(f"{criu_images}/{SOCKET}")
    except FileNotFoundError:
        return


class Restoring:
    """criu's side of a restore, as it comes in."""

    def __init__(self, connection: socket.socket, device: int, memories: Sequence[LazyMemory]) -> None:
        """`device` is an open /dev/userfaultfd."""
        self.connection, self._device = connection, device
        self._memories = {memory.pid: memory for memory in memories}
        self.finished = False

    def hear(self) -> Served | None:
        """Take what came next; return a process if it is one. Raises: EOFError: criu hung up before it had finished."""
        (word,) = _WORD.unpack(self._received(_WORD.size))
        if word == _FINISHED:
            self.finished = True
            return None
        if word < 0:
            return None
        socket.send_fds(self.connection, [b"d"], [self._device])
        byte, descriptors, _, _ = socket.recv_fds(self.connection, 1, 1)
        if not byte or not descriptors:
            raise EOFError("criu sent no userfaultfd")
        os.set_inheritable(descriptors[0], False)
        missing_pages.enable(descriptors[0])
        self.connection.send(b"r")
        memory = self._memories.get(word, LazyMemory(word, PageMap()))
        return Served(descriptors[0], memory.pages, OwedPages(memory.runs), memory)

    def _received(self, size: int) -> bytes:
        data = self.connection.recv(size, socket.MSG_WAITALL)
        if len(data) < size:
            raise EOFError("criu hung up")
        return data
