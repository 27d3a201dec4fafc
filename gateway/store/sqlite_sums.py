"""What several settlements come to for each counter, so that it is charged once for all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import astuple

from gateway.store.contract import Settlement
from gateway.store.sqlite_memory import Key

Row = tuple[object, ...]
Shrinks = tuple[tuple[str, int], ...]  # a counter, and by how much its lease shrinks


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

    def add(self, place: int, settlement: Settlement, shrinks: Shrinks) -> None:
        """Add a settlement, and by how much it shrinks the leases."""
        team, sums = settlement.team, self._of
        for charge in settlement.charges:
            key = (team, charge.counter)
            if (sum_ := sums.get(key)) is None:
                sum_ = sums[key] = Sum()
            sum_.spent += charge.amount
            sum_.until, sum_.last = charge.until, place
        for counter, amount in shrinks:
            key = (team, counter)
            if (sum_ := sums.get(key)) is None:
                sum_ = sums[key] = Sum()
            sum_.freed += amount

    @property
    def all(self) -> Sequence[tuple[Key, Sum]]:
        """The sums by counter."""
        return list(self._of.items())

    def take(self) -> Sequence[tuple[Key, Sum]]:
        """Return the sums by counter, and begin anew."""
        taken, self._of = self._of, {}
        return list(taken.items())


@dataclass(frozen=True, slots=True)
class Finished:
    """Settlements of one worker, each with how its leases shrink; None: not set aside of these, or settled before.

    Where all are, `rows` for the ledger by team and id, and `sums`, are made here, before the writing thread gets them:
    what that computes, the event loop waits for.
    """

    settlements: Sequence[tuple[Settlement, Shrinks | None]]
    rows: Mapping[Key, Row]
    sums: Sequence[tuple[Key, Sum]]

    @classmethod
    def of(cls, settlements: Sequence[tuple[Settlement, Shrinks | None]]) -> "Finished":
        """Make it of settlements."""
        rows, sums = dict[Key, Row](), Sums()
        for place, (settlement, shrinks) in enumerate(settlements):
            if shrinks is None:
                return cls(settlements, {}, ())
            sums.add(place, settlement, shrinks)
            rows[settlement.team, settlement.id] = row(settlement)
        return cls(settlements, rows, sums.all)


def row(settlement: Settlement) -> Row:
    """Return the settlement's row for the ledger, with nothing that lapsed."""
    return (*astuple(settlement.entry), None)
