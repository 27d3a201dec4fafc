"""Calendar periods in a time zone."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
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
    here = datetime.fromtimestamp(math.floor(now), zone)  # as it is, it would round up to the next period's begin
    if period in ("minute", "hour"):
        return _by_the_clock(60 if period == "minute" else 3600, here)
    start = _start(period, here)
    return Stretch(start.isoformat(), start.timestamp(), _next(period, start).timestamp())


def _by_the_clock(length: int, here: datetime) -> Stretch:
    """Return the minute or hour that the clock shows; of an hour that a change of clocks repeats, each is its own.

    Reckoned in elapsed time by the offset now in force: where clocks change by half an hour, or in the middle of an
    hour, the hour on the wall may not exist, or last longer.
    """
    offset = (here.utcoffset() or timedelta(0)).total_seconds()
    start = (here.timestamp() + offset) // length * length - offset
    return Stretch(datetime.fromtimestamp(start, here.tzinfo).isoformat(), start, start + length)


def _start(period: Period, here: datetime) -> datetime:
    start = here.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if period == "week":
        return start - timedelta(days=start.weekday())
    return start.replace(day=1) if period == "month" else start


def _next(period: Period, start: datetime) -> datetime:
    if period == "month":
        return (start + timedelta(days=32)).replace(day=1)
    return start + timedelta(days=7 if period == "week" else 1)
