"""Be told when a file changes."""

import os

from limosa.linux import libc
from limosa.model.hints import Final

_MODIFY: Final = 0x2
_ATTRIB: Final = 0x4
_MOVE_SELF: Final = 0x800
_NONBLOCK: Final = 0x800
_CLOEXEC: Final = 0x80000


def watch(path: str) -> int:
    """Return a descriptor that is readable after `path` was written to, renamed or unlinked.

    Raises: OSError: it does not exist, or there are too many watches. Source: inotify(7).
    """
    library = libc.loaded()
    descriptor: int = library.inotify_init1(_NONBLOCK | _CLOEXEC)
    if descriptor < 0 or library.inotify_add_watch(descriptor, os.fsencode(path), _MODIFY | _ATTRIB | _MOVE_SELF) < 0:
        number = libc.errno()
        if descriptor >= 0:
            os.close(descriptor)
        raise OSError(number, os.strerror(number), path)
    return descriptor
