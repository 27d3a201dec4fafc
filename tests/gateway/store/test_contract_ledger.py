"""What a store promises of its ledger: entries, sums over them, what is forgotten; on each store."""

import asyncio
import time
from typing import Any

import pytest

from gateway.store.contract import Charge, Hold, Settlement, Store
from gateway.store.entries import Group, Span, State, Usages
from tests.gateway.store.cases import ALWAYS, NOW, TEAM, entry, hold, ledger, reservation, settlement, state


async def test_an_entry_comes_back_as_it_was_written(store: Store) -> None:
    full = entry(
        "r1",
        time=NOW + 0.123456,
        key="k",
        user="ü",
        model="429",
        upstream="u",
        route="chat",
        state=State.ESTIMATED,
        status=502,
        error="upstream_timeout",
        decision="applied",
        reason="relevance",
        stream=True,
        tokens_original=9000,
        tokens_forwarded=2000,
        input=1990,
        cached=1024,
        cache_written=1,
        output=77,
        reasoning=5,
        cost_nano=123_456_789_012,
        saved_nano=-3,
        total_ms=12.5,
        first_byte_ms=3.25,
        overhead_ms=0.125,
        tokens_window=1800,
        would_save_nano=-4,
    )
    await store.settle(Settlement("r1", TEAM, (), full))
    await store.settle(settlement("r2", time=NOW + 1))
    assert await ledger(store) == [full, entry("r2", time=NOW + 1)]
    assert (await ledger(store))[0].stream is True


async def test_an_entry_that_expired_comes_back_as_it_was_reserved(store: Store) -> None:
    known: dict[str, Any] = {
        "model": "m",
        "stream": True,
        "tokens_original": 7,
        "cost_nano": 5,
        "first_byte_ms": None,
        "total_ms": 1.5,
    }
    await store.reserve(reservation("r1", hold(), **known))
    await store.expire(NOW + 60)
    assert await ledger(store) == [entry("r1", state=State.UNSETTLED, **known)]


async def test_entries_are_those_of_the_span_oldest_first(store: Store) -> None:
    for id_, at in (("r4", 30.0), ("r1", 9.999), ("r3", 29.999), ("r2", 10.0)):
        await store.settle(settlement(id_, time=NOW + at))
    assert [found.id for found in await ledger(store, Span(NOW + 10, NOW + 30))] == ["r2", "r3"]
    assert [found.id for found in await ledger(store)] == ["r1", "r2", "r3", "r4"]


async def test_entries_of_one_team(store: Store) -> None:
    await store.settle(settlement("r1"))
    await store.settle(settlement("r1", team="other"))
    assert [found.team for found in await ledger(store, team="other")] == ["other"]
    assert await ledger(store, team="nobody") == []


