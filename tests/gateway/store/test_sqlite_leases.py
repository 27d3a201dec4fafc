"""Leases in the file: what a worker may set aside, what others ask of it, and what is left when it has gone."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.store import sqlite_leases
from gateway.store.contract import Granted, Refused
from gateway.store.sqlite_batch import Batch
from gateway.store.sqlite_journal import Journal
from gateway.store.sqlite_leases import FEWEST, REQUESTS, SHARE, Ask, Borrowed, Notice, OwnLeases, Repaid, Wanted
from gateway.store.sqlite_memory import Key, Memory
from gateway.store.sqlite_schema import connect, make
from gateway.store.sqlite_sums import Finished
from tests.gateway.store.cases import NOW, TEAM, hold, reservation, settlement
from tests.gateway.store.test_sqlite_batch import commit

USD = (TEAM, "usd")
LIMIT = 64_000
NONE: frozenset[Key] = frozenset()


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    make(tmp_path / "gateway.db")
    opened = connect(tmp_path / "gateway.db")
    yield opened
    opened.close()


def ask(worker: str = "one", *, first: bool = False, back: int = 0, until: float = NOW + 70, lease: bool = True) -> Ask:
    return Ask(worker, first, (back,), until, lease)


def borrow(db: sqlite3.Connection, id_: str, asked: Ask, amount: int = 1, limit: int = LIMIT) -> Borrowed:
    (made,) = commit(db, lambda b: b.borrow(reservation(id_, hold("usd", amount, limit)), asked))
    assert isinstance(made, Borrowed)
    return made


def counter(db: sqlite3.Connection) -> tuple[int, int]:
    spent, reserved = db.execute("SELECT spent, reserved FROM counters WHERE counter = 'usd'").fetchone()
    return spent, reserved


def leases(db: sqlite3.Connection) -> list[tuple[str, int, int]]:
    return db.execute("SELECT worker, amount, wanted FROM leases ORDER BY worker").fetchall()


def test_a_share_of_what_is_left_is_leased_and_counts_as_reserved(db: sqlite3.Connection) -> None:
    made = borrow(db, "r1", ask(first=True), amount=10)
    share = (LIMIT - 10) // SHARE
    assert (type(made.answer), made.leased, made.notice) == (Granted, (share,), Notice())
    assert made.answer.standings[0].reserved == 10  # without what was leased
    assert counter(db) == (0, 10 + share)
    assert leases(db) == [("one", share, Wanted.NO)]
    assert db.execute("SELECT * FROM holders").fetchall() == [("one", NOW + 70)]


def test_it_is_for_so_many_requests_at_most_and_not_for_few(db: sqlite3.Connection) -> None:
    assert borrow(db, "r1", ask(first=True), amount=1, limit=10**9).leased == (REQUESTS,)
    amount = LIMIT // (SHARE * FEWEST)
    assert borrow(db, "r2", ask("two", first=True), amount=amount).leased == (0,)
    assert [row[0] for row in leases(db)] == ["one"]


def test_where_one_counter_has_little_left_nothing_is_leased_of_any(db: sqlite3.Connection) -> None:
    asked = reservation("r1", hold("usd", 1, LIMIT), hold("tokens", 1, 100))
    (made,) = commit(db, lambda b: b.borrow(asked, Ask("one", True, (0, 0), NOW, True)))
    assert isinstance(made, Borrowed)
    assert (made.leased, leases(db), counter(db)) == ((0, 0), [], (0, 1))


def test_nothing_is_leased_where_it_is_not_asked_for(db: sqlite3.Connection) -> None:
    assert borrow(db, "r1", ask(first=True, lease=False)).leased == (0,)
    assert (leases(db), db.execute("SELECT * FROM holders").fetchall()) == ([], [])


def test_what_is_given_back_can_be_reserved_in_the_same_step(db: sqlite3.Connection) -> None:
    (free,) = borrow(db, "r1", ask(first=True)).leased
    assert isinstance(borrow(db, "r2", ask(lease=False), amount=LIMIT - 1).answer, Refused)
    made = borrow(db, "r3", ask(back=free, lease=False), amount=LIMIT - 1)
    assert isinstance(made.answer, Granted)
    assert (counter(db), leases(db)) == ((0, LIMIT), [])


def test_a_refusal_asks_others_for_what_they_have(db: sqlite3.Connection) -> None:
    (free,) = borrow(db, "r1", ask(first=True)).leased
    refused = borrow(db, "r2", ask("two", first=True), amount=LIMIT)
    assert (type(refused.answer), refused.contested, refused.leased) == (Refused, True, (0,))
    assert leases(db) == [("one", free, Wanted.YES)]
    (notice,) = commit(db, lambda b: b.give_back("one", [], NONE, 0.0))
    assert notice == Notice(wanted=(USD,))
    (notice,) = commit(db, lambda b: b.give_back("one", [(USD, free - 3)], frozenset([USD]), 0.0))
    assert notice == Notice(wanted=(USD,))  # as it was before; the worker knows
    assert leases(db) == [("one", 3, Wanted.STRIPPED)]
    assert commit(db, lambda b: b.give_back("one", [], NONE, 0.0)) == [Notice()]
    again = borrow(db, "r3", ask("two"), amount=LIMIT)
    assert (type(again.answer), again.contested) == (Refused, False)  # what is in use nobody can give back


def test_one_s_own_leases_are_not_asked_for(db: sqlite3.Connection) -> None:
    borrow(db, "r1", ask(first=True))
    assert not borrow(db, "r2", ask(), amount=LIMIT).contested
    assert leases(db)[0][2] == Wanted.NO


def test_who_leases_anew_is_asked_anew(db: sqlite3.Connection) -> None:
    (free,) = borrow(db, "r1", ask(first=True)).leased
    borrow(db, "r2", ask("two", first=True), amount=LIMIT)
    commit(db, lambda b: b.give_back("one", [(USD, free - 3)], frozenset([USD]), 0.0))
    borrow(db, "r3", ask())
    assert [row[2] for row in leases(db)] == [Wanted.NO]
    assert borrow(db, "r4", ask("two"), amount=LIMIT).contested


def _repay(db: sqlite3.Connection, charge: int, shrinks: int, doubtful: frozenset[Key] = NONE) -> Repaid:
    finished = Finished.of([(settlement("here", ("usd", charge)), (("usd", shrinks),))])
    (made,) = commit(db, lambda b: b.repay("one", finished, 0.0, doubtful))
    assert isinstance(made, Repaid)
    return made


@pytest.mark.parametrize(("charge", "shrinks"), [(0, 0), (2, 2), (9, 5), (2, 5)])
def test_settling_charges_and_shrinks_the_lease(db: sqlite3.Connection, charge: int, shrinks: int) -> None:
    (free,) = borrow(db, "r1", ask(first=True)).leased
    made = _repay(db, charge, shrinks)
    assert (made.settled[0].applied, made.settled[0].before, made.notice) == (True, (0,), Notice())
    assert leases(db) == [("one", free - shrinks, Wanted.NO)]
    assert counter(db) == (charge, 1 + free - shrinks)
    assert not _repay(db, charge, shrinks, frozenset([(TEAM, "here")])).settled[0].applied
    assert counter(db) == (charge, 1 + free - shrinks)


def test_of_one_transaction_each_request_is_settled_once(db: sqlite3.Connection) -> None:
    (free,) = borrow(db, "r1", ask(first=True)).leased
    finished = Finished.of([(settlement("here", ("usd", 2)), (("usd", 2),))])
    made = commit(db, *[lambda b: b.repay("one", finished, 0.0, NONE)] * 2)
    assert [own.settled[0].applied for own in made] == [True, False]  # type: ignore[attr-defined]
    assert (leases(db), counter(db)) == ([("one", free - 2, Wanted.NO)], (2, 1 + free - 2))


def test_of_leases_that_are_gone_the_worker_is_told_and_its_requests_are_settled_all_the_same(
    db: sqlite3.Connection,
) -> None:
    borrow(db, "r1", ask(first=True))
    commit(db, lambda b: b.settle(settlement("r1")), lambda b: b.expire(NOW + 70))
    assert (leases(db), counter(db)) == ([], (0, 0))
    made = _repay(db, 2, 2)
    assert (made.settled[0].applied, made.notice) == (True, Notice(lost=True))
    assert counter(db) == (2, 0)
    assert commit(db, lambda b: b.give_back("one", [(USD, 50)], NONE, NOW + 900)) == [Notice(lost=True)]
    lost = borrow(db, "r2", ask(back=50))
    assert (type(lost.answer), lost.leased, lost.notice) == (Granted, (0,), Notice(lost=True))
    assert (counter(db), leases(db)) == ((2, 1), [])


def test_leases_expire_when_they_were_last_renewed_until(db: sqlite3.Connection) -> None:
    borrow(db, "r1", ask(first=True))
    commit(db, lambda b: b.give_back("one", [], NONE, NOW + 50))  # sooner: nothing is cut short
    assert sqlite_leases.expired(db, NOW + 69) == []
    assert sqlite_leases.expired(db, NOW + 70) == ["one"]
    commit(db, lambda b: b.give_back("one", [], NONE, NOW + 90))
    commit(db, lambda b: b.repay("one", Finished.of([]), NOW + 99, NONE))
    assert sqlite_leases.expired(db, NOW + 98) == []
    assert sqlite_leases.expired(db, NOW + 99) == ["one"]


def test_leaving_gives_all_back(db: sqlite3.Connection) -> None:
    (own,) = borrow(db, "r1", ask(first=True)).leased
    (free,) = borrow(db, "r2", ask("two", first=True)).leased
    assert counter(db) == (0, 2 + own + free)
    commit(db, lambda b: b.leave("one"))
    assert (leases(db), counter(db)) == ([("two", free, Wanted.NO)], (0, 2 + free))
    commit(db, lambda b: b.leave("one"))
    assert counter(db) == (0, 2 + free)


def test_the_workers_of_one_transaction_each_have_their_own(db: sqlite3.Connection) -> None:
    def works(b: Batch) -> list[int]:
        made = [
            b.borrow(reservation(f"{name}{number}", hold("usd", 1, 10**9)), ask(name, first=True)).leased[0]
            for number in range(2)
            for name in ("one", "two")
        ]
        b.give_back("one", [(USD, 100)], NONE, 0.0)
        return made

    commit(db, works)
    assert leases(db) == [("one", 2 * REQUESTS - 100, Wanted.NO), ("two", 2 * REQUESTS, Wanted.NO)]
    assert counter(db) == (0, 4 + 4 * REQUESTS - 100)


def test_what_is_remembered_of_leases_is_what_is_in_the_file(db: sqlite3.Connection, tmp_path: Path) -> None:
    memory, other = Memory(), connect(tmp_path / "gateway.db")
    asked = reservation("r1", hold("usd", 1, LIMIT))
    commit(db, lambda b: b.borrow(asked, ask(first=True)), memory=memory)
    db.execute("BEGIN IMMEDIATE")
    assert OwnLeases(db, "one", memory.leased).known == OwnLeases(db, "one", None).known
    db.execute("COMMIT")
    borrow(other, "r2", ask("two", first=True), amount=LIMIT)  # which wants them
    other.close()
    (notice,) = commit(db, lambda b: b.give_back("one", [], NONE, 0.0), memory=memory)
    assert notice == Notice(wanted=(USD,))


def test_what_fails_midway_is_not_remembered(db: sqlite3.Connection) -> None:
    memory = Memory()
    db.execute("BEGIN IMMEDIATE")
    batch = Batch(db, memory)
    batch.expect([])
    batch.borrow(reservation("r1", hold("usd", 1, LIMIT)), ask(first=True))
    batch.write()
    db.execute("ROLLBACK")
    assert commit(db, lambda b: b.give_back("one", [], NONE, 0.0), memory=memory) == [Notice(lost=True)]
    assert leases(db) == []


def test_of_the_dead_the_journal_is_charged_and_then_removed(db: sqlite3.Connection, tmp_path: Path) -> None:
    memory = Memory(tmp_path / "journals")
    commit(db, lambda b: b.borrow(reservation("r1", hold("usd", 1, LIMIT)), ask(first=True)), memory=memory)
    journal = Journal(memory.journal("one"))
    for number in range(4):
        journal.add(reservation(f"j{number}", hold("usd", 5, LIMIT, lapsed=3)))
    journal.settle(settlement("j2", ("usd", 2)))
    journal.close()
    finished = Finished.of([(settlement("j0", ("usd", 1)), (("usd", 1),))])
    commit(db, lambda b: b.repay("one", finished, 0.0, NONE), memory=memory)
    (lapsed,) = commit(db, lambda b: b.expire(NOW + 70), memory=memory)
    assert [made.id for made in lapsed] == ["r1", "j1", "j3"]  # type: ignore[attr-defined]
    assert counter(db) == (1 + 1 + 2 + 2 * 3, 0)
    assert not memory.journal("one").exists()
    assert commit(db, lambda b: b.expire(NOW + 70), memory=memory) == [()]
