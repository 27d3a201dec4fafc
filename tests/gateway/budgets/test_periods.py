from datetime import UTC, datetime, timedelta
from typing import get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.budgets.periods import Calendar, Period, Stretch

PERIODS: tuple[Period, ...] = get_args(Period)
WHOLE_DAYS: tuple[Period, ...] = ("day", "week", "month")
# Changes by an hour, at midnight, by half an hour, by two, at a quarter to; offsets of half and three quarters.
ZONES = (
    "UTC", "Europe/Vienna", "America/New_York", "America/Sao_Paulo", "America/Havana", "Africa/Cairo", "Asia/Beirut",
    "Atlantic/Azores", "America/Nuuk", "Antarctica/Troll", "Asia/Kolkata", "Asia/Kathmandu", "America/St_Johns",
    "Australia/Lord_Howe", "Pacific/Chatham", "Pacific/Apia", "Africa/Casablanca",
)  # fmt: skip
moments = st.floats(datetime(2011, 12, 1, tzinfo=UTC).timestamp(), datetime(2037, 1, 1, tzinfo=UTC).timestamp())
zones = st.sampled_from(ZONES)


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def stretch(period: Period, zone: str, text: str) -> tuple[str, str]:
    """Return the period that the moment lies in: when it begins and ends in UTC."""
    found = Calendar().stretch(period, zone, at(text))
    assert found.until is not None
    return utc(found.start), utc(found.until)


