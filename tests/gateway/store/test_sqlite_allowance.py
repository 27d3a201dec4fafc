"""What a worker leases it sets aside by itself; what the file says of it stays true, whoever dies, waits or sleeps."""

import asyncio
import random
import sqlite3
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.store import sqlite_allowance, sqlite_journal
from gateway.store.contract import Granted, Refused, Standing, StoreUnavailableError
from gateway.store.sqlite import SqliteStore
from gateway.store.sqlite_allowance import SLACK_S, _put
from gateway.store.sqlite_batch import Batch
from gateway.store.sqlite_journal import Journal
from gateway.store.sqlite_schema import begin, connect, journals, roll_back
from tests.gateway.store.cases import NOW, hold, ledger, reservation, settlement, state
from tests.gateway.store.leasing import (
    AMOUNT,
    WIDE,
    Clock,
    allowance,
    ask,
    eventually,
    holders,
    in_file,
    journal_files,
    journalled,
    lease,
    leased,
    reservations,
    without_leases,
    worker,
)

LATE = NOW + 60 + SLACK_S


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gateway.db"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def _never_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what is leased while a busy machine takes its time over a test."""
    monkeypatch.setattr(sqlite_allowance, "_IDLE_TICKS", 10**9)


@pytest.fixture
async def store(path: Path, clock: Clock) -> AsyncIterator[SqliteStore]:
    async with worker(path, clock) as made:
        yield made


async def test_quick_requests_are_granted_without_a_row_each(store: SqliteStore, path: Path) -> None:
    granted = [await ask(store, f"r{number:02}") for number in range(50)]
    assert [type(answer) for answer in granted] == [Granted] * 50
    assert reservations(path) == ["r00", "r01"]  # the first; and the second, with which some was leased
    assert journalled(path) == [f"r{number:02}" for number in range(2, 50)]
    assert [answer.standings[0].reserved for answer in granted] == [AMOUNT * (1 + number) for number in range(50)]
    assert await state(store) == (0, AMOUNT * 50)
    assert without_leases(path) == (0, AMOUNT * 2)


async def test_for_requests_now_and_then_nothing_is_leased(store: SqliteStore, path: Path, clock: Clock) -> None:
    for number in range(20):
        await ask(store, f"r{number:02}")
        clock.now += 0.15
    assert (len(reservations(path)), leased(path), journal_files(path)) == (20, 0, [])


async def test_standings_are_those_of_a_plain_model(store: SqliteStore, path: Path) -> None:
    chance, spent, held = random.Random(7), 0, {}
    for number in range(400):
        held[f"r{number}"] = amount = chance.randint(0, 30)
        assert isinstance(await ask(store, f"r{number}", amount), Granted)
        if chance.random() < 0.7:
            id_ = chance.choice(list(held))
            held.pop(id_)
            spent += (charge := chance.randint(0, 40))  # above what it held, too
            made = await store.settle(settlement(id_, ("usd", charge)))
            assert made.before == (spent - charge,)
            assert (made.standings[0].spent, made.standings[0].reserved) == (spent, sum(held.values()))
        assert await state(store) == (spent, sum(held.values()))
    assert len(reservations(path)) < 20
    await store.settle_all([settlement(id_) for id_ in held])
    assert await state(store) == (spent, 0)
    assert len(await ledger(store)) == 400
    await store.close()
    assert in_file(path) == (spent, 0)


async def test_many_at_once_are_counted_like_one_after_the_other(store: SqliteStore, path: Path) -> None:
    await lease(store)
    granted = await asyncio.gather(*(ask(store, f"r{number}") for number in range(300)))
    assert all(isinstance(answer, Granted) for answer in granted)
    assert await state(store) == (0, 300 * AMOUNT)
    await asyncio.gather(*(store.settle(settlement(f"r{number}", ("usd", 7))) for number in range(300)))
    assert await state(store) == (2100, 0)
    assert without_leases(path) == (2100, 0)


