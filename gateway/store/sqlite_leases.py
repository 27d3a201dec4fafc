"""Leases in SQLite: amounts of counters that one worker may set aside for requests without asking the file.

What is leased counts as reserved, so that no other worker can spend it. The escrow method: P. E. O'Neil, "The Escrow
Transactional Method", ACM Transactions on Database Systems 11(4), 1986.
"""

import sqlite3
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

import msgspec

from gateway.store.contract import Granted, Refused, Settled
from gateway.store.sqlite_memory import Key, Leased
from gateway.store.sqlite_rows import insert

# Made where they are not there: a file of a release that had no leases gets them.
TABLES = """
CREATE TABLE IF NOT EXISTS holders (
    worker TEXT NOT NULL PRIMARY KEY, expires REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leases (
    worker TEXT NOT NULL, team TEXT NOT NULL, counter TEXT NOT NULL, amount INTEGER NOT NULL,
    wanted INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (worker, team, counter)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS leases_counter ON leases (team, counter);
"""

# A lease is for many requests, and a small share of what is left: where little is, each asks the file, and what one
# worker holds is no reason for another to refuse.
REQUESTS = 1024
FEWEST = 8
SHARE = 32


class Wanted(IntEnum):
    """Whether others need what is leased: `STRIPPED` is what its holder has given back but for requests under way."""

    NO = 0
    YES = 1
    STRIPPED = 2


class Ask(msgspec.Struct, frozen=True):
    """What a worker asks for beside a reservation, and what it gives back before: amounts by the holds' places.

    `first`: the worker holds nothing yet. `until`: when what it holds expires, unless renewed.
    """

    worker: str
    first: bool
    back: tuple[int, ...]
    until: float
    lease: bool


class Notice(msgspec.Struct, frozen=True):
    """What a worker has to know: its leases have expired (`lost`), or others want some of them."""

    lost: bool = False
    wanted: tuple[Key, ...] = ()


class Borrowed(msgspec.Struct, frozen=True):
    """What came of a reservation, what was leased on its holds' counters, and whether others' leases stood in its way.

    The standings of `answer` are without what was leased.
    """

    answer: Granted | Refused
    leased: tuple[int, ...]
    contested: bool
    notice: Notice


class Repaid(msgspec.Struct, frozen=True):
    """What came of settlements."""

    settled: tuple[Settled, ...]
    notice: Notice


@dataclass(slots=True)
class OwnLeases:
    """One worker's leases within a transaction."""

    db: sqlite3.Connection
    worker: str
    known: Leased | None
    until: float | None = None
    _changed: dict[Key, int] = field(default_factory=dict)
    _stripped: set[Key] = field(default_factory=set)

    def __post_init__(self) -> None:
        if self.known is None or self.known.worker != self.worker:
            self.known = _read(self.db, self.worker)

    @property
    def notice(self) -> Notice:
        """What the worker has to know."""
        if self.known is None:
            return Notice(lost=True)
        return Notice(wanted=self.known.wanted) if self.known.wanted else _NOTHING

    def begin(self) -> None:
        """Make the worker a holder."""
        self.known = Leased(self.worker, 0.0, {}, ())

    def add(self, key: Key, amount: int) -> None:
        """Lease more of a counter, or less."""
        if self.known is not None:
            self._changed[key] = self._changed.get(key, self.known.amounts.get(key, 0)) + amount

    def strip(self, key: Key) -> None:
        """Note that what is still leased of it is in use."""
        self._stripped.add(key)

    def renew(self, until: float) -> None:
        """Let what is leased expire then, unless it does later."""
        if self.known is not None and until > max(self.known.expires, self.until or 0.0):
            self.until = until

    def leave(self) -> None:
        """Let the worker be a holder no more."""
        forget(self.db, self.worker)
        self.known = None

    def write(self) -> None:
        """Write what has changed."""
        if self.known is None:
            return
        known = self.known
        if self.until is not None:
            self.db.execute("INSERT OR REPLACE INTO holders VALUES (?, ?)", (self.worker, self.until))
        self._write()
        for key in self._stripped:
            self.db.execute(f"{_MARK} AND worker = ?", (Wanted.STRIPPED, *key, self.worker))
        amounts = {key: amount for key, amount in {**known.amounts, **self._changed}.items() if amount}
        wanted = tuple(key for key in known.wanted if key not in self._stripped)
        self.known = Leased(self.worker, self.until or known.expires, amounts, wanted)
        self.until = None
        self._changed.clear()
        self._stripped.clear()

    def _write(self) -> None:
        for key in (key for key, amount in self._changed.items() if not amount):
            self.db.execute("DELETE FROM leases WHERE worker = ? AND team = ? AND counter = ?", (self.worker, *key))
        rows = [(self.worker, *key, amount) for key, amount in self._changed.items() if amount]
        insert(self.db, "INSERT INTO leases (worker, team, counter, amount)", rows, _OR_CHANGE)


_NOTHING = Notice()
_MARK = "UPDATE leases SET wanted = ? WHERE team = ? AND counter = ?"
_OR_CHANGE = (
    " ON CONFLICT (worker, team, counter) DO UPDATE SET amount = excluded.amount, "
    "wanted = CASE WHEN excluded.amount > amount THEN 0 ELSE wanted END"
)


def want(db: sqlite3.Connection, worker: str, key: Key) -> bool:
    """Ask others for what they have leased of a counter; False where they have none, or only what is in use."""
    query = f"{_MARK} AND worker <> ? AND wanted <> ?"
    return db.execute(query, (Wanted.YES, *key, worker, Wanted.STRIPPED)).rowcount > 0


def forget(db: sqlite3.Connection, worker: str) -> None:
    """Remove the worker and all its leases."""
    db.execute("DELETE FROM leases WHERE worker = ?", (worker,))
    db.execute("DELETE FROM holders WHERE worker = ?", (worker,))


def clear(db: sqlite3.Connection, journals: Path) -> None:
    """Remove journals of workers that are not in the file: they died after they had left it."""
    found = list(journals.iterdir()) if journals.is_dir() else []
    holders = {
        row[0] for row in db.execute("SELECT worker FROM holders")
    }  # later: a worker is there before its journal
    for path in found:
        if path.stem not in holders:
            path.unlink(missing_ok=True)


def expired(db: sqlite3.Connection, now: float) -> list[str]:
    """Return the workers whose leases have expired."""
    return [row[0] for row in db.execute("SELECT worker FROM holders WHERE expires <= ?", (now,))]


def amounts(db: sqlite3.Connection, worker: str) -> list[tuple[Key, int]]:
    """Return what a worker has leased."""
    rows = db.execute("SELECT team, counter, amount FROM leases WHERE worker = ?", (worker,))
    return [((team, counter), amount) for team, counter, amount in rows.fetchall()]


def _read(db: sqlite3.Connection, worker: str) -> Leased | None:
    holder = db.execute("SELECT expires FROM holders WHERE worker = ?", (worker,)).fetchone()
    if holder is None:
        return None
    query = "SELECT team, counter FROM leases WHERE worker = ? AND wanted = ?"
    wanted = db.execute(query, (worker, Wanted.YES)).fetchall()
    return Leased(worker, holder[0], dict(amounts(db, worker)), tuple((team, counter) for team, counter in wanted))
