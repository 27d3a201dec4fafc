"""What expires in SQLite's file, as far as this release can read it: what another one wrote stops nothing else.

What is torn or of another shape is passed over. A reservation's hold that can't be read stays reserved, and an entry
that can't be read goes into the ledger with the names that are known. Of a journal, as when a crash cuts it short, what
can't be read is nothing: the leases that it was set aside of are freed.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from gateway.store import sqlite_journal
from gateway.store.contract import Settlement
from gateway.store.entries import Entry
from gateway.store.sqlite_journal import Reserved
from gateway.store.sqlite_ledger import unpack
from gateway.store.sqlite_memory import Held, Key

_HELD = msgspec.msgpack.Decoder(Held)
_EXPIRED = "SELECT team, id, holds, entry FROM reservations WHERE expires <= ? ORDER BY expires LIMIT ?"


class Left(msgspec.Struct, frozen=True):
    """What a worker's journal says: what was set aside and has not ended, what has, how much can't be read."""

    open: tuple[Reserved, ...]
    ended: Mapping[Key, Settlement]
    unreadable: int


def reservations(db: sqlite3.Connection, now: float, most: int) -> Iterator[tuple[Reserved, bool]]:
    """Yield the first that have expired, each with whether all of it could be read."""
    for team, id_, holds, packed in db.execute(_EXPIRED, (now, most)).fetchall():
        held, entry = _held(holds), _entry(packed)
        known = Reserved((team, id_), held or (), entry or Entry(id=id_, time=now, team=team))
        yield known, held is not None and entry is not None


def left(journal: Path) -> Left:
    """Return what the journal of a worker that is gone says."""
    records = list(sqlite_journal.read(journal))
    ended = {(own.team, own.id): own for own in records if isinstance(own, Settlement)}
    still_open = (own for own in records if isinstance(own, Reserved) and own.key not in ended)
    return Left(tuple(still_open), ended, records.count(None))


def _held(holds: bytes) -> Held | None:
    try:
        return _HELD.decode(holds)
    except ValueError:
        return None


def _entry(packed: bytes) -> Entry | None:
    try:
        return unpack(packed)
    except ValueError:
        return None
