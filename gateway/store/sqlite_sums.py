"""What several settlements come to for each counter, so that it is charged once for all of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.store.contract import Reservation, Settlement
from gateway.store.sqlite_memory import Key


@dataclass(slots=True)
class Sum:
    """What is spent of a counter, by how much its lease shrinks, and the place of the last settlement that says so."""

    spent: int = 0
    freed: int = 0
    until: float | None = None
    last: int | None = None


class Sums:
    """Sums over settlements of requests that one worker had set aside of its leases."""

    def __init__(self) -> None:
        self._of: dict[Key, Sum] = {}

    def add(self, place: int, settlement: Settlement, of: Reservation, stripped: frozenset[Key]) -> None:
        """Add a settlement: the lease shrinks by what was spent, and by all that was held where others want it back."""
        team, sums = settlement.team, self._of
        spent: dict[str, int] = {}
        for charge in settlement.charges:
            key = (team, charge.counter)
            if (sum_ := sums.get(key)) is None:
                sum_ = sums[key] = Sum()
            sum_.spent += charge.amount
            sum_.until, sum_.last = charge.until, place
            spent[charge.counter] = charge.amount
        for hold in of.holds:
            key = (team, hold.counter)
            if (sum_ := sums.get(key)) is None:
                sum_ = sums[key] = Sum()
            sum_.freed += hold.amount if key in stripped else min(hold.amount, spent.get(hold.counter, 0))

    def take(self) -> Sequence[tuple[Key, Sum]]:
        """Return the sums by counter, and begin anew."""
        taken, self._of = self._of, {}
        return list(taken.items())
