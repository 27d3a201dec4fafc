"""SQLite's file: made, opened and checked; what its tables are."""

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from gateway.store import sqlite_leases, sqlite_receipts
from gateway.store.contract import StoreUnavailableError

VERSION = 1
PATIENCE_S = 2.0  # longest wait for another process's lock
_NAP_S = 0.0003  # SQLite's own waiting naps up to 100 ms, which a lock held for a millisecond does not deserve
_PAGE_BYTES = 2048  # a small commit writes each page it touches: half of the usual size is half the writing
_PRIMARY_CODE = 0xFF

# A ledger in the order of time is appended to, and read by spans. `lapsed` holds what was charged when a reservation
# expired; it is there until somebody settles.
_TABLES = """
CREATE TABLE counters (
    team TEXT NOT NULL, counter TEXT NOT NULL, spent INTEGER NOT NULL, reserved INTEGER NOT NULL, until REAL,
    PRIMARY KEY (team, counter)
) WITHOUT ROWID;
CREATE TABLE reservations (
    team TEXT NOT NULL, id TEXT NOT NULL, expires REAL NOT NULL, holds BLOB NOT NULL, entry BLOB NOT NULL,
    PRIMARY KEY (team, id)
) WITHOUT ROWID;
CREATE TABLE ledger (
    id TEXT NOT NULL, time REAL NOT NULL, team TEXT NOT NULL, key TEXT NOT NULL, user TEXT NOT NULL,
    model TEXT NOT NULL, upstream TEXT NOT NULL, route TEXT NOT NULL, state TEXT NOT NULL, status INTEGER NOT NULL,
    error TEXT NOT NULL, decision TEXT NOT NULL, reason TEXT NOT NULL, stream INTEGER NOT NULL,
    tokens_original INTEGER, tokens_forwarded INTEGER, input INTEGER NOT NULL, cached INTEGER NOT NULL,
    cache_written INTEGER NOT NULL, output INTEGER NOT NULL, reasoning INTEGER NOT NULL, cost_nano INTEGER,
    saved_nano INTEGER, total_ms REAL NOT NULL, first_byte_ms REAL, overhead_ms REAL NOT NULL, lapsed BLOB,
    PRIMARY KEY (time, team, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX ledger_id ON ledger (team, id);
CREATE INDEX ledger_time ON ledger (team, time);
CREATE INDEX ledger_lapsed ON ledger (time) WHERE lapsed IS NOT NULL;
CREATE TABLE documents (
    kind TEXT NOT NULL, name TEXT NOT NULL, document BLOB NOT NULL, PRIMARY KEY (kind, name)
) WITHOUT ROWID;
CREATE TABLE version (number INTEGER NOT NULL);
INSERT INTO version VALUES (0);
"""
# What later builds of this version keep too; earlier ones name the columns that they write, and leave these empty.
_ADDED_TO_LEDGER = {"tokens_window": "INTEGER", "would_save_nano": "INTEGER"}

T = TypeVar("T")


class StoreFileError(StoreUnavailableError):
    """The file cannot be the store's; the message, one line, says why."""


def make(path: Path) -> None:
    """Make the file and its tables, unless they are there; raise StoreFileError where that cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A file that is there is not opened: to close it again would release the locks that this process has on it.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        db = connect(path)
        try:
            patiently(lambda: _prepare(db, path))
            patiently(lambda: sqlite_leases.clear(db, journals(path)))
        finally:
            db.close()
    except OSError as error:
        raise StoreFileError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    except sqlite3.Error as error:
        raise StoreFileError(f"{path}: {error}") from None


def journals(path: Path) -> Path:
    """Return the folder of the workers' journals."""
    return path.with_name(f"{path.name}-workers")


def connect(path: Path, *, read_only: bool = False, busy_ms: int = 0) -> sqlite3.Connection:
    """Connect to the file, transactions by hand; the connection goes to one thread after the other."""
    address = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}"
    db = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False, timeout=busy_ms / 1e3)
    try:
        patiently(lambda: db.execute("PRAGMA wal_autocheckpoint = 0"))
        patiently(lambda: db.execute("PRAGMA synchronous = NORMAL"))
    except sqlite3.Error:
        db.close()
        raise
    return db


def patiently(step: Callable[[], T]) -> T:
    """Return the step's result; try again for a while as long as another process holds a lock."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            return step()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & _PRIMARY_CODE != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
        time.sleep(_NAP_S)


def begin(db: sqlite3.Connection) -> None:
    """Begin to write: no other process writes from here on."""
    patiently(lambda: db.execute("BEGIN IMMEDIATE"))


def roll_back(db: sqlite3.Connection) -> None:
    """Undo what was begun, if anything."""
    if db.in_transaction:
        db.execute("ROLLBACK")


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    _check(db, path)  # before anything in a file that may be another program's is changed
    db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    if db.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
        raise StoreFileError(f"{path}: a write-ahead log cannot be kept there; another file system is needed")
    db.execute("BEGIN IMMEDIATE")
    try:
        if _check(db, path) == 0:
            _execute(db, _TABLES)
            db.execute(f"PRAGMA user_version = {VERSION}")
        _add_columns(db)
        _execute(db, sqlite_receipts.TABLES)
        _execute(db, sqlite_leases.TABLES)
        db.execute("COMMIT")
    finally:
        roll_back(db)


def _add_columns(db: sqlite3.Connection) -> None:
    """Give a file of an earlier build the columns that it lacks, and a new one the same."""
    found = {name for _, name, *_ in db.execute("PRAGMA table_info(ledger)")}
    for name, kind in _ADDED_TO_LEDGER.items():
        if name not in found:
            db.execute(f"ALTER TABLE ledger ADD COLUMN {name} {kind}")


def _execute(db: sqlite3.Connection, statements: str) -> None:
    """Execute them within the transaction, which executescript() would end."""
    for statement in filter(str.strip, statements.split(";")):
        db.execute(statement)


def _check(db: sqlite3.Connection, path: Path) -> int:
    """Return the version of the file's tables, 0 for none."""
    # In one statement: another process may be making the tables.
    query = "SELECT user_version, (SELECT count(*) FROM sqlite_master) FROM pragma_user_version"
    version: int
    version, tables = db.execute(query).fetchone()
    if version > VERSION:
        raise StoreFileError(f"{path}: written by a newer release (its tables are version {version}, not {VERSION})")
    if version == 0 and tables:
        raise StoreFileError(f"{path}: another program's database")
    return version
