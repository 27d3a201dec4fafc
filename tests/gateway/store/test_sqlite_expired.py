"""What expires is charged as far as it is known, and what of it can't be read stops nothing else."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from gateway.store import sqlite_expired
from gateway.store.contract import Reservation
from gateway.store.entries import State
from gateway.store.sqlite_batch import STEP
from gateway.store.sqlite_journal import _RESERVED, _SETTLED, Journal
from gateway.store.sqlite_memory import Memory
from gateway.store.sqlite_schema import connect, make
from tests.gateway.store.cases import NOW, TEAM, hold, reservation, settlement, state
from tests.gateway.store.leasing import allowance, ask, lease, opened, worker
from tests.gateway.store.test_sqlite_batch import commit

ANOTHER = msgspec.msgpack.encode({"shape": "of another release"})


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    make(tmp_path / "gateway.db")
    with closing(connect(tmp_path / "gateway.db")) as opened:
        yield opened


def _reserve(db: sqlite3.Connection, *made: Reservation) -> None:
    commit(db, *(lambda b, own=own: b.reserve(own) for own in made))


def _spoil(db: sqlite3.Connection, column: str, id_: str, content: bytes = ANOTHER) -> None:
    db.execute(f"UPDATE reservations SET {column} = ? WHERE id = ?", (content, id_))  # noqa: S608


@pytest.mark.parametrize("content", [ANOTHER, b"", b"\x91\xa1\xff"])
@pytest.mark.parametrize(("column", "usd"), [("entry", (20, 0)), ("holds", (10, 10))])
def test_a_reservation_that_cannot_be_read_stops_no_other(
    db: sqlite3.Connection, caplog: pytest.LogCaptureFixture, column: str, usd: tuple[int, int], content: bytes
) -> None:
    _reserve(db, reservation("bad", hold(), key="k1"), reservation("good", hold(), key="k1"))
    _spoil(db, column, "bad", content)
    with caplog.at_level(logging.WARNING):
        (lapsed,) = commit(db, lambda b: b.expire(NOW + 60))
        assert commit(db, lambda b: b.expire(NOW + 60)) == [()]
    assert [(made.id, made.team, made.state, made.key) for made in lapsed] == [  # type: ignore[attr-defined]
        ("bad", TEAM, State.UNSETTLED, "k1" if column == "holds" else ""),
        ("good", TEAM, State.UNSETTLED, "k1"),
    ]
    # Holds that nobody can read stay reserved, which is as good for the limit as spent.
    assert db.execute("SELECT spent, reserved FROM counters").fetchall() == [usd]
    assert caplog.messages == [f"reservation_unreadable: the reservation of bad, team {TEAM}"]


def test_more_of_them_than_a_step_has_do_not_stand_in_the_way(db: sqlite3.Connection) -> None:
    _reserve(db, *(reservation(f"r{number}", expires=NOW) for number in range(STEP)), reservation("last", hold()))
    for number in range(STEP):
        _spoil(db, "holds", f"r{number}")
    first, second = commit(db, lambda b: b.expire(NOW + 60), lambda b: b.expire(NOW + 60))
    assert (len(first), [made.id for made in second]) == (STEP, ["last"])  # type: ignore[arg-type, attr-defined]


def test_an_unsettled_request_that_could_not_be_read_can_be_settled(db: sqlite3.Connection) -> None:
    _reserve(db, reservation("bad", hold()))
    _spoil(db, "entry", "bad")
    commit(db, lambda b: b.expire(NOW + 60), lambda b: b.settle(settlement("bad", ("usd", 3), status=200)))
    assert db.execute("SELECT spent, reserved FROM counters").fetchall() == [(3, 0)]
    assert db.execute("SELECT id, status, lapsed FROM ledger").fetchall() == [("bad", 200, None)]


def _journal(path: Path) -> None:
    journal = Journal(path)
    for number in range(3):
        journal.add(reservation(f"j{number}", hold("usd", 5, lapsed=4)))
        journal._append(_RESERVED, ANOTHER)
    journal.settle(settlement("j1", ("usd", 1)))
    journal._append(_SETTLED, ANOTHER)
    journal.settle(settlement("of a reservation that can't be read", ("usd", 2)))
    journal.close()


def test_of_a_journal_what_can_be_read_counts(tmp_path: Path) -> None:
    _journal(tmp_path / "workers" / "one")
    left = sqlite_expired.left(tmp_path / "workers" / "one")
    assert [own.key[1] for own in left.open] == ["j0", "j2"]
    assert [id_ for _, id_ in left.ended] == ["j1", "of a reservation that can't be read"]
    assert left.unreadable == 4


def test_a_journal_that_cannot_be_read_whole_is_charged_for_what_can(
    db: sqlite3.Connection, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    memory = Memory(tmp_path / "workers")
    _journal(memory.journal("one"))
    db.execute("INSERT INTO holders VALUES ('one', ?)", (NOW,))
    db.execute("INSERT INTO leases (worker, team, counter, amount) VALUES ('one', ?, 'usd', 40)", (TEAM,))
    db.execute("INSERT INTO counters VALUES (?, 'usd', 0, 40, NULL)", (TEAM,))
    with caplog.at_level(logging.WARNING):
        (lapsed,) = commit(db, lambda b: b.expire(NOW + 60), memory=memory)
        commit(db, lambda b: b.expire(NOW + 60), memory=memory)
    assert [made.id for made in lapsed] == ["j0", "j2"]  # type: ignore[attr-defined]
    assert db.execute("SELECT spent, reserved FROM counters").fetchall() == [(4 + 4 + 1 + 2, 0)]
    assert caplog.messages == ["reservation_unreadable: records of worker one: 4"]
    assert not memory.journal("one").exists()


async def test_in_a_store_all_teams_reservations_expire_beside_a_dead_workers_journal(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    async with worker(path) as store:
        await lease(store)
        await ask(store, "leased")
        journal = allowance(store)._holder.journal
        assert journal is not None
        journal._append(_RESERVED, ANOTHER)
        other = await opened(path)
        try:
            await other.reserve(reservation("theirs", hold("tokens"), team="other"))
            found = await other.expire(NOW * 2)
            assert {made.id for made in found} == {"leased", "theirs"}
            assert await state(other) == (10, 0)
            assert {made.state for made in found} == {State.UNSETTLED}
        finally:
            await other.close()
