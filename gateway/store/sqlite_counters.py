"""Counters within one of SQLite's transactions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.store.contract import Charge, Hold, Standing
from gateway.store.sqlite_memory import Held


@dataclass(slots=True)
class Counter:
    """A counter in a transaction."""

    spent: int
    reserved: int
    until: float | None
    changed: bool = False

    def charge(self, amount: int, until: float | None) -> None:
        """Add to what is spent."""
        self.spent += amount
        self.until = until
        self.changed = True


def take(holds: Sequence[Hold], counters: Sequence[Counter]) -> int | None:
    """Take all holds; if one does not fit, none, and return its place."""
    for place, (hold, counter) in enumerate(zip(holds, counters, strict=True)):
        if counter.spent + counter.reserved + hold.amount > hold.limit:
            for taken, of in zip(holds[:place], counters, strict=False):
                of.reserved -= taken.amount
            return place
        counter.reserved += hold.amount
    for hold, counter in zip(holds, counters, strict=True):
        counter.until = hold.until
        counter.changed = True
    return None


def held_by(holds: Sequence[Hold]) -> Held:
    """Return what a reservation's row says of its holds."""
    return tuple((hold.counter, hold.amount, hold.lapsed, hold.until) for hold in holds)


def standings_of(of: Iterable[Hold | Charge], counters: Sequence[Counter]) -> tuple[Standing, ...]:
    """Return the counters' states."""
    return tuple(
        Standing(item.counter, counter.spent, counter.reserved) for item, counter in zip(of, counters, strict=True)
    )
