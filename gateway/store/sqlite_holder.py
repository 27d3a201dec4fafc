"""What a worker has leased and set aside, as it knows it itself."""

from dataclasses import dataclass, field
from uuid import uuid4

from gateway.store.contract import Hold, Reservation, Settled, Settlement
from gateway.store.sqlite_journal import Journal
from gateway.store.sqlite_memory import Key


@dataclass(slots=True)
class Lease:
    """What is leased of one counter: free, and used by requests under way; the counter as it was last seen.

    `reserved` is without what is free here. `limit`: the one under which it was leased. `stripped`: others want it, and
    what comes free is theirs. `idle`: ticks since it was used.
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

    def put_back(self, amount: int, free: int) -> None:
        """End a request that had taken the amount, of which so much is free again."""
        self.used -= amount
        self.free += free


@dataclass(slots=True)
class Holder:
    """This worker in the file; when its leases are gone, it goes on as another one."""

    name: str = field(default_factory=lambda: uuid4().hex)
    until: float = 0.0
    leases: dict[Key, Lease] = field(default_factory=dict)
    open: dict[Key, Reservation] = field(default_factory=dict)  # set aside here, and not settled yet
    ended: dict[Key, Settlement] = field(default_factory=dict)  # of those, what waits to be settled
    ending: set[Key] = field(default_factory=set)  # of those, what is on its way to the file
    doubtful: set[Key] = field(default_factory=set)  # of those, what the file may have taken without saying so
    journal: Journal | None = None
    turned: float = 0.0  # when the journal was
    stuck: float = 0.0  # when it last could not be
    older: tuple[Key, ...] = ()  # what was open then
    asking: set[str] = field(default_factory=set)  # teams
    under_way: int = 0  # operations that the file has not answered yet

    @property
    def stripped(self) -> frozenset[Key]:
        """The counters of which whatever comes free is others'."""
        return frozenset(key for key, lease in self.leases.items() if lease.stripped)

    def begin_to_end(self, settlement: Settlement) -> Reservation | None:
        """Return the reservation that is about to be settled; None where there is none here, or it is already."""
        key = (settlement.team, settlement.id)
        reservation = self.open.get(key)
        if reservation is None or key in self.ending:
            return None
        self.ending.add(key)
        return reservation

    def did_not_end(self, key: Key) -> None:
        """Note that the file did not answer."""
        self.ending.discard(key)
        self.doubtful.add(key)

    def turn(self, journal: Journal, now: float) -> None:
        """Turn the journal over; raises OSError as that does."""
        kept = [key for key in self.older if key in self.open]
        journal.turn([self.open[key] for key in kept], [self.ended[key] for key in kept if key in self.ended])
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

    def _forget(self, key: Key) -> None:
        for known in (self.ending, self.doubtful):
            known.discard(key)
        self.ended.pop(key, None)
        self.open.pop(key, None)

    def end(self, reservation: Reservation, settlement: Settlement, settled: Settled, stripped: frozenset[Key]) -> None:
        """Forget the request, and free what it held but for what it spent, as the file has done."""
        made = settled.applied or (reservation.team, reservation.id) in self.doubtful  # now, or when it did not say so
        self._forget((reservation.team, reservation.id))
        spent = {charge.counter: charge.amount for charge in settlement.charges} if made else {}
        for hold in reservation.holds:
            key = (reservation.team, hold.counter)
            if (lease := self.leases.get(key)) is not None:
                kept = key not in stripped or not made
                lease.put_back(hold.amount, hold.amount - min(hold.amount, spent.get(hold.counter, 0)) if kept else 0)
        for standing in settled.standings:
            if (lease := self.leases.get((reservation.team, standing.counter))) is not None:
                lease.spent, lease.reserved = standing.spent, standing.reserved - lease.free
