"""conmon's k8s-file log: a line is "TIME STREAM F|P TEXT"; P is a part of a longer line. Source: conmon(8).

TIME is local, with nanoseconds and the offset: 2026-11-24T02:24:36.123456789+00:00.
"""

from limosa.model.errors import EXIT_USAGE, LimosaError
from limosa.model.hints import Final, Literal
from limosa.model.value import NamedTuple

_DURATION: Final = r"(\d+(?:\.\d+)?)(h|ms|m|s)"
_UNIT_NS: Final = {"h": 3600 * 10**9, "m": 60 * 10**9, "s": 10**9, "ms": 10**6}


class Entry(NamedTuple):
    """What was printed at once."""

    time: str
    stream: Literal["stdout", "stderr"]
    whole: bool  # a line ends here
    text: bytes


def entry(line: bytes) -> Entry | None:
    """Return what a line of the log says, None for one that a crash cut off."""
    parts = line.rstrip(b"\n").split(b" ", 3)
    if len(parts) != 4 or parts[1] not in (b"stdout", b"stderr") or parts[2] not in (b"F", b"P"):
        return None
    return Entry(
        parts[0].decode(errors="replace"), "stderr" if parts[1] == b"stderr" else "stdout", parts[2] == b"F", parts[3]
    )


def time_ns(text: str) -> int:
    """Return nanoseconds since the epoch of an entry's time or of RFC 3339 as a person writes it (UTC without offset).

    Raises: ValueError.
    """
    import re
    from datetime import UTC, datetime

    found = re.fullmatch(r"(\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?)?)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)?", text)
    if found is None:
        raise ValueError(f"{text!r} is no time")
    base, fraction, offset = found.groups()
    moment = datetime.fromisoformat(base + ("+00:00" if offset in (None, "Z") else offset))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * 10**9 + int((fraction or "0").ljust(9, "0"))


def moment_ns(text: str, now_ns: int) -> int:
    """Return when "10m", "1h30m", "2026-11-24T10:00:00Z", "2026-11-24" or "1790000000.5" was.

    Raises: LimosaError LIM-CLI-002 (status 2): it is none of these.
    """
    import re

    parts = re.findall(_DURATION, text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return now_ns - sum(int(float(number) * _UNIT_NS[unit]) for number, unit in parts)
    if re.fullmatch(r"\d+(\.\d{1,9})?", text):
        seconds, _, fraction = text.partition(".")
        return int(seconds) * 10**9 + int(fraction.ljust(9, "0"))
    try:
        return time_ns(text)
    except ValueError as no_time:
        raise LimosaError(
            "LIM-CLI-002",
            f"{text!r} is no time",
            hint="a duration (10m, 1h30m), 2026-11-24T10:00:00Z, or seconds since 1970",
            exit_status=EXIT_USAGE,
        ) from no_time
