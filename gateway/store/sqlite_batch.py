"""What operations do to SQLite's tables, several in one transaction.

The transaction holds the only write lock, so what was read once stays true until the end: counters are kept in a
dictionary, changed there, and written together, as are reservations and entries.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.store import sqlite_receipts
from gateway.store.contract import (
    Charge,
    Granted,
    Hold,
    Kind,
    Refused,
    Reservation,
    Settled,
    Settlement,
    Standing,
)
from gateway.store.entries import Entry, State
from gateway.store.sqlite_ledger import FIELDS, pack, unpack
from gateway.store.sqlite_memory import Held, Key, Memory
from gateway.store.sqlite_rows import delete, insert, present

STEP = 500  # rows that one operation expires or forgets, so that none holds the lock for long

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


@dataclass(slots=True)
class _Counter:
    """A counter in a transaction."""

    spent: int
    reserved: int
    until: float | None
    changed: bool = False

    def charge(self, amount: int, until: float | None) -> None:
        self.spent += amount
        self.until = until
        self.changed = True


class Batch:
    """Operations of one transaction, one after the other; write() before it is committed."""

    def __init__(self, db: sqlite3.Connection, memory: Memory) -> None:
        self._db = db
        self._memory = memory
        self._new: set[Key] = set()  # ids that are in no table
        self._open: set[Key] = set()  # ids whose reservation is in its table, and what it holds in memory
        self._counters: dict[Key, _Counter] = {}
        self._made: dict[Key, Reservation] = {}
        self._gone: list[Key] = []
        self._entries: dict[Key, tuple[object, ...]] = {}  # rows for the ledger
        self._replaced: list[Key] = []
        # What was written: what later operations go on from, memory being older than it; for `remember`.
        self._seen: dict[Key, _Counter] = {}
        self._reserved: dict[Key, Held] = {}
        self._ended: list[Key] = []

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
        self._memory.bound()

    def reserve(self, reservation: Reservation) -> Granted | Refused:
        """Take all holds or none."""
        key = (reservation.team, reservation.id)
        counters = [self._counter(reservation.team, hold.counter) for hold in reservation.holds]
        if not self._knows(key):
            refused = _take(reservation.holds, counters)
            if refused is not None:
                return Refused(refused, _standings(reservation.holds, counters))
            self._made[key] = reservation
        return Granted(_standings(reservation.holds, counters))

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
        self._entries[key] = (*msgspec.structs.astuple(settlement.entry), None)
        if not counters:
            return _ENDED
        return Settled(applied=True, before=before, standings=_standings(settlement.charges, counters))

    def renew(self, reservations: Mapping[str, Sequence[str]], expires: float) -> None:
        """Let the reservations expire later."""
        self.write()
        rows = [(expires, team, id_) for team, ids in reservations.items() for id_ in ids]
        self._db.executemany("UPDATE reservations SET expires = max(expires, ?) WHERE team = ? AND id = ?", rows)

    def expire(self, now: float) -> tuple[Entry, ...]:
        """Charge what has expired, the first STEP of it."""
        self.write()
        query = "SELECT team, id, holds, entry FROM reservations WHERE expires <= ? ORDER BY expires LIMIT ?"
        return tuple(self._lapse(*row) for row in self._db.execute(query, (now, STEP)).fetchall())

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

    def put(self, kind: Kind, name: str, document: bytes | None) -> None:
        """Write or remove a document."""
        self._db.execute("DELETE FROM documents WHERE kind = ? AND name = ?", (kind, name))
        if document is not None:
            self._db.execute("INSERT INTO documents (kind, name, document) VALUES (?, ?, ?)", (kind, name, document))
        self._db.execute("UPDATE version SET number = number + 1")

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
        self._reserved.update({key: _held(made.holds) for key, made in self._made.items()})
        self._seen.update(self._counters)
        for kept in (self._gone, self._replaced, self._made, self._entries, self._counters, self._new, self._open):
            kept.clear()

    def _rows_made(self) -> list[tuple[object, ...]]:
        return [(*key, made.expires, _ENCODE(_held(made.holds)), pack(made.entry)) for key, made in self._made.items()]

    def _one(self, query: str, values: tuple[object, ...]) -> tuple[Any, ...] | None:
        found: tuple[Any, ...] | None = self._db.execute(query, values).fetchone()
        return found

    def _counter(self, team: str, name: str) -> _Counter:
        key = (team, name)
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = self._seen.get(key) or self._found(key)
        return counter

    def _found(self, key: Key) -> _Counter:
        row = self._memory.counters.get(key) or self._one(_COUNTER, key)
        return _Counter(*row) if row else _Counter(0, 0, None)

    def _knows(self, key: Key) -> bool:
        if key in self._made or key in self._entries:
            return True
        return key not in self._new and self._one(_KNOWN, key) is not None

    def _end(self, key: Key) -> bool:
        """Free what is held, or take back what was charged; False where the id was settled before."""
        made = self._made.pop(key, None)
        if made is not None:
            self._free(key[0], _held(made.holds))
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

    def _lapse(self, team: str, id_: str, holds: bytes, packed: bytes) -> Entry:
        held = _HELD.decode(holds)
        self._free(team, held)
        for name, _, lapsed, until in held:
            self._counter(team, name).charge(lapsed, until)
        entry = msgspec.structs.replace(unpack(packed), state=State.UNSETTLED)
        self._gone.append((team, id_))
        self._ended.append((team, id_))
        charged = _ENCODE([(name, lapsed) for name, _, lapsed, _ in held])
        self._entries[team, id_] = (*msgspec.structs.astuple(entry), charged)
        return entry


def _take(holds: Sequence[Hold], counters: Sequence[_Counter]) -> int | None:
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


def _held(holds: Sequence[Hold]) -> Held:
    return tuple((hold.counter, hold.amount, hold.lapsed, hold.until) for hold in holds)


def _standings(of: Iterable[Hold | Charge], counters: Sequence[_Counter]) -> tuple[Standing, ...]:
    return tuple(
        Standing(item.counter, counter.spent, counter.reserved) for item, counter in zip(of, counters, strict=True)
    )
