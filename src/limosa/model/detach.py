"""The keys that let go of a terminal: "ctrl-p,ctrl-q" as docker writes them, found in a stream of input."""

from limosa.model.errors import EXIT_USAGE, LimosaError
from limosa.model.hints import Final

DEFAULT: Final = "ctrl-p,ctrl-q"
_CONTROL: Final = "@abcdefghijklmnopqrstuvwxyz[\\]^_"


def keys(text: str) -> bytes:
    """Return the bytes that "ctrl-p,ctrl-q" or "a,b" stands for; the empty text is no keys at all.

    Raises: LimosaError LIM-CLI-002 (status 2): it is no list of single characters and ctrl-CHARACTER.
    """
    return bytes(_key(part, text) for part in text.split(",")) if text else b""


def _key(part: str, text: str) -> int:
    character = part.removeprefix("ctrl-")
    if part.startswith("ctrl-") and len(character) == 1 and character.lower() in _CONTROL:
        return _CONTROL.index(character.lower())
    if len(part) == 1 and part.isascii():
        return ord(part)
    raise LimosaError(
        "LIM-CLI-002",
        f"{text!r} are no detach keys",
        cause=f"{part!r} is neither a single character nor ctrl- and one of a-z @ [ \\ ] ^ _",
        hint="--detach-keys ctrl-p,ctrl-q, or --detach-keys '' for none",
        exit_status=EXIT_USAGE,
    )


class KeyMatcher:
    """Finds the keys in what is typed, and holds a beginning of them back until it is known what it was."""

    def __init__(self, wanted: bytes) -> None:
        self._wanted = wanted
        self._held = b""

    def feed(self, typed: bytes) -> tuple[bytes, bool]:
        """Return what is to be passed on of `typed`, and whether the keys were complete; what follows them is lost."""
        wanted = self._wanted
        if not wanted:
            return typed, False
        data = self._held + typed
        found = data.find(wanted)
        if found >= 0:
            self._held = b""
            return data[:found], True
        for length in range(min(len(wanted) - 1, len(data)), 0, -1):
            if data.endswith(wanted[:length]):
                self._held = data[-length:]
                return data[:-length], False
        self._held = b""
        return data, False