async def test_what_nobody_uses_is_given_back(store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(10):
        await ask(store, f"r{number}")
    for number in range(8):
        await store.settle(settlement(f"r{number}", ("usd", 3)))
    assert leased(path) > 20
    monkeypatch.setattr(sqlite_allowance, "_IDLE_TICKS", 4)
    await eventually(lambda: leased(path) == 20)  # what the two under way have set aside
    assert in_file(path) == (24, 20)
    assert journalled(path)
    for number in (8, 9):
        await store.settle(settlement(f"r{number}", ("usd", 3)))
    await eventually(lambda: holders(path) == 0 and not journal_files(path))
    assert (in_file(path), leased(path)) == ((30, 0), 0)
    monkeypatch.setattr(sqlite_allowance, "_IDLE_TICKS", 10**9)
    await lease(store)  # and it goes on
    assert leased(path) > 0


@pytest.mark.parametrize("limit", [205, WIDE * 2])
async def test_a_limit_that_changed_is_obeyed_at_once(store: SqliteStore, path: Path, limit: int) -> None:
    for number in range(20):
        await ask(store, f"r{number}")
    assert leased(path) > 205
    outcomes = [type(await ask(store, f"s{number}", 5, limit)) for number in range(3)]
    assert outcomes == ([Granted, Refused, Refused] if limit == 205 else [Granted] * 3)
    assert await state(store) == (0, 205 if limit == 205 else 215)
    assert isinstance(await ask(store, "t", limit, limit), Refused)


async def test_what_is_raised_can_be_used_whole(store: SqliteStore, path: Path) -> None:
    await lease(store)
    assert isinstance(await ask(store, "r1", WIDE + 5, WIDE), Refused)
    assert isinstance(await ask(store, "r1", WIDE + 5, WIDE + 5), Granted)
    assert in_file(path) == (0, WIDE + 5)


async def test_no_request_is_refused_for_what_its_own_worker_leases_meanwhile(store: SqliteStore) -> None:
    await ask(store, "r1", 1)
    first, second = await asyncio.gather(ask(store, "r2", 1), ask(store, "r3", WIDE - 2))
    assert (type(first), type(second)) == (Granted, Granted)
    assert isinstance(await ask(store, "r4", 1), Refused)


async def test_closing_gives_everything_back(store: SqliteStore, path: Path) -> None:
    for number in range(10):
        await ask(store, f"r{number}")
    await store.settle_all([settlement(f"r{number}", ("usd", 4)) for number in range(10)])
    await store.close()
    assert (in_file(path), leased(path), holders(path), journal_files(path)) == ((40, 0), 0, 0, [])


async def test_what_must_outlive_a_power_cut_is_never_leased(path: Path) -> None:
    store = SqliteStore(path, "power")
    await store.open()
    for number in range(20):
        await ask(store, f"r{number}")
    assert (len(reservations(path)), leased(path), journals(path).exists()) == (20, 0, False)
    assert in_file(path) == (0, 200)
    await store.close()


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5])
async def test_a_cancelled_reservation_leaks_nothing(store: SqliteStore, path: Path, turns: int) -> None:
    await lease(store)
    whole = leased(path)
    task = asyncio.ensure_future(ask(store, "r1", whole + 1))  # more than is leased: the file is asked
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await store.settle(settlement("r1"))
    assert await state(store) == (0, 0)
    assert without_leases(path) == (0, 0)
    await store.close()
    assert (in_file(path), leased(path), holders(path)) == ((0, 0), 0, 0)


async def test_a_cancelled_settlement_is_made(store: SqliteStore, path: Path) -> None:
    await lease(store)
    await ask(store, "r1")
    task = asyncio.ensure_future(store.settle(settlement("r1", ("usd", 4))))
    await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert not (await store.settle(settlement("r1", ("usd", 9)))).applied
    assert await state(store) == (4, 0)
    assert without_leases(path) == (4, 0)


