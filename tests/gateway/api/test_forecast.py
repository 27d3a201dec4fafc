from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.api import forecast
from gateway.budgets.limits import Spender, limits_of
from gateway.budgets.periods import Calendar
from gateway.policies import TeamPolicy
from gateway.pricing import NANO, PriceBook
from gateway.store.contract import Charge, Settlement
from gateway.store.entries import Entry
from gateway.store.sqlite import SqliteStore
from gateway.teams.roster import Roster
from tests.gateway.api.operating import ACCESS, HERE, READER, app_of
from tests.gateway.asgi import Call
from tests.gateway.budgets.desks import settings

HOUR = 3600.0
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
PRICES = {"main": PriceBook("https://api.openai.com/v1")}


class Office:
    """An operator before a team that has a policy and spends."""

    def __init__(self, store: SqliteStore, policy: dict[str, Any]) -> None:
        self.store, self.policy = store, TeamPolicy.model_validate(policy)
        roster = Roster(settings(teams={"acme": policy}), store)
        self.app = app_of(forecast.routes(store, roster, lambda: PRICES, ACCESS, lambda: NOW))

    async def spend(self, usd: float, tokens: int, ago_h: float, user: str = "", model: str = "gpt-4o") -> None:
        """Let a request of that time be charged on what is in force then, and written to the ledger."""
        at = NOW - ago_h * HOUR
        entry = Entry(
            id=f"r{ago_h}-{user}-{model}", time=at, team="acme", key="k", user=user, model=model, input=tokens,
            cost_nano=int(usd * NANO),
        )  # fmt: skip
        limits = limits_of(self.policy, Spender("k", user, model, model), Calendar(), at)
        charges = tuple(Charge(own.counter, own.amount(int(usd * NANO), tokens), own.stretch.until) for own in limits)
        await self.store.settle(Settlement(entry.id, "acme", charges, entry))

    async def ask(self, query: str = "", team: str = "acme") -> Call:
        return await Call("GET", f"/admin/v1/forecast/{team}{query}", b"", HERE, READER).to(self.app)

    async def told(self, query: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.ask(query)).json()["data"]
        return found


@asynccontextmanager
async def office(folder: Path, *budgets: dict[str, Any], **policy: Any) -> AsyncIterator[Office]:
    store = SqliteStore(folder / "gateway.db", "process")
    await store.open()
    yield Office(store, {"budget": list(budgets), **policy})
    await store.close()


async def test_a_budget_runs_out_at_the_rate_of_the_last_day(tmp_path: Path) -> None:
    async with office(tmp_path, {"usd": 10, "period": "month"}) as own:
        await own.spend(5.0, 10, ago_h=100)  # of this month, and of no rate
        await own.spend(1.2, 10, ago_h=20)
        await own.spend(1.2, 10, ago_h=2)
        (found,) = await own.told()
    assert found["limit"] == "the $10.00 a month"
    assert (found["unit"], found["most"], found["spent"]) == ("usd", 10.0, 7.4)
    assert found["rate_per_hour"] == pytest.approx(0.1)
    assert found["runs_out_at"] == "2026-11-25T14:00:00Z"
    assert found["begins_anew"] == "2026-12-01T00:00:00Z"


async def test_where_the_period_began_since_its_begin_counts(tmp_path: Path) -> None:
    async with office(tmp_path, {"tokens": 4800, "period": "day"}) as own:
        await own.spend(0, 9000, ago_h=13)  # yesterday
        await own.spend(0, 2400, ago_h=6)
        (found,) = await own.told()
    assert (found["unit"], found["spent"], found["rate_per_hour"]) == ("tokens", 2400, 200)
    assert found["runs_out_at"] is None  # not before midnight


@pytest.mark.parametrize("period, until", [("total", None), ("month", "2026-12-01T00:00:00Z")])
async def test_nothing_spent_lasts_and_all_spent_is_over(tmp_path: Path, period: str, until: str | None) -> None:
    async with office(tmp_path, {"usd": 2, "period": period}) as own:
        (before,) = await own.told()
        await own.spend(2, 10, ago_h=30)
        (after,) = await own.told()
    assert (before["rate_per_hour"], before["runs_out_at"], before["begins_anew"]) == (0, None, until)
    assert (after["rate_per_hour"], after["runs_out_at"]) == (0, "2026-11-24T12:00:00Z")


async def test_budgets_of_each_user_and_of_some_models_count_what_is_theirs(tmp_path: Path) -> None:
    budgets = ({"usd": 9, "per": "user"}, {"usd": 8, "models": ["gpt-4o-mini"]}, {"usd": 7, "per": "model"})
    async with office(tmp_path, *budgets) as own:
        await own.spend(2.4, 10, ago_h=20, user="ann")
        await own.spend(1.2, 10, ago_h=10, user="bob", model="gpt-4o-mini")
        rates = [found["rate_per_hour"] for found in await own.told("?user=ann&model=gpt-4o-mini")]
        others = [found["rate_per_hour"] for found in await own.told("?user=bob&model=gpt-4o")]
    assert rates == pytest.approx([0.1, 0.05, 0.05])
    assert others == pytest.approx([0.05, 0.1])  # the budget of another model is none of its


async def test_rates_are_no_budgets_and_unknown_teams_are_unknown(tmp_path: Path) -> None:
    async with office(tmp_path, limits={"requests_per_minute": 5, "concurrent": 3}) as own:
        assert await own.told() == []
        assert (await own.ask(team="nobody")).status == 404
