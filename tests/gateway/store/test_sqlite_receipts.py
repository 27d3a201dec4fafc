"""Receipts in SQLite, also in a file that was made without them."""

import sqlite3
from pathlib import Path

from gateway.store.receipts import Receipt, packed
from gateway.store.sqlite_receipts import keep, receipt
from gateway.store.sqlite_schema import connect, make


def row(number: int) -> tuple[str, str, bytes]:
    return "acme", f"r{number}", packed(Receipt(id=f"r{number}", team="acme", time=float(number)))


def test_a_file_that_had_none_gets_their_table_and_keeps_what_it_holds(tmp_path: Path) -> None:
    make(tmp_path / "gateway.db")
    with sqlite3.connect(tmp_path / "gateway.db") as before:
        before.execute("DROP TABLE receipts")
        before.execute("INSERT INTO documents VALUES ('key', 'k', x'00')")
    before.close()
    make(tmp_path / "gateway.db")
    db = connect(tmp_path / "gateway.db")
    keep(db, [row(1)], 5)
    assert receipt(db, "acme", "r1") == Receipt(id="r1", team="acme", time=1.0)
    assert db.execute("SELECT name FROM documents").fetchall() == [("k",)]
    db.close()


def test_the_oldest_are_forgotten_and_none_are_kept_of_none(tmp_path: Path) -> None:
    make(tmp_path / "gateway.db")
    db = connect(tmp_path / "gateway.db")
    keep(db, [row(number) for number in range(8)], 3)
    assert db.execute("SELECT id FROM receipts ORDER BY number").fetchall() == [("r5",), ("r6",), ("r7",)]
    keep(db, [row(9)], 0)
    assert db.execute("SELECT count(*) FROM receipts").fetchone() == (0,)
    db.close()