def utc(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M")


@pytest.mark.parametrize(
    ("period", "zone", "moment", "start", "until"),
    [
        ("minute", "UTC", "2026-12-31T23:59:59.999999Z", "2026-12-31T23:59", "2027-01-01T00:00"),
        ("hour", "UTC", "2026-12-31T23:00:00Z", "2026-12-31T23:00", "2027-01-01T00:00"),
        ("hour", "Asia/Kolkata", "2026-12-31T18:15:00Z", "2026-12-31T17:30", "2026-12-31T18:30"),
        ("hour", "Asia/Kathmandu", "2026-05-05T10:20:00Z", "2026-05-05T10:15", "2026-05-05T11:15"),
        ("day", "Asia/Kolkata", "2026-12-31T18:30:00Z", "2026-12-31T18:30", "2027-01-01T18:30"),
        ("week", "UTC", "2026-12-31T12:00:00Z", "2026-12-28T00:00", "2027-01-04T00:00"),
        ("week", "Asia/Kolkata", "2027-01-03T18:29:59Z", "2026-12-27T18:30", "2027-01-03T18:30"),
        ("month", "UTC", "2026-12-31T23:59:59Z", "2026-12-01T00:00", "2027-01-01T00:00"),
        ("month", "UTC", "2028-02-29T12:00:00Z", "2028-02-01T00:00", "2028-03-01T00:00"),
        ("month", "America/New_York", "2027-01-01T04:59:59Z", "2026-12-01T05:00", "2027-01-01T05:00"),
    ],
)
def test_periods_begin_and_end_by_the_zones_own_clock(
    period: Period, zone: str, moment: str, start: str, until: str
) -> None:
    assert stretch(period, zone, moment) == (start, until)


@pytest.mark.parametrize(
    ("period", "zone", "moment", "start", "until"),
    [
        # Europe, 29 March 2026: 02:00 is 03:00; 25 October: 03:00 is 02:00 again.
        ("day", "Europe/Vienna", "2026-03-29T12:00:00Z", "2026-03-28T23:00", "2026-03-29T22:00"),
        ("day", "Europe/Vienna", "2026-10-25T12:00:00Z", "2026-10-24T22:00", "2026-10-25T23:00"),
        ("hour", "Europe/Vienna", "2026-03-29T01:30:00Z", "2026-03-29T01:00", "2026-03-29T02:00"),
        ("hour", "Europe/Vienna", "2026-10-25T00:30:00Z", "2026-10-25T00:00", "2026-10-25T01:00"),
        ("hour", "Europe/Vienna", "2026-10-25T01:30:00Z", "2026-10-25T01:00", "2026-10-25T02:00"),
        ("week", "Europe/Vienna", "2026-03-29T21:59:59Z", "2026-03-22T23:00", "2026-03-29T22:00"),
        ("month", "Europe/Vienna", "2026-10-31T12:00:00Z", "2026-09-30T22:00", "2026-10-31T23:00"),
        # The week and the month begin in winter time and end in summer time, on one day.
        ("month", "Europe/Vienna", "2026-03-31T12:00:00Z", "2026-02-28T23:00", "2026-03-31T22:00"),
        # Cairo, Friday 24 April 2026: there is no midnight, the day begins at 01:00.
        ("day", "Africa/Cairo", "2026-04-23T21:59:59Z", "2026-04-22T22:00", "2026-04-23T22:00"),
        ("day", "Africa/Cairo", "2026-04-23T22:00:00Z", "2026-04-23T22:00", "2026-04-24T21:00"),
        # Havana, 1 November 2026: midnight comes twice, and a month begins with the first.
        ("month", "America/Havana", "2026-11-01T05:30:00Z", "2026-11-01T04:00", "2026-12-01T05:00"),
        ("day", "America/Havana", "2026-11-01T04:30:00Z", "2026-11-01T04:00", "2026-11-02T05:00"),
        ("hour", "America/Havana", "2026-11-01T05:30:00Z", "2026-11-01T05:00", "2026-11-01T06:00"),
        # Samoa left out 30 December 2011.
        ("day", "Pacific/Apia", "2011-12-30T09:59:59Z", "2011-12-29T10:00", "2011-12-30T10:00"),
        ("day", "Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-30T10:00", "2011-12-31T10:00"),
        # Lord Howe goes back by half an hour, at 02:00 on 5 April 2026.
        ("hour", "Australia/Lord_Howe", "2026-04-04T14:59:59Z", "2026-04-04T14:00", "2026-04-04T15:00"),
        ("hour", "Australia/Lord_Howe", "2026-04-04T15:15:00Z", "2026-04-04T14:30", "2026-04-04T15:30"),
        # Chatham goes ahead at 02:45.
        ("hour", "Pacific/Chatham", "2026-09-26T14:05:00Z", "2026-09-26T13:15", "2026-09-26T14:15"),
    ],
)
def test_changes_of_clocks(period: Period, zone: str, moment: str, start: str, until: str) -> None:
    assert stretch(period, zone, moment) == (start, until)


def test_a_total_never_ends() -> None:
    total = Calendar().stretch("total", "Europe/Vienna", at("2026-01-01T00:00:00Z"))
    assert total == Stretch("total", 0.0, None)
    assert total.covers(0.0)
    assert total.covers(1e11)


@given(moments, zones, st.sampled_from(PERIODS))
def test_a_period_covers_its_moment(now: float, zone: str, period: Period) -> None:
    found = Calendar().stretch(period, zone, now)
    assert found.covers(now)
    assert found.until is None or not found.covers(found.until)


@given(moments, zones, st.sampled_from(WHOLE_DAYS), st.floats(0, 1, exclude_max=True))
def test_every_moment_of_a_period_is_in_that_period(now: float, zone: str, period: Period, share: float) -> None:
    found = Calendar().stretch(period, zone, now)
    assert found.until is not None
    within = found.start + share * (found.until - found.start)
    assert Calendar().stretch(period, zone, min(within, found.until - 1e-3)) == found


@given(moments, zones, st.sampled_from(WHOLE_DAYS))
def test_periods_follow_one_another_under_other_names(now: float, zone: str, period: Period) -> None:
    found = Calendar().stretch(period, zone, now)
    assert found.until is not None
    following = Calendar().stretch(period, zone, found.until)
    assert (following.start, following.name != found.name) == (found.until, True)


@given(moments, st.sampled_from([z for z in ZONES if z != "Australia/Lord_Howe"]))
def test_hours_follow_one_another_under_other_names(now: float, zone: str) -> None:
    found = Calendar().stretch("hour", zone, now)
    assert found.until is not None
    following = Calendar().stretch("hour", zone, found.until)
    assert (following.start, following.name != found.name) == (found.until, True)
    assert found.until - found.start == 3600


@given(moments, zones, st.sampled_from(WHOLE_DAYS))
def test_it_begins_where_the_zones_date_changes(now: float, zone: str, period: Period) -> None:
    start = Calendar().stretch(period, zone, now).start
    before, begins = (datetime.fromtimestamp(moment, ZoneInfo(zone)) for moment in (start - 1, start))
    assert before.date() < begins.date()
    assert {"day": True, "week": begins.weekday() == 0, "month": begins.day == 1}[period]


@given(st.lists(moments, min_size=1, max_size=20), zones, st.sampled_from(PERIODS))
def test_what_is_remembered_is_what_would_be_worked_out(times: list[float], zone: str, period: Period) -> None:
    calendar = Calendar()
    assert [calendar.stretch(period, zone, now) for now in times] == [
        Calendar().stretch(period, zone, now) for now in times
    ]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("period", ["hour", *WHOLE_DAYS])
def test_a_process_that_runs_on_and_one_that_begins_agree_all_around_a_change(period: Period, zone: str) -> None:
    for change in _changes(zone):
        calendar = Calendar()
        for step in range(-3 * 3600, 3 * 3600, 300):
            now = change.timestamp() + step
            assert calendar.stretch(period, zone, now) == Calendar().stretch(period, zone, now)


def _changes(zone: str) -> list[datetime]:
    """Return the hours of 2025 and 2026 in which the zone's clocks change."""
    began = datetime(2025, 1, 1, tzinfo=UTC)
    hours = [began + timedelta(hours=n) for n in range(2 * 365 * 24)]
    offsets = [hour.astimezone(ZoneInfo(zone)).utcoffset() for hour in hours]
    return [hour for hour, old, new in zip(hours[1:], offsets, offsets[1:], strict=False) if old != new]
