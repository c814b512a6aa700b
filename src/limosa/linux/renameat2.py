"""Exchange two names in one step."""

import os

from limosa.linux import libc
from limosa.model.hints import Final

_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2


def exchange(first: str, second: str) -> None:
    """Let `first` and `second`, which both exist on one file system, change places.

    Raises: OSError ENOENT: one is missing; nothing changed then. Source: rename(2), RENAME_EXCHANGE.
    """
    if libc.loaded().renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) != 0:
        libc.failed("", first, second)
