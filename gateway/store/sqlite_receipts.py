"""Receipts in SQLite: the latest ones, by a number that grows."""

import sqlite3
from collections.abc import Sequence

from gateway.store.receipts import Receipt, unpacked
from gateway.store.sqlite_rows import insert

# Made where it is not there: a file of a release that had no receipts gets it, and such a release passes it over.
TABLES = """
CREATE TABLE IF NOT EXISTS receipts (
    number INTEGER PRIMARY KEY, team TEXT NOT NULL, id TEXT NOT NULL, receipt BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS receipts_id ON receipts (team, id);
"""

Row = tuple[str, str, bytes]  # team, id, receipt


def keep(db: sqlite3.Connection, rows: Sequence[Row], most: int) -> None:
    """Write receipts, and forget all but the latest `most`."""
    insert(db, "INSERT OR REPLACE INTO receipts (team, id, receipt)", rows)
    db.execute("DELETE FROM receipts WHERE number <= (SELECT max(number) FROM receipts) - ?", (most,))


def receipt(db: sqlite3.Connection, team: str, id_: str) -> Receipt | None:
    """Return the request's receipt."""
    row = db.execute("SELECT receipt FROM receipts WHERE team = ? AND id = ?", (team, id_)).fetchone()
    return unpacked(row[0]) if row else None


def ended(db: sqlite3.Connection, before: float) -> int:
    """Return the number up to which receipts are of requests before that time; 0 where none are."""
    last = 0
    for number, stored in db.execute("SELECT number, receipt FROM receipts ORDER BY number"):
        if unpacked(stored).time >= before:
            break
        last = number
    return last


def forget(db: sqlite3.Connection, last: int) -> None:
    """Forget receipts up to that number."""
    db.execute("DELETE FROM receipts WHERE number <= ?", (last,))
