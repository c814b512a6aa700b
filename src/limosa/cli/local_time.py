"""The calendar of this machine's time zone."""

from limosa.model.retention import Moment


def moment(when_ns: int) -> Moment:
    """Return what the calendar says at `when_ns`, nanoseconds since the epoch."""
    from datetime import datetime

    at = datetime.fromtimestamp(when_ns // 10**9).astimezone()
    week = at.isocalendar()
    return Moment(at.year, at.month, at.day, at.hour, (week.year, week.week))
