import sqlite3
from pathlib import Path

import pytest

from gateway.store import sqlite_memory
from gateway.store.sqlite_memory import Memory
from gateway.store.sqlite_schema import connect, make


def checked(memory: Memory, db: sqlite3.Connection) -> None:
    db.execute("BEGIN IMMEDIATE")
    memory.check(db)
    db.execute("COMMIT")


def written(db: sqlite3.Connection) -> None:
    db.execute("UPDATE version SET number = number + 1")


def test_counters_are_forgotten_when_somebody_else_has_written(tmp_path: Path) -> None:
    make(tmp_path / "gateway.db")
    own, other = connect(tmp_path / "gateway.db"), connect(tmp_path / "gateway.db")
    memory = Memory()
    checked(memory, own)
    memory.counters["a", "usd"] = (1, 2, None)
    memory.held["a", "r1"] = ()
    written(own)
    checked(memory, own)
    assert memory.counters == {("a", "usd"): (1, 2, None)}
    written(other)
    checked(memory, own)
    assert memory.counters == {}
    assert memory.held == {("a", "r1"): ()}  # what a reservation holds never changes
    own.close()
    other.close()


def test_after_a_failure_nothing_of_it_is_believed(tmp_path: Path) -> None:
    make(tmp_path / "gateway.db")
    db, memory = connect(tmp_path / "gateway.db"), Memory()
    checked(memory, db)
    memory.counters["a", "usd"] = (1, 2, None)
    memory.held["a", "r1"] = ()
    memory.doubt()
    checked(memory, db)
    assert (memory.counters, memory.held) == ({}, {})
    db.close()


def test_it_does_not_grow_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_memory, "_MOST", 2)
    memory = Memory()
    for number in range(2):
        memory.held["a", f"r{number}"] = ()
    memory.bound()
    assert len(memory.held) == 2
    memory.held["a", "r2"] = ()
    memory.bound()
    assert memory.held == {}
