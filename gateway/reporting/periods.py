"""From and to, as people write them; times without a zone would be guesses, days are UTC's as in the ledger."""

import re
from datetime import UTC, date, datetime, timedelta

from gateway.store.entries import Span

DEFAULT = "30d"
FORMS = (
    'expected a date such as 2026-11-24, a date and time with a zone such as 2026-11-24T15:00Z, "7d", "24h", '
    '"today" or "month"'
)
_BACK = re.compile(r"(\d{1,4})([dh])")
_DAY = timedelta(days=1)


class PeriodError(ValueError):
    """A text that names no moment; `field` says which of the two it is."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def span_of(since: str | None, until: str | None, now: datetime) -> Span:
    """Return the time from one to the other; the last 30 days where neither is named.

    A day named as the end is part of the span.

    Raises:
        PeriodError: one of them names no moment, or they are in the wrong order.
    """
    first, _ = _named("from", since or DEFAULT, now)
    _, end = _named("to", until, now) if until else (now, now)
    if first >= end:
        raise PeriodError("from", f"the time ends before it begins: from {_iso(first)} to {_iso(end)}")
    return Span(first.timestamp(), end.timestamp())


def _named(field: str, text: str, now: datetime) -> tuple[datetime, datetime]:
    """Return where the named stretch begins and ends; a moment does both at once."""
    now = now.astimezone(UTC)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    try:
        if text == "today":
            return today, today + _DAY
        if text == "month":
            return today.replace(day=1), (today.replace(day=1) + 31 * _DAY).replace(day=1)
        if back := _BACK.fullmatch(text):
            moment = now - int(back[1]) * (_DAY if back[2] == "d" else timedelta(hours=1))
            return moment, moment
        return _calendar(text)
    except (ValueError, OverflowError) as error:
        raise PeriodError(field, f"{text!r}: {error if isinstance(error, _NoZoneError) else FORMS}") from None


class _NoZoneError(ValueError):
    """A time of which nobody knows where."""


def _calendar(text: str) -> tuple[datetime, datetime]:
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        day = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
        return day, day + _DAY
    if not re.match(r"\d{4}-\d{2}-\d{2}[T ]", text):
        raise ValueError(text)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise _NoZoneError("a time needs a zone, as in 2026-11-24T15:00Z or 2026-11-24T15:00+01:00")
    return moment.astimezone(UTC), moment.astimezone(UTC)


def said(span: Span) -> str:
    """Return the span in words."""
    return f"{_iso(_moment(span.since))} to {_iso(_moment(span.until))} UTC"


def iso(seconds: float) -> str:
    """Return a moment in ISO's form."""
    return _moment(seconds).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M")
