"""Rows of the ledger, and how they are found."""

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from gateway.store import sqlite_ledger
from gateway.store.entries import Entry, Span, State
from gateway.store.queries import Place, Query, place
from gateway.store.sqlite_ledger import FIELDS, PAGE, find, latest, pack, page, unpack
from gateway.store.sqlite_schema import connect, make
from tests.gateway.store.cases import NOW, TEAM, entry


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    make(tmp_path / "gateway.db")
    opened = connect(tmp_path / "gateway.db")
    yield opened
    opened.close()


def test_the_table_has_a_column_for_each_of_an_entry_s_fields(db: sqlite3.Connection) -> None:
    columns = db.execute("PRAGMA table_info(ledger)").fetchall()
    assert {name for _, name, *_ in columns} == {*FIELDS, "lapsed"}
    unknown = {
        field.name for field in msgspec.structs.fields(Entry) if type(None) in getattr(field.type, "__args__", ())
    }
    assert {name for _, name, _, required, *_ in columns if not required} == {*unknown, "lapsed"}


def test_an_entry_is_packed_and_unpacked() -> None:
    made = entry(state=State.ESTIMATED, stream=True, cost_nano=None, total_ms=1.5, user="ü")
    assert unpack(pack(made)) == made
    assert len(pack(made)) < 100


def test_an_entry_of_an_older_release_gets_the_defaults_of_fields_it_did_not_have() -> None:
    older = msgspec.msgpack.encode(msgspec.structs.astuple(entry(total_ms=5.0, tokens_window=7))[:-3])
    assert unpack(older) == entry(total_ms=5.0)


def _write(db: sqlite3.Connection, entries: list[Entry]) -> None:
    marks = ", ".join("?" * (len(FIELDS) + 1))
    rows = [(*msgspec.structs.astuple(made), None) for made in entries]
    db.executemany(f"INSERT INTO ledger ({', '.join(FIELDS)}, lapsed) VALUES ({marks})", rows)  # noqa: S608


@pytest.mark.parametrize("team", [None, TEAM])
def test_pages_follow_one_another_through_entries_of_one_moment(db: sqlite3.Connection, team: str | None) -> None:
    _write(db, [entry(f"r{number:04}") for number in range(PAGE + 3)])
    first = page(db, Span(NOW, NOW + 1), team, None)
    second = page(db, Span(NOW, NOW + 1), team, place(first[-1]))
    assert [made.id for made in (*first, *second)] == [f"r{number:04}" for number in range(PAGE + 3)]
    assert len(second) == 3


@pytest.mark.parametrize(
    ("where", "index"),
    [
        ("time >= 1 AND time < 2 AND (time, team, id) > (1, 'a', 'b')", "PRIMARY KEY"),
        ("team = 'a' AND time >= 1 AND time < 2", "ledger_time"),
        ("lapsed IS NOT NULL", "ledger_lapsed"),
        ("team = 'a' AND id = 'b'", "ledger_id"),
    ],
)
def test_no_query_reads_the_whole_ledger_or_sorts_it(db: sqlite3.Connection, where: str, index: str) -> None:
    query = f"EXPLAIN QUERY PLAN SELECT * FROM ledger WHERE {where} ORDER BY time, team, id"  # noqa: S608
    plan = " ".join(str(row[3]) for row in db.execute(query))
    assert index in plan
    assert "USE TEMP B-TREE FOR ORDER BY" not in plan


@pytest.mark.parametrize(
    ("where", "index"),
    [
        ("time >= 1 AND time < 2", "PRIMARY KEY"),
        ("time >= 1 AND time < 2 AND team = 'a'", "ledger_time"),
        ("time >= 1 AND time < 2 AND time <= 1 AND (time, team, id) < (1, 'a', 'b')", "PRIMARY KEY"),
        ("time >= 1 AND time < 2 AND id = 'b'", "PRIMARY KEY"),
    ],
)
def test_nothing_is_sorted_for_the_latest(db: sqlite3.Connection, where: str, index: str) -> None:
    order = "ORDER BY time DESC, team DESC, id DESC LIMIT 9"
    query = f"EXPLAIN QUERY PLAN SELECT * FROM (SELECT * FROM ledger WHERE {where} {order}) WHERE user = 'u'"  # noqa: S608
    plan = " ".join(str(row[3]) for row in db.execute(query))
    assert index in plan
    assert "USE TEMP B-TREE FOR ORDER BY" not in plan


def test_a_page_says_where_its_search_came_to_an_end(db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_ledger, "LOOKED_AT", 10)
    _write(db, [entry(f"r{number:04}", user="ann" if number in (3, 17) else "") for number in range(25)])
    asked, before = Query(NOW, NOW + 1, user="ann"), None
    pages: list[list[str]] = []
    while not pages or before is not None:
        found = latest(db, asked, before, 5)
        pages.append([made.id for made in found.entries])
        before = found.then
    assert pages == [["r0017"], [], ["r0003"]]
    assert latest(db, asked, Place(NOW, TEAM, "r0003"), 5).entries == ()
    assert find(db, "r0003", Span(NOW, NOW + 1)) == entry("r0003", user="ann")


@pytest.mark.slow
@pytest.mark.parametrize("asked", [{}, {"team": "t3"}, {"user": "nobody"}, {"text": "nothing like it"}])
def test_a_page_of_a_hundred_thousand_entries_takes_well_under_a_second(
    db: sqlite3.Connection, asked: dict[str, str]
) -> None:
    db.execute("BEGIN")
    _write(db, [entry(f"req-{n:032x}", time=NOW + n, team=f"t{n % 20}", user=f"user {n % 99}") for n in range(100_000)])
    db.execute("COMMIT")
    start = time.thread_time()
    latest(db, Query(0, NOW * 2, **asked), None, 50)  # type: ignore[arg-type]
    assert time.thread_time() - start < 0.5
