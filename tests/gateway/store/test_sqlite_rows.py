import sqlite3
from collections.abc import Iterator

import pytest

from gateway.store.sqlite_rows import delete, insert, present

INTO = "INSERT INTO things (team, id, size)"


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    opened = sqlite3.connect(":memory:", isolation_level=None)
    opened.execute("CREATE TABLE things (team TEXT, id TEXT, size INTEGER, PRIMARY KEY (team, id)) WITHOUT ROWID")
    yield opened
    opened.close()


def rows(count: int, team: str = "a") -> list[tuple[str, str, int]]:
    return [(team, f"r{number}", number) for number in range(count)]


def content(db: sqlite3.Connection) -> list[tuple[str, str, int]]:
    return sorted(db.execute("SELECT team, id, size FROM things").fetchall())


@pytest.mark.parametrize("count", [0, 1, 2, 3, 127, 128, 129, 300])
def test_any_number_of_rows_is_inserted_found_and_deleted(db: sqlite3.Connection, count: int) -> None:
    some, other = rows(count), rows(5, "b")
    insert(db, INTO, some)
    insert(db, INTO, other)
    assert content(db) == sorted(some + other)
    keys = [(team, id_) for team, id_, _ in some]
    assert present(db, ("things",), [*keys, ("a", "never"), ("c", "r1")]) == count
    assert present(db, ("things", "things"), keys) == 2 * count
    delete(db, "things", [*keys[::2], ("b", "r1"), ("c", "r1")])
    assert content(db) == sorted([*some[1::2], *(row for row in other if row[1] != "r1")])


def test_many_rows_take_few_steps(db: sqlite3.Connection) -> None:
    statements: list[str] = []
    db.set_trace_callback(statements.append)
    insert(db, INTO, rows(100))
    assert len(statements) == 3  # 64, 32, 4


def test_a_clause_may_stand_behind_the_values(db: sqlite3.Connection) -> None:
    insert(db, INTO, rows(3))
    insert(db, INTO, [("a", "r1", 9)], " ON CONFLICT (team, id) DO UPDATE SET size = excluded.size")
    assert ("a", "r1", 9) in content(db)
    with pytest.raises(sqlite3.IntegrityError):
        insert(db, INTO, [("a", "r1", 9)])
