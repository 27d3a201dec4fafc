"""What a worker has leased and set aside, as it knows it itself."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import uuid4

import msgspec

from gateway.store.contract import Hold, Reservation, Settlement, Standing
from gateway.store.sqlite_journal import Journal
from gateway.store.sqlite_memory import Key
from gateway.store.sqlite_sums import Shrinks


@dataclass(slots=True)
class Lease:
    """What is leased of one counter: free, and used by requests under way; the counter as it was last seen.

    `reserved` is without what is free here; what a request has spent stays in it until the file says otherwise.
    `limit`: the one under which it was leased. `stripped`: others want it, and what comes free is theirs. `idle`: ticks
    since it was used.
    """

    limit: int = 0
    free: int = 0
    used: int = 0
    spent: int = 0
    reserved: int = 0
    idle: int = 0
    stripped: bool = False

    def take(self, hold: Hold) -> bool:
        """Take a request's hold, if it fits."""
        if self.free < hold.amount or self.limit != hold.limit:
            return False
        self.free -= hold.amount
        self.used += hold.amount
        self.reserved += hold.amount
        self.idle = 0
        return True

    def undo(self, hold: Hold) -> None:
        """Undo `take`."""
        self.free += hold.amount
        self.used -= hold.amount
        self.reserved -= hold.amount

    def put_back(self, amount: int, spent: int) -> int:
        """End a request that had taken the amount; return by how much the lease shrinks, once that is in the file."""
        shrinks = amount if self.stripped or spent > amount else spent
        self.used -= amount
        self.free += amount - shrinks
        self.reserved -= amount - shrinks
        return shrinks


class Ended(msgspec.Struct, frozen=True, gc=False):
    """How a request ended, and by how much each of its counters' leases shrinks for it."""

    settlement: Settlement
    shrinks: Shrinks


@dataclass(slots=True)
class Holder:
    """This worker in the file; when its leases are gone, it goes on as another one."""

    name: str = field(default_factory=lambda: uuid4().hex)
    until: float = 0.0
    latest: float = 0.0  # when the last reservation made here expires
    leases: dict[Key, Lease] = field(default_factory=dict)
    open: dict[Key, Reservation] = field(default_factory=dict)  # set aside here, and not settled yet
    ended: dict[Key, Ended] = field(default_factory=dict)  # of those, what is over
    ending: set[Key] = field(default_factory=set)  # of those, what is on its way to the file
    doubtful: set[Key] = field(default_factory=set)  # of those, what the file may have taken without saying so
    journal: Journal | None = None
    turned: float = 0.0  # when the journal was
    stuck: float = 0.0  # when it last could not be
    older: tuple[Key, ...] = ()  # what was open then
    asking: set[str] = field(default_factory=set)  # teams
    under_way: int = 0  # operations that the file has not answered yet

    def end(self, settlement: Settlement) -> Ended | None:
        """Free what a request held but for what it spent; None where it holds nothing here, or has ended already."""
        team = settlement.team
        key = (team, settlement.id)
        if key in self.ended or (reservation := self.open.get(key)) is None:
            return None
        spent = {charge.counter: charge.amount for charge in settlement.charges}
        shrinks = []
        for hold in reservation.holds:
            counter, lease = hold.counter, self.leases.get((team, hold.counter))
            shrinks.append((counter, lease.put_back(hold.amount, spent.get(counter, 0)) if lease else hold.amount))
        ended = self.ended[key] = Ended(settlement, tuple(shrinks))
        return ended

    def settle(self, settlement: Settlement) -> Shrinks | None:
        """Let the request's end be on its way to the file; None where it is not one of these, or is already."""
        key = (settlement.team, settlement.id)
        if key not in self.open or key in self.ending:
            return None
        ended = self.ended.get(key) or self.end(settlement)
        self.ending.add(key)
        return ended.shrinks if ended is not None else None

    def did_not_end(self, key: Key) -> None:
        """Note that the file did not answer."""
        self.ending.discard(key)
        self.doubtful.add(key)

    def turn(self, journal: Journal, now: float) -> None:
        """Turn the journal over; raises OSError as that does."""
        kept = [key for key in self.older if key in self.open]
        ended = [self.ended[key].settlement for key in kept if key in self.ended]
        journal.turn([self.open[key] for key in kept], ended)
        self.turned, self.older = now, tuple(self.open)

    def take_free(self, key: Key) -> int:
        """Return what is free of the counter, which is so no more."""
        lease = self.leases.get(key)
        if lease is None:
            return 0
        free, lease.free = lease.free, 0
        return free

    def put_free(self, key: Key, amount: int) -> None:
        """Undo `take_free`."""
        if amount:
            self.leases.setdefault(key, Lease()).free += amount

    def forget(self, key: Key, standings: Iterable[Standing]) -> None:
        """Forget a request whose end the file has taken; the standings are those of its counters there."""
        self.open.pop(key, None)
        self.ended.pop(key, None)
        self.ending.discard(key)
        self.doubtful.discard(key)
        for standing in standings:
            if (lease := self.leases.get((key[0], standing.counter))) is not None:
                lease.spent, lease.reserved = standing.spent, standing.reserved - lease.free
