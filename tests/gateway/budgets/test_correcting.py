from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from gateway.budgets.admission import Ticket
from gateway.budgets.correcting import correct
from gateway.policies import TeamPolicy
from gateway.pricing import NANO, PriceBook
from gateway.store.contract import Settled
from gateway.store.entries import Entry, State
from gateway.teams.keys import Caller
from gateway.usage import Usage
from tests.gateway.budgets.desks import MODEL, PRICES, Desk, caller, desk

TOKENS = {"tokens": 10_000, "period": "day"}
DAY_S = 86_400
USED = Usage(1000, 200, cached=400)
NANO_USED = PRICES["main"].cost_nano(MODEL, USED) or 0


async def lapsed(at: Desk, who: Caller, identity: str = "r1", model: str = MODEL) -> tuple[Ticket, Entry]:
    """Let a request that can use 5,000 tokens, for five dollars, be forgotten by its process."""
    application = at.application(identity, who, 5000, model)
    entry = msgspec.structs.replace(application.entry, upstream="main")
    ticket = await at.admission.admit(replace(application, entry=entry))
    await at.store.expire(at.clock.now + 61)
    (entry,) = [one for one in await at.store.unsettled() if one.id == identity]
    return ticket, entry


async def corrected(at: Desk, entry: Entry, policy: TeamPolicy, usage: Usage = USED) -> Settled:
    return await correct(at.store, PRICES, policy, entry, usage)


async def test_the_worst_case_gives_way_to_what_was_used(tmp_path: Path) -> None:
    who = caller(
        budget=[{"usd": 100, "period": "month"}, TOKENS],
        limits={"requests_per_minute": 9, "tokens_per_minute": 9000, "concurrent": 9},
    )
    async with desk(tmp_path) as at:
        ticket, entry = await lapsed(at, who)
        assert await at.counted(ticket) == [(5 * NANO, 0), (5000, 0), (1, 0), (5000, 0), (0, 0)]
        assert (await corrected(at, entry, who.policy)).applied
        assert 0 < NANO_USED < 5 * NANO
        assert await at.counted(ticket) == [(NANO_USED, 0), (1200, 0), (1, 0), (1200, 0), (0, 0)]
        assert await at.store.unsettled() == ()
        (known,) = await at.ledger()
        assert (known.state, known.input, known.cached, known.output) == (State.CORRECTED, 1000, 400, 200)
        assert (known.cost_nano, known.user, known.key) == (NANO_USED, "ann", "key_1")


async def test_a_second_word_changes_nothing(tmp_path: Path) -> None:
    who = caller(budget=TOKENS)
    async with desk(tmp_path) as at:
        ticket, entry = await lapsed(at, who)
        await corrected(at, entry, who.policy)
        assert not (await corrected(at, entry, who.policy, Usage(1, 1))).applied
        assert await at.counted(ticket) == [(1200, 0)]
        assert [known.input for known in await at.ledger()] == [1000]


async def test_the_process_that_was_thought_dead_has_the_first_word(tmp_path: Path) -> None:
    who = caller(budget=TOKENS)
    async with desk(tmp_path) as at:
        ticket, entry = await lapsed(at, who)
        at.settle(ticket, 300)
        await at.settling.finish()
        assert not (await corrected(at, entry, who.policy)).applied
        assert await at.counted(ticket) == [(300, 0)]
        assert [known.state for known in await at.ledger()] == [State.SETTLED]


@pytest.mark.parametrize("per", ["key", "user", "model"])
@pytest.mark.parametrize("limit", [{"tokens": 10_000}, {"usd": 100}])
async def test_a_budget_of_each_one(tmp_path: Path, per: str, limit: dict[str, Any]) -> None:
    who = caller(budget={**limit, "period": "day", "per": per})
    async with desk(tmp_path) as at:
        ticket, entry = await lapsed(at, who)
        await corrected(at, entry, who.policy)
        assert await at.counted(ticket) == [(1200 if "tokens" in limit else NANO_USED, 0)]


@pytest.mark.parametrize("models", [["gpt-4o"], [MODEL]])
async def test_a_budget_for_a_model_by_either_of_its_names(tmp_path: Path, models: list[str]) -> None:
    who = caller(budget={**TOKENS, "models": models})
    async with desk(tmp_path) as at:
        ticket, entry = await lapsed(at, who)
        await corrected(at, entry, who.policy)
        assert await at.counted(ticket) == [(1200, 0)]


async def test_a_later_correction_counts_in_the_period_of_the_request(tmp_path: Path) -> None:
    who = caller(budget=TOKENS)
    async with desk(tmp_path) as at:
        ticket, entry = await lapsed(at, who)
        at.clock.now += DAY_S
        today = await at.admit("r2", who, 10)
        await corrected(at, entry, who.policy)
        assert await at.counted(ticket) == [(1200, 0)]
        assert await at.counted(today) == [(0, 10)]


async def test_a_budget_that_is_gone_since_keeps_nothing_of_it(tmp_path: Path) -> None:
    before, since = caller(budget=TOKENS), caller(budget={"tokens": 9, "period": "month"})
    async with desk(tmp_path) as at:
        ticket, entry = await lapsed(at, before)
        settled = await corrected(at, entry, since.policy)
        assert await at.counted(ticket) == [(0, 0)]
        assert [standing.spent for standing in settled.standings] == [1200]


async def test_of_a_model_without_a_price_tokens_count_alone(tmp_path: Path) -> None:
    who = caller(budget=TOKENS)
    async with desk(tmp_path) as at:
        ticket, entry = await lapsed(at, who, model="home-made")
        await corrected(at, entry, who.policy)
        assert await at.counted(ticket) == [(1200, 0)]
        assert [known.cost_nano for known in await at.ledger()] == [None]


async def test_what_was_written_to_a_cache_is_kept_and_priced_by_the_time_of_the_request(tmp_path: Path) -> None:
    model, peak = "deepseek-v4-pro", datetime(2026, 11, 23, 2, 0, tzinfo=UTC).timestamp()
    used = Usage(1000, 200, cached=400, cache_written=300)
    prices = {"main": PriceBook("https://api.deepseek.com/v1", clock=lambda: peak + DAY_S / 2)}
    async with desk(tmp_path) as at:
        _, entry = await lapsed(at, caller(budget=TOKENS), model=model)
        settled = await correct(at.store, prices, TeamPolicy(), replace(entry, time=peak), used)
        (known,) = await at.ledger()
    assert settled.applied
    assert (known.cached, known.cache_written) == (400, 300)
    assert known.cost_nano == prices["main"].cost_nano(model, used, peak) != prices["main"].cost_nano(model, used)
