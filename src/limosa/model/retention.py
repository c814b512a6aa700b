"""Which of a container's commits are kept: the last N, and the latest of each of the last N hours, days, weeks, …

As borg's prune and restic's forget have it: a rule counts only periods in which there is a commit, so that a container
that was off for a month keeps what it had. A commit stays if any rule, or its owner, wants it.
"""

from collections.abc import Callable, Mapping, Sequence

from limosa.model.hints import Final
from limosa.model.value import NamedTuple


class Moment(NamedTuple):
    """A time as the calendar of its owner has it."""

    year: int
    month: int
    day: int
    hour: int
    week: tuple[int, int]  # ISO year and week


class Keep(NamedTuple):
    """How many periods each rule keeps a commit of."""

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0

    def __str__(self) -> str:
        """Return it as it is typed: "hourly=24,daily=7"."""
        return ",".join(f"{name}={count}" for name, count in zip(self._fields, self, strict=True) if count)


class Dated(NamedTuple):
    """A commit. `wanted` says why its owner wants it, whatever its age: "tagged good"; empty: nothing does."""

    name: str
    created_ns: int
    wanted: str = ""


_PERIODS: Final[Mapping[str, Callable[[Moment], tuple[object, ...]]]] = {
    "hourly": lambda at: (at.year, at.month, at.day, at.hour),
    "daily": lambda at: (at.year, at.month, at.day),
    "weekly": lambda at: at.week,
    "monthly": lambda at: (at.year, at.month),
    "yearly": lambda at: (at.year,),
}
_MOST: Final = 1_000_000


def parse(text: str) -> Keep:
    """Return the meaning of "hourly=24,daily=7". Raises: ValueError: it is no rule, or one that keeps none."""
    found: dict[str, int] = {}
    for part in text.split(","):
        name, equals, number = part.strip().partition("=")
        if name not in Keep._fields or not equals or not number.isdigit() or int(number) > _MOST:
            raise ValueError(f"{part!r} is not one of {', '.join(f'{field}=N' for field in Keep._fields)}")
        if name in found:
            raise ValueError(f"{name} is there twice")
        found[name] = int(number)
    if not any(found.values()):
        raise ValueError("a rule that keeps nothing would forget everything")
    return Keep(**found)


def reasons(commits: Sequence[Dated], keep: Keep, calendar: Callable[[int], Moment]) -> dict[str, tuple[str, ...]]:
    """Return why each commit is kept, the latest commit first; without a reason it may be forgotten.

    `calendar` tells nanoseconds since the epoch in the owner's time zone.
    """
    ordered = sorted(commits, key=lambda commit: (commit.created_ns, commit.name), reverse=True)
    found: dict[str, list[str]] = {one.name: [one.wanted] if one.wanted else [] for one in ordered}
    for one in ordered[: keep.last]:
        found[one.name].append("last")
    for rule, period_of in _PERIODS.items():
        left = getattr(keep, rule)
        seen = None
        for one in ordered:
            period = period_of(calendar(one.created_ns))
            if left and period != seen:
                found[one.name].append(rule)
                seen = period
                left -= 1
    return {name: tuple(why) for name, why in found.items()}
