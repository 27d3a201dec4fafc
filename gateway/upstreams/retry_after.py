"""Reading Retry-After (RFC 9110 10.2.3): seconds, or a date."""

import time
from email.utils import parsedate_to_datetime


def seconds(value: str) -> float | None:
    """Return how many seconds from now the header names; None where it is absent or makes no sense."""
    value = value.strip()
    if not value:
        return None
    try:
        found = float(value)
    except ValueError:
        return _until(value)
    return found if 0 <= found < float("inf") else None


def _until(date: str) -> float | None:
    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - time.time())
    except (ValueError, OverflowError):  # no date, or one that no calendar has
        return None
