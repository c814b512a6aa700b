"""Option values that only the kernel would refuse, and late: directories, host names, signals, sizes of something.

An empty word is as good as none: argparse asks about defaults, too.
"""

from limosa.cli import arguments, values
from limosa.model.errors import LimosaError
from limosa.model.hints import Final
from limosa.model.ids import is_name
from limosa.model.signals import number_of

_LONGEST_HOSTNAME: Final = 64  # sethostname(2)


def directory(text: str) -> str:
    """Return a directory inside, an absolute path."""
    if text and not text.startswith("/"):
        raise arguments.wrong(f"{text!r} is no absolute path")
    return text


def hostname(text: str) -> str:
    """Return a name that a machine may have: letters, digits, "-", "." and "_"."""
    if text and not is_name(text, _LONGEST_HOSTNAME):
        raise arguments.wrong(f"{text!r} is no host name: use up to {_LONGEST_HOSTNAME} letters, digits, '-', '.'")
    return text


def signal(text: str) -> str:
    """Return a signal's name or number, as it was given."""
    try:
        number_of(text or "TERM")
    except LimosaError as unknown:
        raise arguments.wrong(unknown.summary) from unknown
    return text


def some_bytes(text: str) -> int:
    """Return a size of 1 byte or more."""
    found = values.size_bytes(text)
    if found < 1:
        raise arguments.wrong(f"{text!r} is nothing: use a number and k, m, g or t")
    return found


def whole_seconds(text: str) -> int:
    """Return a whole number of seconds, 0 or more."""
    if not text.isdecimal():
        raise arguments.wrong(f"{text!r} is no whole number of seconds")
    return int(text)
