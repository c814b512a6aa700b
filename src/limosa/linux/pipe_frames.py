"""Read and write exact numbers of bytes over descriptors that may stall: each call ends within its time."""

import os
import select
import time


class Stalled(Exception):
    """Nothing moved for as long as was allowed."""


class HungUp(Exception):
    """The other end is closed."""


def prepare(descriptor: int) -> None:
    """Let reads and writes of a descriptor not wait. Source: fcntl(2), O_NONBLOCK."""
    os.set_blocking(descriptor, False)


def read_exactly(descriptor: int, size_bytes: int, idle_s: float) -> bytes:
    """Return so many bytes. Raises: Stalled: none came for `idle_s`; HungUp: the end came first."""
    parts: list[bytes] = []
    missing = size_bytes
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while missing:
        try:
            part = os.read(descriptor, min(missing, 1 << 20))
        except BlockingIOError:
            if not poll.poll(idle_s * 1000):
                raise Stalled from None
            continue
        except ConnectionResetError:
            part = b""
        if not part:
            raise HungUp
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def write_all(descriptor: int, data: bytes, idle_s: float) -> None:
    """Write all of `data`. Raises: Stalled: nobody took any for `idle_s`; HungUp: nobody ever will."""
    rest = memoryview(data)
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    deadline = time.monotonic() + idle_s
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
            deadline = time.monotonic() + idle_s
        except BlockingIOError:
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000) and time.monotonic() >= deadline:
                raise Stalled from None
        except BrokenPipeError:
            raise HungUp from None