@pytest.mark.parametrize("is_leased", [False, True])
async def test_the_same_id_again_changes_nothing(store: SqliteStore, path: Path, is_leased: bool) -> None:
    if is_leased:
        await lease(store)
    await ask(store, "x")
    assert (reservations(path) == []) == is_leased
    for _ in range(2):
        again = await ask(store, "x")
        assert isinstance(again, Granted)
        assert (again.standings[0].spent, again.standings[0].reserved) == (0, AMOUNT)
    assert await state(store) == (0, AMOUNT)
    assert (await store.settle(settlement("x", ("usd", 3)))).applied
    for _ in range(2):
        assert not (await store.settle(settlement("x", ("usd", 3)))).applied
    assert isinstance(await ask(store, "x"), Granted)
    assert await state(store) == (3, 0)
    assert without_leases(path) == (3, 0)
    assert len([found for found in await ledger(store) if found.id == "x"]) == 1


async def test_the_same_id_twice_at_once_is_settled_once(store: SqliteStore, path: Path) -> None:
    await lease(store)
    await ask(store, "x")
    await ask(store, "y")
    x, y = settlement("x", ("usd", 3)), settlement("y", ("usd", 5))
    made = [*await store.settle_all([x, x]), *await asyncio.gather(store.settle(y), store.settle(y))]
    assert [settled.applied for settled in made] == [True, False, True, False]
    assert await state(store) == (8, 0)
    assert without_leases(path) == (8, 0)


@pytest.mark.parametrize("charge", [0, 4, AMOUNT, 25])
async def test_a_charge_need_not_be_what_was_held(store: SqliteStore, path: Path, charge: int) -> None:
    await lease(store)
    before = leased(path)
    await ask(store, "x")
    made = await store.settle(settlement("x", ("usd", charge), ("other", 2)))
    assert [(own.spent, own.reserved) for own in made.standings] == [(charge, 0), (2, 0)]
    assert leased(path) == before - min(charge, AMOUNT)
    assert without_leases(path) == (charge, 0)
    assert await state(store) == (charge, 0)
    await store.close()
    assert in_file(path) == (charge, 0)


async def test_all_holds_are_taken_or_none(store: SqliteStore, path: Path) -> None:
    holds = (hold("usd", 10, WIDE), hold("requests", 1, 10_000))
    for number in range(3):
        await store.reserve(reservation(f"r{number}", *holds))
    one, two = (hold("usd", 10, WIDE), hold("requests", 9999, 10_000))
    assert isinstance(await store.reserve(reservation("r3", one, two)), Refused)
    assert (await state(store), await state(store, "requests")) == ((0, 30), (0, 3))


