"""What operations do to SQLite's tables, several in one transaction.

The transaction holds the only write lock, so what was read once stays true until the end: counters are kept in a
dictionary, changed there, and written together, as are reservations and entries.
"""

import logging
import sqlite3
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import msgspec

from gateway.store import sqlite_documents, sqlite_expired, sqlite_journal, sqlite_leases, sqlite_receipts
from gateway.store.contract import Change, Granted, Refused, Reservation, Settled, Settlement, Standing
from gateway.store.entries import Entry, State
from gateway.store.sqlite_counters import Counter, held_by, standings_of, take
from gateway.store.sqlite_journal import Reserved
from gateway.store.sqlite_leases import Ask, Borrowed, Notice, OwnLeases, Repaid
from gateway.store.sqlite_ledger import FIELDS, pack
from gateway.store.sqlite_memory import Held, Key, Memory
from gateway.store.sqlite_rows import delete, insert, present
from gateway.store.sqlite_sums import Finished, Row, Shrinks, Sum, Sums, row

STEP = 500  # rows that one operation expires or forgets, so that none holds the lock for long

_LOG = logging.getLogger(__name__)
_Lapsed = tuple[tuple[str, int], ...]  # counter, what was charged

_HELD = msgspec.msgpack.Decoder(Held)
_LAPSED = msgspec.msgpack.Decoder(_Lapsed)
_ENCODE = msgspec.msgpack.Encoder().encode

_COUNTER = "SELECT spent, reserved, until FROM counters WHERE team = ? AND counter = ?"
_KNOWN = (
    "SELECT 1 FROM reservations WHERE team = ?1 AND id = ?2 UNION ALL SELECT 1 FROM ledger WHERE team = ?1 AND id = ?2"
)
_INTO_LEDGER = f"INSERT INTO ledger ({', '.join(FIELDS)}, lapsed)"
_INTO_RESERVATIONS = "INSERT INTO reservations (team, id, expires, holds, entry)"
_INTO_COUNTERS = "INSERT INTO counters (team, counter, spent, reserved, until)"
_FORGET = (
    "DELETE FROM ledger WHERE (time, team, id) IN "
    "(SELECT time, team, id FROM ledger WHERE time < ? AND lapsed IS NULL ORDER BY time LIMIT ?)"
)
_OR_CHANGE = (
    " ON CONFLICT (team, counter) "
    "DO UPDATE SET spent = excluded.spent, reserved = excluded.reserved, until = excluded.until"
)
_ENDED = Settled(applied=True, before=(), standings=())


