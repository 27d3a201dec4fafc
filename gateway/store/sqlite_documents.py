"""Documents in SQLite's tables, and their version, which counts their changes."""

import sqlite3
from collections.abc import Mapping, Sequence

from gateway.store.contract import Change, Kind


def version(db: sqlite3.Connection) -> int:
    """Return the documents' version."""
    number: int = db.execute("SELECT number FROM version").fetchone()[0]
    return number


def documents(db: sqlite3.Connection, kind: Kind) -> Mapping[str, bytes]:
    """Return all documents of the kind, by name."""
    return dict(db.execute("SELECT name, document FROM documents WHERE kind = ?", (kind,)))


def touch(db: sqlite3.Connection) -> None:
    """Write a document and remove it: nothing changes, but a page is written, as none is of a row set to what it is."""
    db.execute("INSERT INTO documents (kind, name, document) VALUES ('', '', '')")
    db.execute("DELETE FROM documents WHERE kind = '' AND name = ''")


def change(db: sqlite3.Connection, changes: Sequence[Change], expected: int) -> bool:
    """Make the changes, if the version is still the expected one; return whether."""
    if version(db) != expected:
        return False
    for made in changes:
        db.execute("DELETE FROM documents WHERE kind = ? AND name = ?", (made.kind, made.name))
        if made.document is not None:
            row = (made.kind, made.name, made.document)
            db.execute("INSERT INTO documents (kind, name, document) VALUES (?, ?, ?)", row)
    db.execute("UPDATE version SET number = number + 1")
    return True
