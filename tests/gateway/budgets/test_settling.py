import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.budgets import settling
from gateway.budgets.admission import Ticket
from gateway.budgets.settling import charges, entry_of
from gateway.pricing import NANO
from gateway.store.contract import Charge
from gateway.store.entries import State
from gateway.usage import Cost, Usage
from gateway.windowing.types import Decision, Reason
from tests.gateway.budgets.desks import NOW, caller, desk, record, standing
from tests.gateway.records import RECORD, REFUSED

ALL = caller(
    budget=[{"usd": 5, "period": "day"}, {"tokens": 1000}],
    limits={"requests_per_minute": 9, "tokens_per_minute": 500, "concurrent": 2},
)
BUDGET = caller(budget={"tokens": 1000, "soft": [50, 80, 95]})


async def test_a_request_is_charged_what_it_used_and_frees_what_it_held(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        ticket = await at.admit("r1", ALL)
        at.settle(ticket, 40)
        await at.settling.finish()
        assert await at.counted(ticket) == [(NANO // 25, 0), (40, 0), (1, 0), (40, 0), (0, 0)]
        assert at.admission.open == {}
        assert at.standings.of("acme", ticket.limits[1]) == standing(ticket, 1, 40, 0)
        (entry,) = await at.ledger()
        assert (entry.id, entry.state, entry.input, entry.output, entry.cost_nano) == (
            "r1", State.SETTLED, 36, 4, NANO // 25
        )  # fmt: skip


async def test_what_cost_nothing_counts_as_a_request_alone(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        ticket = await at.admit("r1", ALL)
        at.settle(ticket, None)
        await at.settling.finish()
        assert await at.counted(ticket) == [(0, 0), (0, 0), (1, 0), (0, 0), (0, 0)]


async def test_a_request_without_limits_is_in_the_ledger_too(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        at.settle(await at.admit("r1", caller()), 40)
        await at.settling.finish()
        assert [entry.id for entry in await at.ledger()] == ["r1"]


async def test_the_same_request_is_settled_once(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        ticket = await at.admit("r1", BUDGET)
        for _ in range(3):
            at.settle(ticket, 600)
        await at.settling.finish()
        assert await at.counted(ticket) == [(600, 0)]
        assert [passed.percent for passed in at.reached] == [50]


async def test_each_soft_limit_is_told_once_whoever_settles(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        for number in range(20):
            at.settle(await at.admit(f"r{number}", BUDGET, 50), 50)
        await at.settling.finish()
        tickets = [await at.admit(f"x{number}", caller(budget={"tokens": 10**6})) for number in range(2)]
        assert await at.counted(tickets[0]) == [(1000, 200)]
        assert [(passed.team, passed.percent) for passed in at.reached] == [("acme", 50), ("acme", 80), ("acme", 95)]


async def test_more_than_a_batch_is_settled(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        for number in range(1200):
            at.settle(Ticket(f"r{number}", "acme"), 1)
        await at.settling.finish()
        assert len(await at.ledger()) == 1200
        assert sum(at.lost) == 0


async def test_a_store_that_is_away_is_told_when_it_is_back(tmp_path: Path) -> None:
    async with desk(tmp_path, opened=False, on_store_outage="open") as at:
        first = at.admission.limits(BUDGET, "gpt-4o", "", "main")
        at.standings.heard("acme", [standing(Ticket("", "acme", first), 0, 0, 0)])
        ticket = await at.admit("r1", BUDGET, 600)
        at.settle(ticket, 500)
        await asyncio.sleep(0.05)
        assert at.admission.open == {"acme": {"r1"}}
        assert (await at.admit("r2", BUDGET, 500)).local
        await at.store.open()
        await at.settling.finish()
        assert await at.counted(ticket) == [(500, 0)]
        assert at.admission.open == {"acme": {"r2"}}
        assert [passed.percent for passed in at.reached] == [50]
        assert sum(at.lost) == 0


async def test_what_an_outage_let_through_counts_there_until_the_store_knows_of_it(tmp_path: Path) -> None:
    async with desk(tmp_path, opened=False, on_store_outage="open") as at:
        limits = at.admission.limits(BUDGET, "gpt-4o", "", "main")
        at.standings.heard("acme", [standing(Ticket("", "acme", limits), 0, 0, 0)])
        under_way, ended = await at.admit("r1", BUDGET, 300), await at.admit("r2", BUDGET, 700)
        at.settle(ended, 100)
        hold = limits[0].hold(0, 601)
        assert not at.admission.outage.admits("acme", limits, [hold])
        await at.store.open()
        await at.settling.finish()
        at.admission.outage.over()
        assert at.standings.of("acme", limits[0]) == standing(under_way, 0, 100, 0)
        assert not at.admission.outage.admits("acme", limits, [hold]), "300 are under way, 100 are spent"
        assert at.admission.outage.admits("acme", limits, [limits[0].hold(0, 600)])


async def test_what_no_store_can_take_is_given_up_and_its_reservation_expires(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        bad, good = await at.admit("r1", BUDGET), await at.admit("r2", BUDGET)
        at.settle(bad, 10, user="\ud800")
        at.settle(good, 20)
        await at.settling.finish()
        assert sum(at.lost) == 1
        assert await at.counted(good) == [(20, 100)]
        assert at.admission.open == {}, "nobody renews what nobody will settle"
        assert [entry.id for entry in await at.store.expire(NOW + 60)] == ["r1"]


async def test_an_end_waits_for_what_is_under_way_and_says_what_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "_PATIENCE_S", 0.05)
    async with desk(tmp_path, opened=False) as at:
        for number in range(700):
            at.settle(Ticket(f"r{number}", "acme"), 1)
        await at.settling.finish()
        assert sum(at.lost) == 700


async def test_an_end_with_nothing_to_settle_is_at_once(tmp_path: Path) -> None:
    async with desk(tmp_path, opened=False) as at:
        await asyncio.wait_for(at.settling.finish(), 0.5)
        assert sum(at.lost) == 0


async def test_no_more_wait_than_can_be_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "_MOST_WAITING", 2)
    async with desk(tmp_path) as at:
        tickets = [await at.admit(f"r{number}", BUDGET) for number in range(3)]
        for ticket in tickets:
            at.settle(ticket, 10)
        assert (at.lost, at.admission.open) == ([1], {"acme": {"r0", "r1"}})
        await at.settling.finish()
        assert await at.counted(tickets[0]) == [(20, 100)]


async def test_what_waits_for_a_store_that_is_away_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "_MOST_WAITING", 3)
    async with desk(tmp_path, opened=False) as at:
        for number in range(5):
            at.settle(Ticket(f"r{number}", "acme"), 1)
            await asyncio.sleep(0.01)
        assert sum(at.lost) == 2
        await at.store.open()
        await at.settling.finish()
        assert sorted(entry.id for entry in await at.ledger()) == ["r0", "r1", "r2"]
        at.settle(Ticket("r5", "acme"), 1)
        await at.settling.finish()
        assert sum(at.lost) == 2


async def test_what_an_outage_let_through_counts_in_the_share_for_ever_where_no_store_will_know_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "_MOST_WAITING", 0)
    async with desk(tmp_path, opened=False, on_store_outage="open") as at:
        limits = at.admission.limits(BUDGET, "gpt-4o", "", "main")
        at.standings.heard("acme", [standing(Ticket("", "acme", limits), 0, 0, 0)])
        at.settle(await at.admit("r1", BUDGET, 700), 600)
        assert at.lost == [1]
        assert not at.admission.outage.admits("acme", limits, [limits[0].hold(0, 401)])
        assert at.admission.outage.admits("acme", limits, [limits[0].hold(0, 400)])


async def test_charges_by_the_limits_units(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        ticket = await at.admit("r1", ALL)
    counters = [(limit.counter, limit.stretch.until) for limit in ticket.limits[:4]]

    def charged(*amounts: int) -> list[Charge]:
        return [Charge(name, amount, until) for (name, until), amount in zip(counters, amounts, strict=True)]

    def made(tokens: int | None, **known: Any) -> list[Charge]:
        return list(charges(ticket, entry_of(record(ticket, tokens, **known))))

    assert made(40) == charged(NANO // 25, 40, 1, 40)
    assert made(None) == charged(0, 0, 1, 0)
    assert made(40, state=State.ESTIMATED) == charged(NANO // 25, 40, 1, 40)
    assert made(40, cost=Cost()) == charged(0, 40, 1, 40)
    assert made(40, state=State.FREE) == charged(NANO // 25, 0, 1, 0)
    assert list(charges(Ticket("r2", "acme"), entry_of(record(ticket, 40)))) == []


def test_an_entry_holds_what_the_record_knows() -> None:
    own = replace(RECORD, user="ann", usage=Usage(3000, 100, cached=1000, reasoning=40, cache_written=7))
    entry = entry_of(own)
    assert (entry.id, entry.time, entry.team, entry.key, entry.user, entry.model, entry.upstream, entry.route) == (
        own.id, own.time.timestamp(), own.team, own.key, "ann", own.model, "main", own.route
    )  # fmt: skip
    assert (entry.state, entry.status, entry.error, entry.decision, entry.reason, entry.stream) == (
        State.SETTLED, 200, "", "applied", "relevance", True
    )  # fmt: skip
    assert (entry.input, entry.cached, entry.cache_written, entry.output, entry.reasoning) == (3000, 1000, 7, 100, 40)
    assert (entry.cost_nano, entry.saved_nano) == (400_000, -100_000)
    assert (entry.tokens_original, entry.tokens_forwarded) == (20_000, 3_000)
    assert (entry.total_ms, entry.first_byte_ms, entry.overhead_ms) == (900.0, 120.0, 51.5)


def test_an_entry_of_what_was_refused() -> None:
    entry = entry_of(replace(REFUSED, model=None, upstream=None))
    assert (entry.state, entry.status, entry.error) == (State.FREE, 400, "invalid_json")
    assert (entry.model, entry.upstream, entry.decision, entry.reason) == ("", "", "", "")
    assert (entry.input, entry.output, entry.cost_nano, entry.saved_nano) == (0, 0, None, None)


def test_only_a_window_that_was_made_in_shadow_is_in_the_entry_and_what_it_would_have_saved() -> None:
    cost = Cost(Decimal("0.004"), would_save_usd=Decimal("0.003"))
    shadow = replace(RECORD, decision=Decision.SHADOW, cost=cost)
    assert (entry_of(shadow).tokens_window, entry_of(shadow).would_save_nano) == (3_000, 3_000_000)
    assert entry_of(shadow).saved_nano is None
    for other in (RECORD, replace(shadow, reason=Reason.NO_SAVING, cost=Cost())):
        assert (entry_of(other).tokens_window, entry_of(other).would_save_nano) == (None, None)
