from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.reporting.periods import PeriodError, iso, said, span_of

NOW = datetime(2026, 11, 24, 15, 30, tzinfo=UTC)


def at(*fields: int, zone: timezone = UTC) -> float:
    return datetime(*fields, tzinfo=zone).timestamp()  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    "since, until, first, end",
    [
        (None, None, at(2026, 10, 25, 15, 30), NOW.timestamp()),
        ("7d", None, at(2026, 11, 17, 15, 30), NOW.timestamp()),
        ("24h", "1h", at(2026, 11, 23, 15, 30), at(2026, 11, 24, 14, 30)),
        ("today", None, at(2026, 11, 24), NOW.timestamp()),
        ("today", "today", at(2026, 11, 24), at(2026, 11, 25)),
        ("month", None, at(2026, 11, 1), NOW.timestamp()),
        ("month", "month", at(2026, 11, 1), at(2026, 12, 1)),
        ("2026-11-01", "2026-11-01", at(2026, 11, 1), at(2026, 11, 2)),
        ("2026-11-01", "2026-11-24", at(2026, 11, 1), at(2026, 11, 25)),
        ("2026-11-01T10:00Z", "2026-11-01T10:00:01Z", at(2026, 11, 1, 10), at(2026, 11, 1, 10, 0, 1)),
        ("2026-11-01T00:00+02:00", "2026-11-01T00:00Z", at(2026, 10, 31, 22), at(2026, 11, 1)),
    ],
)
def test_spans(since: str | None, until: str | None, first: float, end: float) -> None:
    span = span_of(since, until, NOW)
    assert (span.since, span.until) == (first, end)


def test_days_are_of_utc_wherever_now_is() -> None:
    late = datetime(2026, 12, 31, 23, 30, tzinfo=timezone(timedelta(hours=-5)))  # already 2027 in UTC
    span = span_of("month", "month", late)
    assert (span.since, span.until) == (at(2027, 1, 1), at(2027, 2, 1))


@pytest.mark.parametrize("month, days", [(2, 28), (4, 30), (12, 31)])
def test_a_month_is_as_long_as_it_is(month: int, days: int) -> None:
    span = span_of("month", "month", datetime(2026, month, days, 23, 59, tzinfo=UTC))
    assert span.until - span.since == days * 86400


@pytest.mark.parametrize("text", ["yesterday", "7", "7w", "d", "-7d", "2026-13-01", "2026-11-31", "20261101", "99999d"])
@pytest.mark.parametrize("field", ["from", "to"])
def test_what_names_no_moment_is_said_with_what_would(field: str, text: str) -> None:
    with pytest.raises(PeriodError, match=r"expected a date such as 2026-11-24, .*\"7d\", \"24h\"") as raised:
        span_of(text if field == "from" else None, text if field == "to" else None, NOW)
    assert raised.value.field == field
    assert repr(text) in str(raised.value)


def test_a_time_without_a_zone_is_not_guessed() -> None:
    with pytest.raises(PeriodError, match="'2026-11-24T15:00': a time needs a zone, as in 2026-11-24T15:00Z"):
        span_of("2026-11-24T15:00", None, NOW)


@pytest.mark.parametrize(
    "since, until", [("1h", "2h"), ("1h", "1h"), ("2026-11-25", None), ("2026-11-03", "2026-11-01")]
)
def test_a_time_that_ends_before_it_begins_is_refused(since: str, until: str | None) -> None:
    with pytest.raises(PeriodError, match="the time ends before it begins: from 2026-"):
        span_of(since, until, NOW)


@given(st.text(max_size=30))
def test_any_text_is_a_span_or_a_mistake(text: str) -> None:
    try:
        span = span_of(text, None, NOW)
    except PeriodError:
        return
    assert span.since < span.until


def test_moments_in_words_and_for_programs() -> None:
    span = span_of("2026-11-01", "2026-11-02", NOW)
    assert said(span) == "2026-11-01 00:00 to 2026-11-03 00:00 UTC"
    assert iso(span.since + 0.25) == "2026-11-01T00:00:00.250Z"
