"""Signals by name, as kill(1) takes them. Source: signal(7), x86 and ARM numbers."""

from limosa.model.errors import EXIT_USAGE, LimosaError
from limosa.model.hints import Final

_NAMES: Final = (
    *("HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM"),
    *(
        "TERM",
        "STKFLT",
        "CHLD",
        "CONT",
        "STOP",
        "TSTP",
        "TTIN",
        "TTOU",
        "URG",
        "XCPU",
        "XFSZ",
        "VTALRM",
        "PROF",
        "WINCH",
    ),
    *("IO", "PWR", "SYS"),
)
_RTMIN: Final = 34
_MOST: Final = 64


def number_of(text: str) -> int:
    """Return the number of "SIGTERM", "term", "15" or "SIGRTMIN+3". Raises: LimosaError LIM-CONT-004 (status 2)."""
    name = text.upper().removeprefix("SIG")
    if name in _NAMES:
        return _NAMES.index(name) + 1
    base, _, more = name.partition("+")
    if base == "RTMIN" and (not more or more.isdigit()) and _RTMIN + int(more or 0) <= _MOST:
        return _RTMIN + int(more or 0)
    if name.isdigit() and 0 < int(name) <= _MOST:
        return int(name)
    raise LimosaError(
        "LIM-CONT-004", f"there is no signal {text!r}", hint="signal(7) lists them", exit_status=EXIT_USAGE
    )
