"""Which commits a rule keeps."""

import argparse
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa.cli import values
from limosa.model import retention
from limosa.model.retention import Dated, Keep, Moment

NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)


def calendar(when_ns: int) -> Moment:
    at = datetime.fromtimestamp(when_ns / 1e9, UTC)
    week = at.isocalendar()
    return Moment(at.year, at.month, at.day, at.hour, (week.year, week.week))


def dated(*ages: timedelta) -> list[Dated]:
    return [Dated(str(age), int((NOW - age).timestamp() * 1e9)) for age in ages]


def kept(commits: list[Dated], text: str) -> list[str]:
    found = retention.reasons(commits, retention.parse(text), calendar)
    return [name for name, why in found.items() if why]


MINUTES, HOURS, DAYS = (lambda n: timedelta(minutes=n)), (lambda n: timedelta(hours=n)), (lambda n: timedelta(days=n))


def test_the_last_ones() -> None:
    assert kept(dated(HOURS(3), HOURS(1), HOURS(2)), "last=2") == [str(HOURS(1)), str(HOURS(2))]


def test_the_latest_of_each_hour_that_has_one() -> None:
    # 12:20, 12:10, 11:50, 10:10 and, after a pause, 03:10, 02:10
    ages = dated(MINUTES(10), MINUTES(20), MINUTES(40), MINUTES(140), MINUTES(560), MINUTES(620))
    assert kept(ages, "hourly=4") == [str(MINUTES(n)) for n in (10, 40, 140, 560)]


def test_days_weeks_months_and_years_are_those_of_the_calendar() -> None:
    every_day = dated(*(DAYS(n) for n in range(800)))
    assert len(kept(every_day, "daily=7")) == 7
    weekly = kept(every_day, "weekly=3")
    assert weekly == [str(DAYS(n)) for n in (0, 2, 9)], "today, a Tuesday, and the last two Sundays"
    assert kept(every_day, "monthly=2") == [str(DAYS(0)), str(DAYS(24))], "the last of October"
    assert kept(every_day, "yearly=3") == [str(DAYS(0)), str(DAYS(328)), str(DAYS(693))]


def test_rules_add_up_and_what_its_owner_wants_stays() -> None:
    commits = dated(HOURS(1), HOURS(2), DAYS(1), DAYS(9))
    commits[3] = commits[3]._replace(wanted="tagged good")
    found = retention.reasons(commits, Keep(hourly=1, daily=2), calendar)
    assert list(found.values()) == [("hourly", "daily"), (), ("daily",), ("tagged good",)]


def test_an_hour_that_begins_anew_when_clocks_go_back_is_one_hour() -> None:
    twice = [Dated("first", 0), Dated("second", 3600 * 10**9)]
    found = retention.reasons(twice, Keep(hourly=2), lambda _: Moment(2026, 10, 25, 2, (2026, 43)))
    assert found == {"second": ("hourly",), "first": ()}


@pytest.mark.parametrize(
    "text", ["", "hourly", "hourly=", "hourly=-1", "hourly=x", "secondly=3", "daily=1,daily=2", "daily=0", "daily=1,"]
)
def test_what_is_no_rule(text: str) -> None:
    with pytest.raises(ValueError):
        retention.parse(text)


def test_a_rule_is_written_as_it_is_read() -> None:
    keep = retention.parse("daily=7, hourly=24")
    assert str(keep) == "hourly=24,daily=7"
    assert retention.parse(str(keep)) == keep
    assert values.retention("last=3") == Keep(last=3)
    assert [values.interval_s(text) for text in ("10s", "10m", "2h", "1d")] == [10, 600, 7200, 86400]
    for wrong in ("", "m", "9s", "10", "1w", "-1m", "366d"):
        with pytest.raises(argparse.ArgumentTypeError):
            values.interval_s(wrong)


@given(
    st.lists(st.integers(0, 10**6), max_size=60),
    st.builds(Keep, *(st.integers(0, 9) for _ in Keep._fields)),
    st.lists(st.integers(0, 10**6), max_size=10),
)
def test_time_alone_never_forgets_what_a_larger_rule_kept(ages: list[int], keep: Keep, more: list[int]) -> None:
    commits = dated(*(MINUTES(age) for age in sorted(set(ages))))
    before = {name for name, why in retention.reasons(commits, keep, calendar).items() if why}
    assert len(before) <= sum(keep)
    assert not commits or not any(keep) or str(min(MINUTES(age) for age in ages)) in before, "the latest always stays"
    wider = Keep(*(count + 1 for count in keep))
    after = {name for name, why in retention.reasons(commits, wider, calendar).items() if why}
    assert before <= after
    # Forgetting and asking again forgets nothing more.
    left = [one for one in commits if one.name in before]
    assert {name for name, why in retention.reasons(left, keep, calendar).items() if why} == before