class Batch:
    """Operations of one transaction, one after the other; write() before it is committed."""

    def __init__(self, db: sqlite3.Connection, memory: Memory) -> None:
        self._db = db
        self._memory = memory
        self._new: set[Key] = set()  # ids that are in no table
        self._open: set[Key] = set()  # ids whose reservation is in its table, and what it holds in memory
        self._counters: dict[Key, Counter] = {}
        self._made: dict[Key, Reservation] = {}
        self._gone: list[Key] = []
        self._entries: dict[Key, Row] = {}  # rows for the ledger
        self._replaced: list[Key] = []
        # What was written: what later operations go on from, memory being older than it; for `remember`.
        self._seen: dict[Key, Counter] = {}
        self._reserved: dict[Key, Held] = {}
        self._ended: list[Key] = []
        self._own: OwnLeases | None = None
        self._lapsed: list[str] = []  # workers whose leases have expired
        self._unreadable: list[str] = []  # what has expired and could not be read

    def expect(self, keys: Iterable[Key]) -> None:
        """Look up at once what is there of the reservations that will be asked for; without it each is looked up."""
        self._memory.check(self._db)
        known = self._memory.held
        mine, others = [key for key in keys if key in known], [key for key in keys if key not in known]
        if mine and present(self._db, ("reservations",), mine) == len(mine):
            self._open.update(mine)
        if others and not present(self._db, ("reservations", "ledger"), others):
            self._new.update(others)

    def remember(self) -> None:
        """Note, once this is committed, what the next transaction need not read."""
        self._memory.counters.update({key: (c.spent, c.reserved, c.until) for key, c in self._seen.items()})
        for key, made in self._reserved.items():
            self._memory.held[key] = made
        for key in self._ended:
            self._memory.held.pop(key, None)
        if self._own is not None:
            self._memory.leased = self._own.known
        for worker in self._lapsed:
            sqlite_journal.forget(self._memory.journal(worker))
        for what in self._unreadable:
            _LOG.warning("reservation_unreadable: %s", what)
        self._memory.bound()

    def reserve(self, reservation: Reservation) -> Granted | Refused:
        """Take all holds or none."""
        key = (reservation.team, reservation.id)
        counters = [self._counter(reservation.team, hold.counter) for hold in reservation.holds]
        if not self._knows(key):
            refused = take(reservation.holds, counters)
            if refused is not None:
                return Refused(refused, standings_of(reservation.holds, counters))
            self._made[key] = reservation
        return Granted(standings_of(reservation.holds, counters))

    def standings(self, reservation: Reservation) -> tuple[Standing, ...]:
        """Return the states of the holds' counters."""
        counters = [self._counter(reservation.team, hold.counter) for hold in reservation.holds]
        return standings_of(reservation.holds, counters)

    def settle(self, settlement: Settlement) -> Settled:
        """Free what is held, charge, write the entry."""
        key = (settlement.team, settlement.id)
        if key in self._entries:
            self.write()
        counters = [self._counter(settlement.team, charge.counter) for charge in settlement.charges]
        before = tuple(counter.spent for counter in counters)
        if not self._end(key):
            return Settled(applied=False, before=(), standings=())
        for charge, counter in zip(settlement.charges, counters, strict=True):
            counter.charge(charge.amount, charge.until)
        self._entries[key] = row(settlement)
        if not counters:
            return _ENDED
        return Settled(applied=True, before=before, standings=standings_of(settlement.charges, counters))

    def borrow(self, reservation: Reservation, ask: Ask) -> Borrowed:
        """Give back to the counters what the worker has free of them, reserve, and lease again if there is room."""
        own, team = self._leases_of(ask.worker), reservation.team
        if ask.first and own.known is None:
            own.begin()
        for hold, amount in zip(reservation.holds, ask.back, strict=True):
            self._release(own, (team, hold.counter), amount)
        answer = self.reserve(reservation)
        if isinstance(answer, Refused):
            contested = sqlite_leases.want(self._db, ask.worker, (team, reservation.holds[answer.hold].counter))
            return Borrowed(answer, (0,) * len(reservation.holds), contested, own.notice)
        leased = self._lease(own, reservation) if ask.lease and own.known is not None else None
        if leased is not None:
            own.renew(ask.until)
        return Borrowed(answer, leased or (0,) * len(reservation.holds), contested=False, notice=own.notice)

    def repay(self, worker: str, finished: Finished, until: float, doubtful: Set[Key]) -> Repaid:
        """Settle requests, of which some were set aside of the worker's leases: by how much these shrink is known.

        As long as it has its leases, nobody but the worker itself can have settled those; what it may have is doubtful.
        """
        own = self._leases_of(worker)
        at_once = finished.rows and not doubtful and own.known is not None
        if at_once and self._entries.keys().isdisjoint(finished.rows):
            self._new.update(finished.rows)
            self._entries.update(finished.rows)
            settled = [_ENDED] * len(finished.settlements)
            self._charge(own, finished.sums, settled)
        else:
            settled = self._repay_each(own, finished.settlements, doubtful)
        own.renew(until)
        return Repaid(tuple(settled), own.notice)

    def _repay_each(
        self, own: OwnLeases, finished: Sequence[tuple[Settlement, Shrinks | None]], doubtful: Set[Key]
    ) -> list[Settled]:
        settled, sums = list[Settled](), Sums()
        for place, (settlement, shrinks) in enumerate(finished):
            key = (settlement.team, settlement.id)
            known = key in self._entries or (key in doubtful and key not in self._new and self._knows(key))
            if shrinks is None or own.known is None or known:
                self._charge(own, sums.take(), settled)
                settled.append(self.settle(settlement))
            else:
                sums.add(place, settlement, shrinks)
                self._new.add(key)
                self._entries[key] = row(settlement)
                settled.append(_ENDED)
        self._charge(own, sums.take(), settled)
        return settled

    def give_back(
        self, worker: str, amounts: Sequence[tuple[Key, int]], stripped: frozenset[Key], until: float
    ) -> Notice:
        """Lease less, and that until then at least; of what is stripped only what is in use is still leased."""
        own = self._leases_of(worker)
        for key, amount in amounts:
            self._release(own, key, amount)
        for key in stripped:
            own.strip(key)
        own.renew(until)
        return own.notice

    def leave(self, worker: str) -> None:
        """Give back all that the worker has leased, whose requests are all settled."""
        self.write()
        own = self._leases_of(worker)
        for key, amount in sqlite_leases.amounts(self._db, worker):
            self._release(own, key, amount)
        own.leave()

    def renew(self, reservations: Mapping[str, Sequence[str]], expires: float) -> None:
        """Let the reservations expire later."""
        self.write()
        rows = [(expires, team, id_) for team, ids in reservations.items() for id_ in ids]
        self._db.executemany("UPDATE reservations SET expires = max(expires, ?) WHERE team = ? AND id = ?", rows)

    def expire(self, now: float) -> tuple[Entry, ...]:
        """Charge what has expired, the first STEP of it."""
        self.write()
        lapsed = []
        for own, readable in sqlite_expired.reservations(self._db, now, STEP):
            lapsed.append(self._lapse(own))
            if not readable:
                self._unreadable.append(f"the reservation of {own.key[1]}, team {own.key[0]}")
        for worker in sqlite_leases.expired(self._db, now):
            lapsed += self._lapse_leases(worker)
        return tuple(lapsed)

    def forget(self, before: float) -> int:
        """Remove settled entries, the oldest STEP; return how many."""
        self.write()
        return self._db.execute(_FORGET, (before, STEP)).rowcount

    def forget_counters(self, keys: Sequence[Key], before: float) -> None:
        """Remove counters, unless they have been used since."""
        self.write()
        self._db.executemany(
            "DELETE FROM counters WHERE team = ? AND counter = ? AND until < ? AND reserved = 0",
            [(*key, before) for key in keys],
        )
        self._memory.counters.clear()
        self._seen.clear()

    def touch(self) -> None:
        """Write, and change nothing."""
        sqlite_documents.touch(self._db)

    def change(self, changes: Sequence[Change], version: int) -> bool:
        """Write or remove documents, if their version is still this one."""
        return sqlite_documents.change(self._db, changes, version)

    def keep(self, receipts: Sequence[sqlite_receipts.Row], most: int) -> None:
        """Write receipts, and forget all but the latest."""
        sqlite_receipts.keep(self._db, receipts, most)

    def forget_receipts(self, last: int) -> None:
        """Forget receipts up to that number."""
        sqlite_receipts.forget(self._db, last)

    def write(self) -> None:
        """Write what has changed, and forget what was read."""
        db, changed = self._db, [(*k, c.spent, c.reserved, c.until) for k, c in self._counters.items() if c.changed]
        delete(db, "reservations", self._gone)
        delete(db, "ledger", self._replaced)
        insert(db, _INTO_RESERVATIONS, self._rows_made())
        insert(db, _INTO_LEDGER, list(self._entries.values()))
        insert(db, _INTO_COUNTERS, changed, _OR_CHANGE)
        if self._own is not None:
            self._own.write()
        self._reserved.update({key: held_by(made.holds) for key, made in self._made.items()})
        self._seen.update(self._counters)
        for kept in (self._gone, self._replaced, self._made, self._entries, self._counters, self._new, self._open):
            kept.clear()

    def _rows_made(self) -> list[tuple[object, ...]]:
        return [
            (*key, made.expires, _ENCODE(held_by(made.holds)), pack(made.entry)) for key, made in self._made.items()
        ]

    def _one(self, query: str, values: tuple[object, ...]) -> tuple[Any, ...] | None:
        found: tuple[Any, ...] | None = self._db.execute(query, values).fetchone()
        return found

    def _counter(self, team: str, name: str) -> Counter:
        key = (team, name)
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = self._seen.get(key) or self._found(key)
        return counter

    def _found(self, key: Key) -> Counter:
        row = self._memory.counters.get(key) or self._one(_COUNTER, key)
        return Counter(*row) if row else Counter(0, 0, None)

    def _knows(self, key: Key) -> bool:
        if key in self._made or key in self._entries:
            return True
        return key not in self._new and self._one(_KNOWN, key) is not None

    def _end(self, key: Key) -> bool:
        """Free what is held, or take back what was charged; False where the id was settled before."""
        made = self._made.pop(key, None)
        if made is not None:
            self._free(key[0], held_by(made.holds))
        elif key in self._new:
            return True
        elif key in self._open:
            self._gone.append(key)
            self._ended.append(key)
            self._free(key[0], self._memory.held[key])
        elif row := self._one("SELECT holds FROM reservations WHERE team = ? AND id = ?", key):
            self._gone.append(key)
            self._ended.append(key)
            self._free(key[0], _HELD.decode(row[0]))
        elif row := self._one("SELECT lapsed FROM ledger WHERE team = ? AND id = ?", key):
            return self._take_back(key, row[0])
        return True

    def _free(self, team: str, held: Held) -> None:
        for name, amount, _, _ in held:
            counter = self._counter(team, name)
            counter.reserved -= amount
            counter.changed = True

    def _take_back(self, key: Key, lapsed: bytes | None) -> bool:
        if lapsed is None:
            return False
        for name, amount in _LAPSED.decode(lapsed):
            counter = self._counter(key[0], name)
            # It holds less only if it was forgotten meanwhile.
            counter.charge(-min(amount, counter.spent), counter.until)
        self._replaced.append(key)
        return True

    def _lapse(self, own: Reserved) -> Entry:
        self._free(own.key[0], own.held)
        self._gone.append(own.key)
        self._ended.append(own.key)
        return self._charge_lapsed(own)

    def _charge_lapsed(self, own: Reserved) -> Entry:
        for name, _, lapsed, until in own.held:
            self._counter(own.key[0], name).charge(lapsed, until)
        entry = msgspec.structs.replace(own.entry, state=State.UNSETTLED)
        charged = _ENCODE([(name, lapsed) for name, _, lapsed, _ in own.held])
        self._entries[own.key] = (*msgspec.structs.astuple(entry), charged)
        return entry

    def _lapse_leases(self, worker: str) -> list[Entry]:
        """Settle what a worker's journal says had ended, charge what was under way, free what else it had leased."""
        left = sqlite_expired.left(self._memory.journal(worker))
        for key, ended in left.ended.items():
            if not self._knows(key):
                self.settle(ended)
        lapsed = [self._charge_lapsed(own) for own in left.open if not self._knows(own.key)]
        if left.unreadable:
            self._unreadable.append(f"records of worker {worker}: {left.unreadable}")
        for (team, name), amount in sqlite_leases.amounts(self._db, worker):
            self._free(team, ((name, amount, 0, None),))
        sqlite_leases.forget(self._db, worker)
        self._lapsed.append(worker)
        self._memory.leased = self._own = None
        return lapsed

    def _leases_of(self, worker: str) -> OwnLeases:
        if self._own is None or self._own.worker != worker:
            if self._own is not None:
                self._own.write()
            self._own = OwnLeases(self._db, worker, self._memory.leased)
        return self._own

    def _lease(self, own: OwnLeases, reservation: Reservation) -> tuple[int, ...] | None:
        """Lease of each of the counters, or of none where one of them has little left."""
        team, amounts = reservation.team, []
        for hold in reservation.holds:
            counter, one = self._counter(team, hold.counter), max(1, hold.amount)
            amount = min(
                one * sqlite_leases.REQUESTS, (hold.limit - counter.spent - counter.reserved) // sqlite_leases.SHARE
            )
            if amount < one * sqlite_leases.FEWEST:
                return None
            amounts.append(amount)
        for hold, amount in zip(reservation.holds, amounts, strict=True):
            self._release(own, (team, hold.counter), -amount)
        return tuple(amounts)

    def _release(self, own: OwnLeases, key: Key, amount: int) -> None:
        if amount and own.known is not None:
            own.add(key, -amount)
            counter = self._counter(*key)
            counter.reserved -= amount
            counter.changed = True

    def _charge(self, own: OwnLeases, sums: Iterable[tuple[Key, Sum]], settled: list[Settled]) -> None:
        """Charge the sums, shrink the leases by what was spent, and let the last settlement of each counter tell."""
        told: dict[int, list[tuple[int, Standing]]] = {}
        for (team, name), sum_ in sums:
            counter = self._counter(team, name)
            before = counter.spent
            if sum_.last is not None:
                counter.charge(sum_.spent, sum_.until)
            self._release(own, (team, name), sum_.freed)
            if sum_.last is not None:
                told.setdefault(sum_.last, []).append((before, Standing(name, counter.spent, counter.reserved)))
        for place, found in told.items():
            before_each, standings = zip(*found, strict=True)
            settled[place] = Settled(True, before_each, standings)
