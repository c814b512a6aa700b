"""conmon's attach socket: packets whose first byte says which stream they are of. Source: conmon(8)."""

import os
import socket
from collections.abc import Callable

from limosa.adapters.crun_runtime import monitor, relay
from limosa.linux import process, terminal
from limosa.model.hints import Final

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


def wires(connection: socket.socket, bundle: str, pass_on: Callable[[int], None]) -> relay.Wires:
    """Return the program's side of an attachment; `pass_on` signals the program."""

    def forward(_descriptor: int) -> bool:
        try:
            packet = connection.recv(_PACKET_BYTES)
        except ConnectionResetError:
            return False
        if not packet:
            return False
        target = {_STDOUT: 1, _STDERR: 2}.get(packet[0])
        return target is None or relay.write_out(target, memoryview(packet)[1:])

    return relay.Wires(
        outputs=(connection.fileno(),),
        forward=forward,
        input_fd=connection.fileno(),
        send=lambda data: connection.send(data[: _PACKET_BYTES - 1], socket.MSG_DONTWAIT),
        finish_input=lambda: connection.shutdown(socket.SHUT_WR),
        resize=lambda rows, columns: resize(bundle, rows, columns),
        signal=pass_on,
    )


def resize(bundle: str, rows: int, columns: int) -> None:
    """Give the container's terminal a size. Nothing happens if conmon has ended, or there is no terminal.

    conmon has a pipe for this, `ctl`, but when two messages are read at once it takes the first one twice (2.1.6,
    src/ctrl.c), so the terminal's master is borrowed from it instead.
    """
    try:
        master = process.borrow(monitor.pid(bundle), "/ptmx")
    except OSError:
        return
    try:
        terminal.set_size(master, rows, columns)
    except OSError:
        pass
    finally:
        os.close(master)


def hand_over(console_socket: str, master: int) -> None:
    """Send conmon the master of a terminal, as a runtime does. Raises: OSError. Source: runc's docs/terminals.md."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(console_socket)
        socket.send_fds(connection, [b"/dev/pts/0"], [master])
