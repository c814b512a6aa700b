"""Standard streams of an exec session: always pipes, never what the caller has.

The runtime gives a program's standard streams to the container's user, so a terminal, a regular file or a device of
the host must not reach it: the caller's own are copied from and to pipes.
"""

import os
import select
from collections.abc import Mapping, Sequence
from typing import Final

from limosa.linux import process

_BLOCK_BYTES: Final = 1 << 16


def run(argv: Sequence[str], env: Mapping[str, str], *, stdin: bool) -> int:
    """Run `argv` with pipes as standard streams, copy until it has ended, and return its status.

    Without `stdin` its input is at the end at once.
    """
    in_read, in_write = os.pipe()
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    try:
        pid = process.spawn(argv, env=env, files=[(in_read, 0), (out_write, 1), (err_write, 2)])
    finally:
        for descriptor in (in_read, out_write, err_write):
            os.close(descriptor)
    _copy(in_write, {out_read: 1, err_read: 2}, stdin=stdin)
    return process.wait(pid)


def _copy(in_write: int, outputs: dict[int, int], *, stdin: bool) -> None:
    poll = select.poll()
    for descriptor in outputs:
        poll.register(descriptor, select.POLLIN)
    if stdin:
        poll.register(0, select.POLLIN)
    else:
        os.close(in_write)
    while outputs:
        for descriptor, _ in poll.poll():
            data = os.read(descriptor, _BLOCK_BYTES)
            target = in_write if descriptor == 0 else outputs[descriptor]
            if data and _written(target, data):
                continue
            poll.unregister(descriptor)
            if descriptor == 0:
                os.close(in_write)
                stdin = False
            else:
                os.close(descriptor)
                del outputs[descriptor]
    if stdin:
        os.close(in_write)


def _written(descriptor: int, data: bytes) -> bool:
    """Write all of `data`; say whether somebody still reads."""
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except BrokenPipeError:
        return False
    return True