async def test_what_the_file_took_without_saying_so_is_settled_once(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lease(store)
    await ask(store, "x")
    remember = Batch.remember

    def fails(_: Batch) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(Batch, "remember", fails)  # what comes after the commit
    with pytest.raises(StoreUnavailableError, match="disk"):
        await store.settle(settlement("x", ("usd", 3)))
    assert in_file(path)[0] == 3
    monkeypatch.setattr(Batch, "remember", remember)
    assert not (await store.settle(settlement("x", ("usd", 3)))).applied
    assert await state(store) == (3, 0)
    assert len([found for found in await ledger(store) if found.id == "x"]) == 1
    await store.close()
    assert in_file(path) == (3, 0)


async def test_of_several_that_are_settled_together_the_last_of_a_counter_tells_for_all(
    store: SqliteStore, path: Path
) -> None:
    holds = {"r0": "ab", "r1": "ab", "r2": "ab", "r3": "a", "r4": "b", "r5": ""}
    for id_, names in holds.items():
        await store.reserve(reservation(id_, *(hold(name, 10, WIDE) for name in names)))
    assert {"r2", "r3", "r4"} <= set(journalled(path))
    several = ("r2", "r3", "r4", "r5")
    made = await store.settle_all([settlement(id_, *((name, 3) for name in holds[id_])) for id_ in several])
    assert [one.applied for one in made] == [True] * 4
    assert [one.before for one in made] == [(), (0,), (0,), ()]
    assert [one.standings for one in made] == [(), (Standing("a", 6, 20),), (Standing("b", 6, 20),), ()]


async def test_many_settlements_are_in_the_file_before_whatever_comes_after_them(
    store: SqliteStore, path: Path
) -> None:
    for number in range(80):
        await store.reserve(reservation(f"r{number}", hold("a", 10, WIDE)))
    many = asyncio.ensure_future(store.settle_all([settlement(f"r{number}", ("a", 3)) for number in range(70)]))
    await asyncio.sleep(0)
    assert in_file(path, "a")[0] == 0
    await store.settle(settlement("r70", ("a", 3)))
    assert in_file(path, "a")[0] == 71 * 3
    await many


@pytest.mark.parametrize("is_full", [False, True])
async def test_without_a_journal_the_file_is_asked(store: SqliteStore, path: Path, is_full: bool) -> None:
    if is_full:
        await lease(store)
        journal = allowance(store)._holder.journal
        assert journal is not None
        journal.add(reservation("x", error="x" * (journal_room(journal) - 400)))
    else:
        journals(path).write_bytes(b"")  # a file in the folder's place
    before = leased(path)
    assert [type(await ask(store, f"r{number}", error="x" * 500)) for number in range(10)] == [Granted] * 10
    assert len(reservations(path)) == 10
    assert await state(store) == (0, 100)
    assert before >= 0
    await store.settle_all([settlement(f"r{number}", ("usd", 1)) for number in range(10)])
    await store.close()
    assert (in_file(path), leased(path)) == ((10, 0), 0)


def journal_room(journal: Journal) -> int:
    return sqlite_journal._HALF - journal.size


async def test_the_journal_is_rid_of_what_is_settled(store: SqliteStore, path: Path, clock: Clock) -> None:
    await lease(store)
    for number in range(20):
        await ask(store, f"r{number}")
    await store.settle_all([settlement(f"r{number}") for number in range(19)])
    for _ in range(2):  # what was open at one turn is kept until the next
        turned = allowance(store)._holder.turned
        clock.now += 61
        await eventually(lambda turned=turned: allowance(store)._holder.turned > turned)  # type: ignore[misc]
    assert journalled(path) == ["r19"]


async def test_a_journal_too_full_to_be_turned_is_left_for_a_while(
    store: SqliteStore, path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lease(store)
    await ask(store, "long")
    holder, tried = allowance(store)._holder, list[float]()
    journal = holder.journal
    assert journal is not None
    holder.turn(journal, clock.now)
    with suppress(OSError):
        while True:
            journal.add(reservation("x"))
    turn = Journal.turn

    def turned(own: Journal, *kept: Any) -> None:
        tried.append(clock.now)
        turn(own, *kept)

    monkeypatch.setattr(Journal, "turn", turned)
    began = clock.now
    for _ in range(4):
        await store.settle_all([settlement("none")])
        clock.now += 0.4
    assert tried == [began, began + 0.4 + 0.4 + 0.4]
    assert "long" in journalled(path)
    await store.settle(settlement("long", ("usd", 1)))
    clock.now += 1
    await store.settle_all([settlement("none")])
    assert (len(tried), journal.size) == (3, 0)


async def test_when_the_file_does_not_answer_nothing_of_the_leases_is_lost(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.sqlite_schema.PATIENCE_S", 0.05)
    await lease(store)
    whole = leased(path)
    await ask(store, "r1", 5)
    with closing(connect(path)) as db:
        begin(db)
        for call in (ask(store, "r2", whole), store.settle(settlement("r1", ("usd", 2)))):
            with pytest.raises(StoreUnavailableError, match="locked"):
                await call
        assert isinstance(await ask(store, "r3", whole - 5), Granted)  # what is leased can be used all the same
        roll_back(db)
    await store.settle_all([settlement("r1", ("usd", 2)), settlement("r3", ("usd", 1))])
    assert without_leases(path) == (3, 0)
    await store.close()
    assert in_file(path) == (3, 0)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.store.sqlite_allowance._MOST", 3)
    known: OrderedDict[int, int] = OrderedDict()
    for number in range(10):
        _put(known, number, number)
    assert list(known) == [7, 8, 9]