async def test_more_entries_than_are_read_at_once_come_once_each(store: Store) -> None:
    # Several of each moment: where reading goes on is not told by the time alone.
    made = [(f"r{number}", TEAM if number % 3 else "other", NOW + number // 40) for number in range(1300)]
    await asyncio.gather(*(store.settle(settlement(id_, team=team, time=at)) for id_, team, at in made))
    found = await ledger(store)
    assert sorted(each.id for each in found) == sorted(id_ for id_, _, _ in made)
    assert [each.time for each in found] == sorted(each.time for each in found)
    assert len(await ledger(store, team=TEAM)) == 866


async def _used(store: Store) -> None:
    """Write a ledger in which each sum can be told from the others."""
    for made in (
        settlement("r1", status=200, model="a", decision="applied", tokens_original=1000, tokens_forwarded=200,
                   input=210, cached=100, cache_written=50, output=20, reasoning=5, cost_nano=7000, saved_nano=3000,
                   total_ms=100.0, first_byte_ms=30.0, overhead_ms=2.0),
        settlement("r2", status=200, model="b", decision="off", tokens_original=300, input=310, output=1,
                   state=State.ESTIMATED, cost_nano=500, total_ms=50.0, overhead_ms=1.0),
        settlement("r3", status=429, model="a", state=State.FREE, cost_nano=0, total_ms=1.0, decision="applied",
                   tokens_original=900),
        settlement("r4", status=503, model="a", state=State.FREE, total_ms=4.0, time=NOW + 86400),
        settlement("r5", status=500, team="other", model="a", total_ms=8.0),
    ):  # fmt: skip
        await store.settle(made)
    await store.reserve(reservation("r6", input=64, model="b"))
    await store.expire(NOW + 60)


async def test_usage_sums_the_entries(store: Store) -> None:
    await _used(store)
    assert await store.usage(ALWAYS, (), TEAM) == (
        Usages(
            (), requests=5, windowed=1, tokens_original=1000, tokens_forwarded=200, input=584, cached=100,
            cache_written=50, output=21, reasoning=5, priced=3, cost_nano=7500, saved_nano=3000, refused=1, failed=1,
            estimated=1, unsettled=1, timed=4, total_ms=155.0, overhead_ms=3.0, first_bytes=1, first_byte_ms=30.0,
            slowest_ms=100.0,
        ),
    )  # fmt: skip


async def test_usage_sums_what_shadow_windows_would_have_saved_apart_from_what_was_saved(store: Store) -> None:
    sizes: dict[str, Any] = {"tokens_original": 5000, "tokens_forwarded": 5000, "decision": "shadow"}
    for made in (
        settlement("r1", model="a", cost_nano=900, tokens_window=200, would_save_nano=700, **sizes),
        settlement("r2", model="b", cost_nano=900, tokens_window=300, would_save_nano=-1, **sizes),
        settlement("r3", model="b", tokens_window=400, **sizes),  # of unknown cost
        settlement("r4", model="b", cost_nano=900, **sizes),  # no window was made of it
        settlement("r5", model="a", tokens_original=9, tokens_forwarded=4, decision="applied", saved_nano=3),
    ):
        await store.settle(made)
    (all_,) = await store.usage(ALWAYS, ())
    assert (all_.requests, all_.windowed, all_.saved_nano) == (5, 1, 3)
    assert (all_.tokens_original - all_.tokens_forwarded) == 5
    names = ("shadowed", "tokens_shadowed", "tokens_window", "shadow_priced", "would_save_nano")
    assert [getattr(all_, name) for name in names] == [3, 15_000, 900, 2, 699]
    a, b = await store.usage(ALWAYS, (Group.MODEL,))
    assert [getattr(a, name) for name in names] == [1, 5000, 200, 1, 700]
    assert [getattr(b, name) for name in names] == [2, 10_000, 700, 1, -1]


async def test_usage_by_several_groups_is_in_their_order(store: Store) -> None:
    await _used(store)
    rows = await store.usage(ALWAYS, (Group.MODEL, Group.TEAM))
    assert [(row.group, row.requests) for row in rows] == [(("a", TEAM), 3), (("a", "other"), 1), (("b", TEAM), 2)]
    rows = await store.usage(ALWAYS, (Group.TEAM, Group.MODEL))
    assert [row.group for row in rows] == [(TEAM, "a"), (TEAM, "b"), ("other", "a")]


@pytest.mark.parametrize(
    ("group", "values"),
    [
        (Group.TEAM, [TEAM, "other"]),
        (Group.MODEL, ["a", "b"]),
        (Group.STATE, ["estimated", "free", "settled", "unsettled"]),
        (Group.STATUS, ["0", "200", "429", "500", "503"]),
        (Group.DAY, ["2033-05-18", "2033-05-19"]),
        (Group.HOUR, ["2033-05-18T03:00", "2033-05-19T03:00"]),
        (Group.KEY, [""]),
        (Group.USER, [""]),
        (Group.UPSTREAM, [""]),
        (Group.ROUTE, [""]),
        (Group.REASON, [""]),
    ],
)
async def test_the_values_of_a_group_are_text(store: Store, group: Group, values: list[str]) -> None:
    await _used(store)
    rows = await store.usage(ALWAYS, (group,))
    assert [row.group for row in rows] == [(value,) for value in values]
    assert sum(row.requests for row in rows) == 6


async def test_the_last_moment_of_an_hour_belongs_to_it(store: Store) -> None:
    await store.settle(settlement("r1", time=1_999_987_199.9999))  # 2033-05-17T23:59:59.9999
    (row,) = await store.usage(ALWAYS, (Group.DAY, Group.HOUR))
    assert row.group == ("2033-05-17", "2033-05-17T23:00")


async def test_usage_is_of_the_span_and_nothing_has_no_row(store: Store) -> None:
    await _used(store)
    assert [row.requests for row in await store.usage(Span(NOW, NOW + 1), ())] == [5]
    assert [row.requests for row in await store.usage(Span(NOW + 1, NOW + 86401), ())] == [1]
    assert await store.usage(Span(0, NOW), ()) == ()
    assert await store.usage(Span(0, NOW), (Group.TEAM,)) == ()


async def test_a_late_settlement_replaces_what_usage_sums(store: Store) -> None:
    await store.reserve(reservation("r1", input=64, cost_nano=640))
    await store.expire(NOW + 60)
    await store.settle(settlement("r1", input=3, cost_nano=30))
    (row,) = await store.usage(ALWAYS, ())
    assert (row.requests, row.input, row.cost_nano, row.unsettled) == (1, 3, 30, 0)


async def test_old_entries_are_forgotten_but_unsettled_ones_are_not(store: Store) -> None:
    old = NOW - 86400 * 100
    for number in range(600):
        await store.settle(settlement(f"old{number}", time=old + number))
    await store.settle(settlement("new", time=NOW))
    await store.reserve(reservation("lost", hold(), time=old - 1, expires=old))
    await store.expire(NOW)
    assert await store.prune(NOW - 86400) == 600
    assert {found.id for found in await ledger(store)} == {"lost", "new"}
    assert [found.id for found in await store.unsettled()] == ["lost"]
    assert await store.prune(NOW - 86400) == 0
    await store.settle(settlement("lost", time=old - 1))
    assert await store.prune(NOW - 86400) == 1


async def test_counters_that_ended_are_forgotten_and_others_kept(store: Store) -> None:
    past, future = time.time() - 86400, time.time() + 86400
    charges = (Charge("ended", 1, past), Charge("runs", 2, future), Charge("total", 3, None))
    await store.settle(Settlement("r1", TEAM, charges, entry("r1")))
    await store.reserve(reservation("r2", Hold("held", 4, 100, 4, future)))
    await store.prune(time.time())
    assert [spent for spent, _ in [await state(store, counter) for counter in ("ended", "runs", "total")]] == [0, 2, 3]
    assert await state(store, "held") == (0, 4)
