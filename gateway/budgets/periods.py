"""Calendar periods in a time zone."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

Period = Literal["minute", "hour", "day", "week", "month", "total"]


@dataclass(frozen=True, slots=True)
class Stretch:
    """One period: its name, unique among those of its kind; from `start` to before `until`, seconds since the epoch."""

    name: str
    start: float
    until: float | None

    def covers(self, now: float) -> bool:
        """Whether `now` lies in it."""
        return self.start <= now and (self.until is None or now < self.until)


class Calendar:
    """Tells which period a moment lies in; works a period out once, not once a request."""

    def __init__(self) -> None:
        self._latest: dict[tuple[Period, str], Stretch] = {}

    def stretch(self, period: Period, zone: str, now: float) -> Stretch:
        """Return the period that `now`, in seconds since the epoch, lies in; weeks begin on Monday."""
        latest = self._latest.get((period, zone))
        if latest is None or not latest.covers(now):
            latest = self._latest[period, zone] = _stretch(period, ZoneInfo(zone), now)
        return latest


def _stretch(period: Period, zone: ZoneInfo, now: float) -> Stretch:
    if period == "total":
        return Stretch("total", 0.0, None)
    here = datetime.fromtimestamp(now, zone)
    start = _start(period, here)
    return Stretch(start.isoformat(), start.timestamp(), _next(period, start).timestamp())


def _start(period: Period, here: datetime) -> datetime:
    if period in ("minute", "hour"):
        # Of an hour that a change of clocks repeats, each counts for itself: `fold` is kept.
        return here.replace(second=0, microsecond=0, minute=here.minute if period == "minute" else 0)
    start = here.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if period == "week":
        return start - timedelta(days=start.weekday())
    return start.replace(day=1) if period == "month" else start


def _next(period: Period, start: datetime) -> datetime:
    if period in ("minute", "hour"):
        step = timedelta(minutes=1) if period == "minute" else timedelta(hours=1)
        return (start.astimezone(UTC) + step).astimezone(start.tzinfo)
    if period == "month":
        return (start + timedelta(days=32)).replace(day=1)
    return start + timedelta(days=7 if period == "week" else 1)
