"""The operators' API of budgets to come: when each runs out, at the rate of the last day."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from gateway.api.admin import router
from gateway.api.operators import Access
from gateway.budgets.limits import Limit, Spender, Unit, limits_of
from gateway.budgets.periods import Calendar
from gateway.budgets.standing import described
from gateway.policies import BudgetSettings
from gateway.pricing import NANO, PriceBook, priced
from gateway.store.contract import Standing, Store
from gateway.store.entries import Group, Span, Usages
from gateway.teams.roster import Roster

_DAY_S = 86_400.0
_SHORTEST_S = 60.0  # a period that has only begun says nothing of a rate
_FURTHEST_S = 3660 * _DAY_S
_PER = {"key": Group.KEY, "user": Group.USER, "model": Group.MODEL}


class Forecast(BaseModel):
    """A budget, and when it runs out."""

    limit: str = Field(description="the limit in words")
    counter: str = Field(description="the name under which it is counted, until it begins anew")
    unit: Unit
    most: float = Field(description="in US dollars or tokens")
    spent: float
    rate_per_hour: float = Field(description="over the last 24 hours, or since the period began, by the ledger")
    begins_anew: datetime | None
    runs_out_at: datetime | None = Field(description="null: not before it begins anew, or not in ten years")


class ForecastList(BaseModel):
    """A team's budgets."""

    data: list[Forecast]


def routes(
    store: Store,
    roster: Roster,
    prices: Callable[[], Mapping[str, PriceBook]],
    access: Access,
    clock: Callable[[], float] = time.time,
) -> APIRouter:
    """Return the routes."""
    found = router(access)

    @found.get("/forecast/{team}", summary="When a team's budgets run out", tags=["budgets"])
    async def forecast(
        team: str,
        key: Annotated[str, Query(description="a key's id, for budgets of each key")] = "",
        user: Annotated[str, Query(description="for budgets of each user")] = "",
        model: Annotated[str, Query(description="for budgets of each model")] = "",
    ) -> ForecastList:
        policy, now = (await roster.show_team(team)).policy, clock()
        spender = Spender(roster.counted_as(key), user, priced(prices(), model), model)
        limits = [limit for limit in limits_of(policy, spender, Calendar(), now) if limit.budget is not None]
        standings = await store.standings(team, [limit.counter for limit in limits])
        ledger = _Ledger(store, roster, prices(), team, spender, now)
        pairs = zip(limits, standings, strict=True)
        return ForecastList(data=[_shown(*pair, await ledger.rate(pair[0]), now) for pair in pairs])

    return found


class _Ledger:
    """What a team has spent lately, on what a budget counts."""

    def __init__(  # noqa: PLR0913, PLR0917 - each of them is another's
        self, store: Store, roster: Roster, prices: Mapping[str, PriceBook], team: str, spender: Spender, now: float
    ) -> None:
        self._store = store
        self._roster = roster
        self._prices = prices
        self._team = team
        self._spender = spender
        self._now = now

    async def rate(self, limit: Limit) -> float:
        """Return what is spent in an hour, in the counter's unit."""
        since = max(limit.stretch.start, self._now - _DAY_S)
        groups = _groups(limit.budget)
        rows = await self._store.usage(Span(since, self._now + 1), groups, self._team)
        amounts = (
            limit.amount(row.cost_nano, row.input + row.output)
            for row in rows
            if self._counts(limit.budget, groups, row)
        )
        return sum(amounts) * 3600 / max(self._now - since, _SHORTEST_S)

    def _counts(self, budget: BudgetSettings | None, groups: tuple[Group, ...], row: Usages) -> bool:
        values = dict(zip(groups, row.group, strict=True))
        model = values.get(Group.MODEL, "")
        names = {model, priced(self._prices, model)}
        if budget is None or (budget.models and names.isdisjoint(budget.models)):
            return False
        wanted = {"key": self._spender.key, "user": self._spender.user, "model": self._spender.model}
        if budget.per == "model":
            return wanted["model"] in names
        if budget.per == "key":
            return self._roster.counted_as(values[Group.KEY]) == wanted["key"]
        return budget.per == "team" or values[_PER[budget.per]] == wanted[budget.per]


def _groups(budget: BudgetSettings | None) -> tuple[Group, ...]:
    if budget is None:
        return ()
    per = {_PER[budget.per]} if budget.per in _PER else set()
    return tuple(per | ({Group.MODEL} if budget.models else set()))


def _shown(limit: Limit, standing: Standing, rate: float, now: float) -> Forecast:
    scale, until = (NANO if limit.unit is Unit.USD else 1), limit.stretch.until
    return Forecast(
        limit=described(limit),
        counter=limit.counter,
        unit=limit.unit,
        most=limit.most / scale,
        spent=standing.spent / scale,
        rate_per_hour=rate / scale,
        begins_anew=None if until is None else datetime.fromtimestamp(until, UTC),
        runs_out_at=_end(limit.most - standing.spent, rate, until, now),
    )


def _end(left: int, rate: float, until: float | None, now: float) -> datetime | None:
    if left <= 0:
        return datetime.fromtimestamp(now, UTC)
    wait = left / rate * 3600 if rate > 0 else _FURTHEST_S
    at = now + wait
    if wait >= _FURTHEST_S or (until is not None and at >= until):
        return None
    return datetime.fromtimestamp(at, UTC)
