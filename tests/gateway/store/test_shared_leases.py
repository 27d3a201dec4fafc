"""Several workers that lease of one file: what one holds another can have, and what one leaves behind expires."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from gateway.store import sqlite_allowance
from gateway.store.contract import Granted, Refused, StoreUnavailableError
from gateway.store.entries import State
from gateway.store.sqlite import SqliteStore
from gateway.store.sqlite_allowance import SLACK_S
from gateway.store.sqlite_leases import Wanted
from gateway.store.sqlite_schema import begin, connect, roll_back
from tests.gateway.store.cases import NOW, TEAM, reservation, settlement, state
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
    lease,
    leased,
    opened,
    reservations,
    rows,
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


@pytest.fixture
async def other(path: Path, clock: Clock) -> AsyncIterator[SqliteStore]:
    async with worker(path, clock) as made:
        yield made


async def test_a_limit_that_two_share_is_filled_exactly_though_one_holds_idle_leases(
    store: SqliteStore, other: SqliteStore, path: Path
) -> None:
    limit = 3000
    await lease(other, limit)
    assert leased(path) > 0
    granted = 0
    while isinstance(await ask(store, f"r{granted}", 7, limit), Granted):
        granted += 1
    assert granted == limit // 7
    assert limit - 7 < sum(in_file(path)) <= limit


async def test_workers_that_fill_a_limit_at_the_same_time_fill_it_exactly(
    store: SqliteStore, other: SqliteStore, path: Path
) -> None:
    limit = 2000

    async def caller(by: SqliteStore, name: str) -> int:
        number = 0
        while isinstance(await ask(by, f"{name}.{number}", 1, limit), Granted):
            if number % 2:
                await by.settle(settlement(f"{name}.{number}", ("usd", 1)))
            number += 1
        return number

    callers = [caller(by, f"{name}{place}") for place in range(4) for name, by in (("a", store), ("b", other))]
    granted = sum(await asyncio.gather(*callers))
    assert granted == limit
    await eventually(lambda: sum(in_file(path)) == limit)


async def test_a_refusal_waits_only_where_others_have_leases_and_not_again_where_that_was_in_vain(
    store: SqliteStore, path: Path, clock: Clock
) -> None:
    silent = await opened(path, clock)
    await lease(silent, 3000)
    timer, allowance(silent)._timer = allowance(silent)._timer, None
    assert timer is not None
    timer.cancel()  # as if it had died: it hears of nothing any more
    rest = 3000 - leased(path)
    assert isinstance(await ask(store, "r1", rest, 3000), Granted)
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert isinstance(await ask(store, "r2", 1, 3000), Refused)
    assert loop.time() - began > 0.5
    tries = allowance(store)._asked.copy()
    clock.now += 1
    assert isinstance(await ask(store, "r3", 1, 3000), Refused)
    assert allowance(store)._asked.keys() == tries.keys()
    assert allowance(store)._fruitless.keys() == {(TEAM, "usd")}
    await silent.close()
    assert isinstance(await ask(store, "r4", 1, 3000), Granted)


async def test_a_lowered_limit_is_obeyed_though_another_worker_holds_leases(
    store: SqliteStore, other: SqliteStore, path: Path
) -> None:
    await lease(other)
    assert leased(path) > 300
    assert isinstance(await ask(store, "r1", 200, 300), Granted)
    assert rows(path, "SELECT wanted FROM leases") == []  # all of it was given back
    assert isinstance(await ask(store, "r2", 101, 300), Refused)
    assert isinstance(await ask(store, "r3", 100, 300), Granted)


async def _slept(store: SqliteStore, by: SqliteStore) -> None:
    """Let its leases expire by another store, while requests r1..r4 of it are under way."""
    await lease(store)
    for number in range(1, 5):
        await ask(store, f"r{number}", 10, WIDE)
    assert {found.id for found in await by.expire(LATE)} == {f"r{number}" for number in range(1, 5)}


async def test_of_one_who_slept_settlements_take_back_what_was_charged(
    store: SqliteStore, other: SqliteStore, path: Path
) -> None:
    await _slept(store, other)
    assert in_file(path) == (40, 0)
    assert journal_files(path) == []
    made = await store.settle(settlement("r1", ("usd", 3)))
    assert (made.applied, made.before) == (True, (40,))
    await store.settle_all([settlement(f"r{number}", ("usd", 3)) for number in (2, 3)])
    assert in_file(path) == (19, 0)
    assert [found.id for found in await store.unsettled()] == ["r4"]
    assert not (await store.settle(settlement("r1", ("usd", 5)))).applied


async def test_one_who_slept_never_overruns(store: SqliteStore, other: SqliteStore, path: Path) -> None:
    await _slept(store, other)
    assert isinstance(await ask(other, "all", WIDE - 40), Granted)
    later = [await ask(store, f"s{number}", 1, expires=LATE + 60) for number in range(3)]
    assert [type(answer) for answer in later] == [Refused] * 3
    await other.settle(settlement("all"))
    later = [await ask(store, f"s{number}", 1, expires=LATE + 60) for number in range(5)]
    assert [type(answer) for answer in later] == [Granted] * 5
    assert await state(store) == (40, 5)
    assert len(journal_files(path)) == 1  # it goes on as another one
    assert len(await other.expire(LATE + 60 + SLACK_S)) == 5
    assert in_file(path) == (45, 0)


async def test_what_is_under_way_when_it_is_closed_expires_later(path: Path, clock: Clock) -> None:
    store = await opened(path, clock)
    for number in range(10):
        await ask(store, f"r{number}")
    await store.settle_all([settlement(f"r{number}", ("usd", 4)) for number in range(7)])
    await store.close()
    assert (in_file(path), leased(path)) == ((28, 30), 30)
    async with worker(path) as other:
        assert await other.expire(NOW + 59) == ()
        assert {found.id for found in await other.expire(LATE)} == {"r7", "r8", "r9"}
        assert (in_file(path), leased(path), holders(path), journal_files(path)) == ((58, 0), 0, 0, [])


async def test_it_is_closed_though_the_file_cannot_be_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.store.sqlite_schema.PATIENCE_S", 0.05)
    store = await opened(path, Clock())
    await lease(store)
    with closing(connect(path)) as db:
        begin(db)
        await store.close()
        roll_back(db)
    with pytest.raises(StoreUnavailableError, match="closed"):
        await store.version()
    async with worker(path) as other:
        assert await other.expire(LATE) == ()
    assert (in_file(path), leased(path), journal_files(path)) == ((0, 0), 0, [])


async def test_a_reservation_that_is_cancelled_while_it_waits_takes_nothing(
    store: SqliteStore, other: SqliteStore, path: Path
) -> None:
    await lease(other, 3000)
    task = asyncio.ensure_future(ask(store, "r1", 2999, 3000))
    await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await store.settle(settlement("r1"))
    await store.close()
    await other.close()
    assert (in_file(path), leased(path), holders(path)) == ((0, 0), 0, 0)


async def test_what_holds_nothing_is_set_aside_and_expires(store: SqliteStore, other: SqliteStore, path: Path) -> None:
    await lease(store)
    assert await store.reserve(reservation("bare")) == Granted(())
    assert reservations(path) == []
    assert [(found.id, found.state) for found in await other.expire(LATE)] == [("bare", State.UNSETTLED)]
    assert (await store.settle(settlement("bare", ("usd", 1)))).applied
    assert in_file(path) == (1, 0)


async def test_what_is_noted_is_settled_by_others_instead_of_charged(
    store: SqliteStore, other: SqliteStore, path: Path
) -> None:
    await lease(store)
    for number in range(4):
        await ask(store, f"r{number}")
    for number in range(2):
        store.note(settlement(f"r{number}", ("usd", 3)))
    store.note(settlement("unknown", ("usd", 3)))
    assert await state(store) == (0, 2 * AMOUNT + 2 * 3)  # what was spent is to be settled yet, the rest is free
    await store.settle(settlement("r1", ("usd", 3)))
    assert [found.id for found in await other.expire(LATE)] == ["r2", "r3"]
    assert in_file(path) == (6 + 2 * AMOUNT, 0)
    made = [await store.settle(settlement(f"r{number}", ("usd", 3))) for number in range(4)]
    assert [own.applied for own in made] == [False, False, True, True]
    assert in_file(path) == (12, 0)


async def test_renewing_lets_leases_expire_later(store: SqliteStore, other: SqliteStore) -> None:
    await lease(store)
    await ask(store, "x")
    await store.renew({TEAM: ["x"]}, NOW + 100)
    assert await other.expire(LATE) == ()
    assert [found.id for found in await other.expire(NOW + 100 + SLACK_S)] == ["x"]


async def test_those_who_have_little_room_keep_no_journal(store: SqliteStore, other: SqliteStore, path: Path) -> None:
    for number in range(20):
        answers = await asyncio.gather(*(ask(by, f"{id(by)}.{number}", 10, 100) for by in (store, other)))
        assert [type(answer) for answer in answers] == [Granted] * 2
        await asyncio.gather(*(by.settle(settlement(f"{id(by)}.{number}")) for by in (store, other)))
    assert (journal_files(path), holders(path)) == ([], 0)


async def test_one_that_has_leased_nothing_yet_is_not_taken_for_one_whose_leases_are_gone(
    store: SqliteStore, other: SqliteStore, path: Path
) -> None:
    await ask(store, "r1")
    await other.settle(settlement("o1"))  # nothing that the store remembers is sure any more
    made, answer = await asyncio.gather(store.settle(settlement("r1")), ask(store, "r2"))
    assert (made.applied, type(answer)) == (True, Granted)
    assert leased(path) > 0
    await ask(store, "r3")
    assert reservations(path) == ["r2"]
    await store.settle_all([settlement("r2"), settlement("r3")])
    await store.close()
    assert (in_file(path), leased(path)) == ((0, 0), 0)


async def test_what_is_wanted_is_given_back_though_more_was_leased_in_the_same_moment(
    store: SqliteStore, other: SqliteStore, path: Path
) -> None:
    limit = 3000
    await lease(store, limit)
    big = limit - leased(path)
    assert isinstance(await ask(other, "big", big, limit), Granted)
    refused = asyncio.ensure_future(ask(other, "small", 2, limit))
    await asyncio.sleep(0.01)
    await other.settle(settlement("big"))
    await ask(store, "again", 1, limit)
    assert isinstance(await refused, Granted)
    assert isinstance(await ask(other, "rest", limit - 3, limit), Granted)


async def test_of_what_is_wanted_only_what_is_in_use_is_kept(
    store: SqliteStore, other: SqliteStore, path: Path
) -> None:
    await lease(store, 3000)
    await ask(store, "r1", 5, 3000)
    assert isinstance(await ask(other, "all", 2995, 3000), Granted)
    assert rows(path, "SELECT amount, wanted FROM leases") == [(5, Wanted.STRIPPED)]
    assert [type(await ask(other, f"r{number}", 1, 3000)) for number in range(2, 5)] == [Refused] * 3
    assert not allowance(other)._fruitless  # nobody waited for what nobody can give back
    await store.settle(settlement("r1", ("usd", 2)))
    assert isinstance(await ask(other, "rest", 3, 3000), Granted)  # at once, what is freed is everybody's
    assert in_file(path) == (2, 2998)
