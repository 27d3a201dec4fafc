"""The operators' API of budgets: how far each is spent, and corrections of what nobody settled."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, model_validator

from gateway.api.admin import router
from gateway.api.operators import Access
from gateway.budgets.correcting import correct
from gateway.budgets.limits import Limit, Spender, Unit, limits_of
from gateway.budgets.periods import Calendar
from gateway.budgets.standing import described
from gateway.policies import Section, TeamPolicy
from gateway.pricing import NANO, PriceBook, priced
from gateway.store.contract import Standing, Store
from gateway.store.entries import Entry
from gateway.teams.roster import Roster, UnknownNameError
from gateway.usage import HUGE, Usage


class BudgetReply(BaseModel):
    """One limit, and how far it is spent."""

    limit: str = Field(description="the limit in words")
    counter: str = Field(description="the name under which it is counted, until it begins anew")
    unit: Unit
    most: float = Field(description="in US dollars, tokens or requests")
    spent: float
    reserved: float = Field(description="set aside for requests under way")
    used: float = Field(description="spent and reserved, as a share of the limit")
    begins_anew: datetime | None


class BudgetList(BaseModel):
    """A team's limits as they stand."""

    data: list[BudgetReply]


class Correction(Section):
    """What a request really used, as the upstream's bill says."""

    input: int = Field(ge=0, lt=HUGE, description="prompt tokens, cached ones and audio too")
    output: int = Field(ge=0, lt=HUGE, description="completion tokens, reasoning and audio too")
    cached: int = Field(0, ge=0, description="of input, read from a prompt cache")
    cache_written: int = Field(0, ge=0, description="of input, written to a prompt cache")
    audio_input: int = Field(0, ge=0, description="of input, audio")
    audio_output: int = Field(0, ge=0, description="of output, audio")

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.input + self.output >= HUGE:
            raise ValueError(f"expected input and output below {HUGE:,} tokens together")
        if self.cached + self.cache_written > self.input:
            raise ValueError("expected cached and cache_written to be parts of input")
        if self.audio_input > self.input or self.audio_output > self.output:
            raise ValueError("expected audio_input to be a part of input, audio_output one of output")
        return self

    @property
    def usage(self) -> Usage:
        """The same as an upstream would report it."""
        return Usage(
            self.input,
            self.output,
            cached=self.cached,
            cache_written=self.cache_written,
            audio_prompt=self.audio_input,
            audio_completion=self.audio_output,
        )


class Corrected(BaseModel):
    """Whether the correction was made; not so where somebody settled the request meanwhile."""

    applied: bool


def routes(store: Store, roster: Roster, prices: Callable[[], Mapping[str, PriceBook]], access: Access) -> APIRouter:
    """Return the routes."""
    found = router(access)

    @found.get("/teams/{name}/budgets", summary="How far a team's limits are spent", tags=["budgets"])
    async def budgets(
        name: str,
        key: Annotated[str, Query(description="a key's id, for budgets of each key")] = "",
        user: Annotated[str, Query(description="for budgets of each user")] = "",
        model: Annotated[str, Query(description="for budgets of each model")] = "",
    ) -> BudgetList:
        policy = (await roster.show_team(name)).policy
        spender = Spender(roster.counted_as(key), user, priced(prices(), model), model)
        limits = limits_of(policy, spender, Calendar(), time.time())
        standings = await store.standings(name, [limit.counter for limit in limits])
        return BudgetList(data=[_shown(*pair) for pair in zip(limits, standings, strict=True)])

    @found.post("/unsettled/{request_id}", summary="Say what an unsettled request used", tags=["budgets"])
    async def correction(request_id: str, used: Correction) -> Corrected:
        entry = await _unsettled(store, request_id)
        policy = await _policy(roster, entry.team)
        key = roster.counted_as(entry.key)
        return Corrected(applied=(await correct(store, prices(), policy, entry, used.usage, key)).applied)

    return found


async def _policy(roster: Roster, team: str) -> TeamPolicy:
    try:
        return (await roster.show_team(team)).policy
    except UnknownNameError:
        return TeamPolicy()  # removed since: there is no budget left on which the request could count


async def _unsettled(store: Store, request_id: str) -> Entry:
    for entry in await store.unsettled():
        if entry.id == request_id:
            return entry
    raise UnknownNameError(f"There is no unsettled request {request_id}.")


def _shown(limit: Limit, standing: Standing) -> BudgetReply:
    scale = NANO if limit.unit is Unit.USD else 1
    until = limit.stretch.until
    return BudgetReply(
        limit=described(limit),
        counter=limit.counter,
        unit=limit.unit,
        most=limit.most / scale,
        spent=standing.spent / scale,
        reserved=standing.reserved / scale,
        used=(standing.spent + standing.reserved) / limit.most if limit.most else 1.0,
        begins_anew=None if until is None else datetime.fromtimestamp(until, UTC),
    )
