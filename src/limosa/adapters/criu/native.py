"""What criu is given in C: compiled once per machine, where there is a compiler.

    TOOLS/native/<digest of its source>/for_dumps.so    leaves out followed memory and needless questions; ends no sleep
    TOOLS/native/<digest of its source>/own_namespaces.so  lets it dump again what gave up root and came back once
    TOOLS/native/<digest of its source>/for_restores.so  gets it userfaultfds that tell faults in the kernel, too
    TOOLS/native/<digest of its source>/tar             saves a small tmpfs without three programs, see little_tar.c

Without a compiler criu dumps all memory, which limosa reads from the images then, executes tar, refuses the process
that gave up root, and restores all memory before anything goes on.
"""

import os

from limosa.linux import c_source
from limosa.model.hints import Final

_LIBRARY: Final = ("-O2", "-shared", "-fPIC", "-nostdlib", "-fno-stack-protector")
_CALLS: Final = "system_call.h"  # what each library includes


def library(directory: str, compiler: str) -> str:
    """Return the path of the library below `directory`, compiled if it is not there; "" if that cannot be done.

    `compiler` is a C compiler's path, "" for none.
    """
    if os.uname().machine != "x86_64":
        return ""
    return _made(directory, compiler, ("for_dumps.c", _CALLS), "for_dumps.so", _LIBRARY)


def namespaces(directory: str, compiler: str) -> str:
    """Return the path of the library for criu's question about namespaces, as `library` does."""
    if os.uname().machine != "x86_64":
        return ""
    return _made(directory, compiler, ("own_namespaces.c", _CALLS), "own_namespaces.so", _LIBRARY)


def restores(directory: str, compiler: str) -> str:
    """Return the path of the library for restores whose memory comes on demand, as `library` does."""
    if os.uname().machine != "x86_64":
        return ""
    return _made(directory, compiler, ("for_restores.c", _CALLS), "for_restores.so", _LIBRARY)


def programs(directory: str, compiler: str) -> str:
    """Return a directory with programs for the beginning of criu's PATH, as `library` does."""
    return os.path.dirname(_made(directory, compiler, ("little_tar.c",), "tar", ("-O2", "-static")))


def _made(directory: str, compiler: str, names: tuple[str, ...], made: str, options: tuple[str, ...]) -> str:
    here = os.path.dirname(__file__)
    return c_source.made(directory, compiler, [f"{here}/{name}" for name in names], made, options)
