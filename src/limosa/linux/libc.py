"""The C library, for system calls that Python has no function for.

It is loaded when it is first called, for ctypes takes 2 ms to import, and once, for a handle takes 60 µs.
"""

import os

from limosa.model.hints import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import ctypes

_loaded: "ctypes.CDLL | None" = None


def loaded() -> "ctypes.CDLL":
    """Return the C library; its functions keep errno for `errno` and `failed`."""
    global _loaded  # noqa: PLW0603
    if _loaded is None:
        import ctypes

        _loaded = ctypes.CDLL(None, use_errno=True)
    return _loaded


def errno() -> int:
    """Return the errno of this thread's last call."""
    import ctypes

    return ctypes.get_errno()


def failed(what: str, *paths: str) -> NoReturn:
    """Raise OSError for the last call: its errno, `what` if not empty, and up to one path or two paths."""
    number = errno()
    words = f"{what}: {os.strerror(number)}" if what else os.strerror(number)
    if len(paths) == 2:
        raise OSError(number, words, paths[0], None, paths[1])
    raise OSError(number, words, *paths)


def ioctl(descriptor: int, request: int, argument: bytes) -> None:
    """Make a request whose argument is a structure of which nothing is read back. Raises: OSError. Source: ioctl(2)."""
    import ctypes

    buffer = ctypes.create_string_buffer(argument, len(argument))
    if loaded().ioctl(descriptor, ctypes.c_ulong(request), buffer) < 0:
        failed("", f"ioctl {request:#x}")
