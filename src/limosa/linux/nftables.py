"""Packet filter rules, by the library of nft(8): a buffer of commands is one transaction.

Nothing is started: libnftables talks to the kernel itself. It is loaded at first use (1 ms) because most commands
need no rule. Source: libnftables(3), libnftables-json(5).
"""

import ctypes
import os

from limosa.model import json_text
from limosa.model.hints import Any, Final

LIBRARY: Final = "libnftables.so.1"
_OUTPUT_JSON: Final = 1 << 4
_OUTPUT_NUMERIC_PROTOCOL: Final = 1 << 7
_FD_SETSIZE: Final = 1024


class NftError(Exception):
    """The kernel or the library refused a transaction; nothing of it holds. The message has its words."""

    @property
    def missing(self) -> bool:
        """Say whether something named in it is not there (table, set or element)."""
        return "No such file or directory" in str(self) or "does not exist" in str(self)


class NftUnavailable(Exception):
    """The library is not installed, or cannot be used in this process."""


class Nft:
    """A connection to nftables of the network namespace in which it is first used; it stays there."""

    def __init__(self) -> None:
        self._library: ctypes.CDLL | None = None
        self._context: int | None = None

    def open(self) -> None:
        """Load the library and connect, so that the first transaction is not the one that pays for it.

        Raises: NftUnavailable.
        """
        if self._context is not None:
            return
        try:
            library = ctypes.CDLL(LIBRARY)
        except OSError as error:
            raise NftUnavailable(str(error)) from error
        for name, arguments, result in (
            ("nft_ctx_new", [ctypes.c_uint32], ctypes.c_void_p),
            ("nft_ctx_free", [ctypes.c_void_p], None),
            ("nft_ctx_buffer_output", [ctypes.c_void_p], ctypes.c_int),
            ("nft_ctx_buffer_error", [ctypes.c_void_p], ctypes.c_int),
            ("nft_ctx_output_set_flags", [ctypes.c_void_p, ctypes.c_uint], None),
            ("nft_run_cmd_from_buffer", [ctypes.c_void_p, ctypes.c_char_p], ctypes.c_int),
            ("nft_ctx_get_output_buffer", [ctypes.c_void_p], ctypes.c_char_p),
            ("nft_ctx_get_error_buffer", [ctypes.c_void_p], ctypes.c_char_p),
        ):
            function = getattr(library, name)
            function.argtypes, function.restype = arguments, result
        _require_a_low_number()
        context = library.nft_ctx_new(0)
        if not context:
            raise NftUnavailable("libnftables could not connect to the kernel")
        library.nft_ctx_buffer_output(context)
        library.nft_ctx_buffer_error(context)
        library.nft_ctx_output_set_flags(context, _OUTPUT_JSON | _OUTPUT_NUMERIC_PROTOCOL)
        self._library, self._context = library, context

    def close(self) -> None:
        """Disconnect; repeating it does nothing."""
        if self._library is not None and self._context is not None:
            self._library.nft_ctx_free(self._context)
        self._library = self._context = None

    def __del__(self) -> None:
        self.close()

    def run(self, commands: str) -> list[dict[str, Any]]:
        """Execute `commands` (nft's language, one a line) as one transaction and return what it printed.

        Raises: NftError: refused, nothing holds; NftUnavailable.
        """
        self.open()
        assert self._library is not None
        if self._library.nft_run_cmd_from_buffer(self._context, commands.encode()) != 0:
            words = self._library.nft_ctx_get_error_buffer(self._context) or b""
            raise NftError(words.decode(errors="replace").strip() or "refused without a reason")
        output = self._library.nft_ctx_get_output_buffer(self._context)
        if not output:
            return []
        found: list[dict[str, Any]] = json_text.loads(output)["nftables"]
        return found


def _require_a_low_number() -> None:
    """Raise NftUnavailable if the next descriptor is none for select(2), by which the library waits: it would abort."""
    descriptor = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    os.close(descriptor)
    if descriptor >= _FD_SETSIZE:
        raise NftUnavailable(
            f"this process has {descriptor} files open; libnftables can wait for the first {_FD_SETSIZE}"
        )
