"""Entries read in pages while others write."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from gateway.store import redis_ledger
from gateway.store.breaker import Breaker
from gateway.store.entries import Group, Span, State
from gateway.store.queries import Query
from gateway.store.redis_keys import Keys
from gateway.store.redis_ledger import Ledger, walk
from gateway.store.redis_line import Line, pool_of
from gateway.store.redis_records import reserving, settling
from tests.gateway.store.cases import ALWAYS, NOW, TEAM, hold, reservation, settlement
from tests.gateway.store.servers import shared_url

HOUR = 3600


@pytest.fixture
async def ledger() -> AsyncIterator[Ledger]:
    keys = Keys(f"test-{uuid4().hex}")
    line = Line(pool_of(shared_url()), keys, 5.0, Breaker())
    yield Ledger(line, keys)
    await line.close()


async def settle(ledger: Ledger, id_: str, team: str = TEAM, time: float = NOW) -> None:
    await ledger.line.operate(team, settling(settlement(id_, team=team, time=time)))


async def test_all_of_a_large_hash_is_met_once_while_it_grows(ledger: Ledger) -> None:
    def growing(start: int) -> list[tuple[str | int, ...]]:
        return [("HSET", "{x}" + ledger.keys.teams, f"f{number}", "v" * 100) for number in range(start, start + 700)]

    await ledger.line.ask(growing(0))
    met: list[bytes] = []
    async for rows in walk(ledger.line, ["{x}" + ledger.keys.teams]):
        met += [field for _, field, _ in rows]
        if len(met) < 3000:
            await ledger.line.ask(growing(700 + len(met)))
    assert len(met) == len(set(met))
    assert {b"f%d" % number for number in range(700)} <= set(met)
    await ledger.line.ask([("DEL", "{x}" + ledger.keys.teams)])


async def test_of_many_hashes_each_row_comes_with_its_key_and_those_that_are_not_there_with_none(
    ledger: Ledger,
) -> None:
    keys = [ledger.keys.counter(TEAM, str(number)) for number in range(20)]
    await ledger.line.ask([("HSET", key, "name", key) for key in keys[::2]])
    rows = [row async for page in walk(ledger.line, keys) for row in page]
    assert [(key, value.decode()) for key, _, value in rows] == [(key, key) for key in keys[::2]]
    assert [rows async for rows in walk(ledger.line, [])] == []


async def test_entries_of_hours_and_teams_are_one_sequence(ledger: Ledger) -> None:
    made = [(f"r{number}", "abc"[number % 3], NOW + number * HOUR / 2) for number in range(30)]
    await asyncio.gather(*(settle(ledger, *each) for each in reversed(made)))
    assert [each.id async for each in ledger.entries(ALWAYS, None)] == [id_ for id_, _, _ in made]
    span = Span(NOW + 5 * HOUR, NOW + 9 * HOUR)
    assert [each.id async for each in ledger.entries(span, None)] == [f"r{number}" for number in range(10, 18)]


async def test_one_that_is_settled_while_it_is_read_is_met_once(ledger: Ledger) -> None:
    # It is listed as unsettled; then it moves to an hour that has not been read yet.
    await settle(ledger, "r0", time=NOW - HOUR)
    await ledger.line.operate(TEAM, reserving(reservation("r1", hold(), input=5)))
    lapsed = ledger.keys.unsettled(TEAM)
    await move_to_unsettled(ledger, "r1")
    found = []
    async for each in ledger.entries(ALWAYS, TEAM):
        found.append((each.id, each.state))
        if each.id == "r0":
            await settle(ledger, "r1")
            assert await ledger.line.ask([("HLEN", lapsed)]) == [0]
    assert [id_ for id_, _ in found] == ["r0", "r1"]


async def move_to_unsettled(ledger: Ledger, id_: str) -> None:
    reservations = ledger.keys.of_scripts(TEAM)[0]
    (stored,) = await ledger.line.ask([("HGET", reservations, id_)])
    await ledger.line.ask([("HDEL", reservations, id_), ("HSET", ledger.keys.unsettled(TEAM), id_, stored)])


async def test_what_is_there_as_unsettled_and_settled_counts_once(ledger: Ledger) -> None:
    await ledger.line.operate(TEAM, reserving(reservation("r1", hold())))
    await move_to_unsettled(ledger, "r1")
    (stored,) = await ledger.line.ask([("HGET", ledger.keys.unsettled(TEAM), "r1")])
    await settle(ledger, "r1")
    await ledger.line.ask([("HSET", ledger.keys.unsettled(TEAM), "r1", stored)])
    (row,) = await ledger.usage(ALWAYS, (Group.STATE,), None)
    assert (row.group, row.requests) == ((State.SETTLED,), 1)
    assert [each.state async for each in ledger.entries(ALWAYS, None)] == [State.SETTLED]


async def test_pruning_drops_whole_hours_and_what_is_old_of_the_last_one(ledger: Ledger) -> None:
    start = NOW - NOW % HOUR
    for number in range(6):
        await settle(ledger, f"r{number}", team="ab"[number % 2], time=start + number * HOUR / 2)
    assert await ledger.prune(start + 1.2 * HOUR) == 3
    assert [each.id async for each in ledger.entries(ALWAYS, None)] == ["r3", "r4", "r5"]
    assert await ledger.prune(start + 2 * HOUR) == 1
    assert [each.id async for each in ledger.entries(ALWAYS, None)] == ["r4", "r5"]
    assert await ledger.line.ask([("SCARD", ledger.keys.hours(team)) for team in "ab"]) == [1, 1]


async def test_an_entry_of_an_hour_that_was_dropped_is_found(ledger: Ledger) -> None:
    await settle(ledger, "r1")
    await ledger.prune(NOW + HOUR)
    await settle(ledger, "r2")
    assert [each.id async for each in ledger.entries(ALWAYS, None)] == ["r2"]


async def test_the_latest_are_read_hour_by_hour_and_no_further_than_needed(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_ledger, "_LOOKED_AT", 4)
    for number in range(12):
        await settle(ledger, f"r{number:02}", time=NOW + number * HOUR / 2)
    asked = Query(NOW, NOW + 12 * HOUR, text="r01")
    first = await ledger.latest(asked, None, 5)
    assert (first.entries, first.then is None) == ((), False)
    pages = [first]
    while pages[-1].then is not None:
        pages.append(await ledger.latest(asked, pages[-1].then, 5))
    assert [entry.id for page in pages for entry in page.entries] == ["r01"]
    assert 3 <= len(pages) <= 5  # of the six or seven hours
