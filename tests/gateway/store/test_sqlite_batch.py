"""Operations share a transaction as if each had its own."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.store.contract import Change, Charge, Granted, Hold, Kind, Refused, Reservation, Settled, Settlement
from gateway.store.sqlite_batch import STEP, Batch
from gateway.store.sqlite_memory import Key, Memory
from gateway.store.sqlite_schema import connect, make
from tests.gateway.store.cases import NOW, TEAM, entry, hold, reservation, settlement

Work = Callable[[Batch], object]
TABLES = ("counters", "reservations", "ledger", "documents", "version")


@contextmanager
def database() -> Iterator[sqlite3.Connection]:
    with TemporaryDirectory() as folder:
        make(Path(folder) / "gateway.db")
        db = connect(Path(folder) / "gateway.db")
        try:
            yield db
        finally:
            db.close()


def commit(
    db: sqlite3.Connection, *works: Work, memory: Memory | None = None, keys: Sequence[Key] = ()
) -> list[object]:
    db.execute("BEGIN IMMEDIATE")
    batch = Batch(db, Memory() if memory is None else memory)
    batch.expect(keys)
    outcomes = [work(batch) for work in works]
    batch.write()
    db.execute("COMMIT")
    batch.remember()
    return outcomes


def content(db: sqlite3.Connection) -> dict[str, list[object]]:
    return {table: sorted(db.execute(f"SELECT * FROM {table}").fetchall()) for table in TABLES}  # noqa: S608


IDS = st.sampled_from(["r1", "r2", "r3"])
COUNTERS = st.sampled_from(["usd", "tokens"])
AMOUNTS = st.integers(0, 60)


@st.composite
def works(draw: st.DrawFn) -> Work:
    id_, seconds = draw(IDS), draw(st.integers(0, 9))
    counters = draw(st.lists(COUNTERS, max_size=2))
    holds = tuple(Hold(counter, draw(AMOUNTS), 100, draw(AMOUNTS), NOW) for counter in counters)
    charges = tuple(Charge(counter, draw(AMOUNTS), NOW) for counter in counters)
    reserved = Reservation(id_, TEAM, holds, NOW + seconds, entry(id_))
    settled = Settlement(id_, TEAM, charges, entry(id_, status=seconds))
    made: list[Work] = [
        lambda batch: batch.reserve(reserved),
        lambda batch: batch.settle(settled),
        lambda batch: batch.expire(NOW + seconds),
        lambda batch: batch.renew({TEAM: [id_]}, NOW + seconds),
        lambda batch: batch.forget(NOW + seconds - 5),
        lambda batch: batch.forget_counters([(TEAM, "usd")], NOW + seconds - 5),
        lambda batch: batch.change([Change(Kind.KEY, id_, None if seconds % 2 else b"x")], seconds),
    ]
    return draw(st.sampled_from(made))


@settings(max_examples=80)
@given(st.lists(works(), min_size=2, max_size=12))
def test_one_transaction_does_what_many_do(asked: list[Work]) -> None:
    with database() as together, database() as apart:
        assert commit(together, *asked) == [outcome for work in asked for outcome in commit(apart, work)]
        assert content(together) == content(apart)


def test_counters_that_were_written_within_a_transaction_are_read_as_they_are_now(db: sqlite3.Connection) -> None:
    memory = Memory()
    commit(db, lambda b: b.reserve(reservation("r1", hold(amount=10))), memory=memory)
    commit(
        db,
        lambda b: b.settle(settlement("r1", ("usd", 3))),
        lambda b: b.renew({}, NOW),
        lambda b: b.reserve(reservation("r2", hold(amount=20))),
        memory=memory,
    )
    assert db.execute("SELECT spent, reserved FROM counters").fetchall() == [(3, 20)]


def test_counters_that_were_forgotten_are_not_remembered(db: sqlite3.Connection) -> None:
    memory, ended = Memory(), Settlement("r1", TEAM, (Charge("usd", 3, NOW),), entry("r1"))
    commit(
        db,
        lambda b: b.settle(ended),
        lambda b: b.forget_counters([(TEAM, "usd")], NOW + 1),
        memory=memory,
    )
    (settled,) = commit(db, lambda b: b.settle(settlement("r2", ("usd", 4))), memory=memory)
    assert isinstance(settled, Settled)
    assert settled.before == (0,)


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    with database() as opened:
        yield opened


def test_what_is_reserved_and_settled_in_one_transaction_is_never_written_as_reserved(db: sqlite3.Connection) -> None:
    written: list[str] = []
    db.set_trace_callback(written.append)
    commit(db, lambda b: b.reserve(reservation("r1", hold())), lambda b: b.settle(settlement("r1", ("usd", 3))))
    assert [statement for statement in written if statement.startswith("INSERT INTO reservations")] == []
    assert db.execute("SELECT spent, reserved FROM counters").fetchall() == [(3, 0)]


def test_the_limit_holds_within_a_transaction(db: sqlite3.Connection) -> None:
    taken = [reservation(f"r{number}", hold(amount=40)) for number in range(4)]
    outcomes = commit(db, *(lambda b, r=r: b.reserve(r) for r in taken))
    assert [type(outcome) for outcome in outcomes] == [Granted, Granted, Refused, Refused]


def test_refusals_write_nothing(db: sqlite3.Connection) -> None:
    commit(db, lambda b: b.reserve(reservation("r1", hold("tokens"), hold("usd", 101))))
    assert [rows for table, rows in content(db).items() if table != "version"] == [[]] * 4


def test_one_step_expires_and_forgets_no_more_than_a_lock_may_last(db: sqlite3.Connection) -> None:
    many = [reservation(f"r{number}", expires=NOW + number) for number in range(STEP + 5)]
    commit(db, *(lambda b, r=r: b.reserve(r) for r in many))
    first, second = commit(db, lambda b: b.expire(NOW + 9999), lambda b: b.expire(NOW + 9999))
    assert isinstance(first, tuple)
    assert isinstance(second, tuple)
    assert [lapsed.id for lapsed in (*first, *second)] == [made.id for made in many]
    assert len(second) == 5
    commit(db, *(lambda b, r=r: b.settle(settlement(r.id)) for r in many))
    assert commit(db, lambda b: b.forget(NOW + 1), lambda b: b.forget(NOW + 1)) == [STEP, 5]


def test_a_counter_in_use_is_not_forgotten(db: sqlite3.Connection) -> None:
    held = replace(reservation("r1"), holds=(Hold("usd", 5, 100, 5, NOW),))
    commit(db, lambda b: b.reserve(held), lambda b: b.forget_counters([(TEAM, "usd")], NOW + 1))
    assert db.execute("SELECT reserved FROM counters").fetchall() == [(5,)]


def test_taking_back_from_a_counter_that_was_forgotten_leaves_no_credit(db: sqlite3.Connection) -> None:
    held = replace(reservation("r1"), holds=(Hold("usd", 5, 100, 5, NOW),))
    commit(db, lambda b: b.reserve(held), lambda b: b.expire(NOW + 60))
    commit(db, lambda b: b.forget_counters([(TEAM, "usd")], NOW + 1))
    commit(db, lambda b: b.settle(settlement("r1", ("usd", 3))))
    assert db.execute("SELECT spent, reserved FROM counters").fetchall() == [(3, 0)]


@settings(max_examples=120)
@given(st.lists(st.tuples(st.booleans(), st.lists(works(), min_size=1, max_size=5)), min_size=2, max_size=6))
def test_what_is_remembered_changes_nothing(asked: list[tuple[bool, list[Work]]]) -> None:
    """Transactions of two processes, one of which remembers and looks ahead, come to what they do without memory."""
    with database() as remembering, database() as forgetful:
        path = remembering.execute("PRAGMA database_list").fetchone()[2]
        other, memory = connect(Path(path)), Memory()
        keys = [(TEAM, id_) for id_ in ("r1", "r2", "r3")]
        for elsewhere, some in asked:
            found = commit(other, *some) if elsewhere else commit(remembering, *some, memory=memory, keys=keys)
            assert found == commit(forgetful, *some)
        assert content(remembering) == content(forgetful)
        other.close()
