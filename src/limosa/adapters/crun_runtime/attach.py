"""conmon's attach socket: packets whose first byte says which stream they are of. Source: conmon(8)."""

import os
import select
import socket
from typing import Final

_STDOUT: Final = 2
_STDERR: Final = 3
_PACKET_BYTES: Final = 8193


def connect(bundle: str) -> int:
    """Return a connection to conmon's attach socket. Raises: OSError: conmon has ended."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    directory = os.open(bundle, os.O_PATH | os.O_DIRECTORY)
    try:
        # A socket's path has at most 107 bytes; this one is short wherever the bundle is.
        connection.connect(f"/proc/self/fd/{directory}/attach")
    finally:
        os.close(directory)
    return connection.detach()


def relay(descriptor: int, *, stdin: bool) -> None:
    """Copy output, and input with `stdin`, between this process and the container until the container ends."""
    with socket.socket(fileno=descriptor) as connection:
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        if stdin:
            poll.register(0, select.POLLIN)
        while True:
            for ready, _ in poll.poll():
                if ready == 0:
                    _forward_input(connection, poll)
                elif not _forward_output(connection):
                    return


def _forward_input(connection: socket.socket, poll: select.poll) -> None:
    data = os.read(0, _PACKET_BYTES - 1)
    if data:
        connection.sendall(data)
    else:
        poll.unregister(0)
        connection.shutdown(socket.SHUT_WR)


def _forward_output(connection: socket.socket) -> bool:
    try:
        packet = connection.recv(_PACKET_BYTES)
    except ConnectionResetError:
        return False
    if not packet:
        return False
    target = {_STDOUT: 1, _STDERR: 2}.get(packet[0])
    data = memoryview(packet)[1:]
    while target is not None and data:
        data = data[os.write(target, data) :]
    return True
