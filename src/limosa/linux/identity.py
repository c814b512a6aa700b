"""As whom this thread makes files, for a moment."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from limosa.linux import libc


@contextmanager
def file_owner(host_id: int) -> Iterator[None]:
    """Make files as user and group `host_id`, with umask 022, for the time of a `with` block.

    This thread has no power over others' files in the meantime. Source: setfsuid(2), capabilities(7).
    """
    kernel = libc.loaded()
    umask = os.umask(0o022)
    try:
        kernel.setfsgid(host_id)
        kernel.setfsuid(host_id)
        yield
    finally:
        kernel.setfsuid(os.geteuid())
        kernel.setfsgid(os.getegid())
        os.umask(umask)
