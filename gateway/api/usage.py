"""The operators' API of the ledger: sums, and what nobody settled."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from gateway.api.admin import router
from gateway.api.operators import Access
from gateway.errors import InvalidRequestError
from gateway.pricing import usd_text
from gateway.reporting.gather import Scope, groups_of, tabled
from gateway.reporting.periods import FORMS, PeriodError, iso, span_of
from gateway.reporting.render import to_csv, to_plain
from gateway.reporting.rows import Table
from gateway.store.contract import Store
from gateway.store.entries import Entry, Group, Span

_FORMATS = ("json", "csv")
# Sums at the same time: of many groups they take seconds and memory, in threads that long requests need too.
_TOGETHER = 2
_USD = "in US dollars, exact, as text"


class Figures(BaseModel):
    """Sums over requests; what is not known is null."""

    requests: int
    windowed: int = Field(description="of which a window was forwarded")
    tokens_original: int = Field(description="prompts as they came, where they were counted")
    tokens_forwarded: int = Field(description="the same prompts as they were forwarded")
    tokens_saved: int
    effective_tokens: float | None = Field(description="forwarded / original; null where nothing was windowed")
    input: int = Field(description="prompt tokens, cached ones too, as the upstream reported them")
    cached: int = Field(description="of these, read from a prompt cache")
    cache_written: int = Field(description="of these, written to a prompt cache")
    output: int = Field(description="completion tokens, reasoning too")
    reasoning: int = Field(description="of these, not shown to the caller")
    cost_usd: str | None = Field(description=f"{_USD}; null where no request has a known cost")
    unpriced: int = Field(description="requests of unknown cost, in neither sum of money")
    saved_usd: str | None = Field(description=f"net of lost cache discounts and the gateway's own cost; {_USD}")
    mean_total_ms: float | None
    mean_overhead_ms: float | None = Field(description="the gateway's own time before the upstream was asked")
    mean_first_byte_ms: float | None
    slowest_ms: float
    refused: int = Field(description="answered with 429")
    failed: int = Field(description="answered with 500 and above")
    estimated: int = Field(description="whose usage is an estimate, since the upstream's own never came")
    unsettled: int = Field(description="whose gateway died; they count as the most they can have been")
    shadowed: int = Field(description="of which a window was made in shadow; the original was forwarded")
    tokens_shadowed: int = Field(description="prompts of these as they came")
    tokens_window: int = Field(description="what their windows had of that")
    tokens_would_save: int = Field(description="the difference, of which nothing was saved")
    would_save_share: float | None = Field(description="that difference / original; null where there are none")
    would_save_usd: str | None = Field(
        description=f"what these windows would have saved net; nothing of it was saved; {_USD}"
    )
    shadow_unpriced: int = Field(description="windows in shadow that are not in this sum of money")


class UsageRow(Figures):
    """Sums over the requests that share these values."""

    group: dict[Group, str]


class UsageReply(BaseModel):
    """Sums by groups, and over all."""

    from_: datetime = Field(alias="from")
    to: datetime
    team: str | None
    group_by: list[Group]
    others: int = Field(description="groups that are in no row, since there are more than `top`; 0: all have one")
    rows: list[UsageRow]
    rest: Figures | None = Field(description="the sums of these others; null where there are none")
    total: Figures


class UnsettledEntry(BaseModel):
    """A request that nobody settled, with the most it can have been."""

    id: str
    time: datetime
    team: str
    key: str
    user: str
    model: str
    upstream: str
    route: str
    input: int
    output: int
    cost_usd: str | None = Field(description=f"{_USD}; null where the model's price is unknown")


class UnsettledReply(BaseModel):
    """Requests whose gateway died before it could settle them, oldest first."""

    data: list[UnsettledEntry]


_Groups = Annotated[
    str, Query(description=f"some of {', '.join(Group)}, with commas between; none: the total alone", examples=["team"])
]
_From = Annotated[str | None, Query(alias="from", description=f"{FORMS}; 30 days ago by default")]
_To = Annotated[str | None, Query(description=f"{FORMS}; a day named here is part of it; now by default")]
_Team = Annotated[str | None, Query(description="this team's requests alone")]
_Format = Annotated[str, Query(alias="format", json_schema_extra={"enum": list(_FORMATS)})]
_Top = Annotated[
    int | None, Query(ge=1, le=10_000, description="of more groups than that, those with the highest cost; in JSON")
]
_CSV: dict[int | str, dict[str, object]] = {
    200: {"model": UsageReply, "content": {"text/csv": {"schema": {"type": "string"}}}}
}


def routes(store: Store, access: Access, clock: Callable[[], float] = time.time) -> APIRouter:
    """Return the routes, for whom `access` lets in."""
    found = router(access)
    turns = asyncio.Semaphore(_TOGETHER)

    @found.get("/usage", summary="Sums over the ledger", tags=["usage"], responses=_CSV)
    async def usage(  # noqa: PLR0913, PLR0917 - the query's parameters
        group_by: _Groups = "",
        since: _From = None,
        to: _To = None,
        team: _Team = None,
        shape: _Format = "json",
        top: _Top = None,
    ) -> Response:
        scope = replace(_scope(group_by, since, to, team, clock()), most=top)
        if shape not in _FORMATS:
            raise InvalidRequestError(f"format: {shape!r}: expected json or csv", "format")
        if shape == "csv" and top is not None:
            raise InvalidRequestError("top: expected it with JSON alone: CSV has all groups", "top")
        async with turns:
            return await asyncio.to_thread(_reply, await tabled(store, scope), scope, shape)

    @found.get("/unsettled", summary="Requests that nobody settled", tags=["usage"])
    async def unsettled(team: _Team = None) -> UnsettledReply:
        return UnsettledReply(data=_unsettled(await store.unsettled(team)))

    return found


def _scope(group_by: str, since: str | None, to: str | None, team: str | None, now: float) -> Scope:
    try:
        groups = groups_of(group_by)
    except ValueError as error:
        raise InvalidRequestError(f"group_by: {error}", "group_by") from None
    return Scope(asked_span(since, to, now), groups, team)


def asked_span(since: str | None, to: str | None, now: float) -> Span:
    """Return the time that a caller asks for; raise InvalidRequestError where it names none."""
    try:
        return span_of(since, to, datetime.fromtimestamp(now, UTC))
    except PeriodError as error:
        raise InvalidRequestError(f"{error.field}: {error}", error.field) from None


def _reply(table: Table, scope: Scope, shape: str) -> Response:
    if shape == "json":
        return Response(orjson.dumps(to_plain(table, scope)), media_type="application/json")
    return Response(to_csv(table), media_type="text/csv", headers=_attached(scope))


def _attached(scope: Scope) -> dict[str, str]:
    first, last = iso(scope.span.since)[:10], iso(scope.span.until - 1)[:10]  # up to midnight is without that day
    return {"content-disposition": f'attachment; filename="usage-{first}-{last}.csv"'}


def _unsettled(entries: Sequence[Entry]) -> list[UnsettledEntry]:
    return [
        UnsettledEntry(
            id=entry.id,
            time=datetime.fromtimestamp(entry.time, UTC),
            team=entry.team,
            key=entry.key,
            user=entry.user,
            model=entry.model,
            upstream=entry.upstream,
            route=entry.route,
            input=entry.input,
            output=entry.output,
            cost_usd=usd_text(entry.cost_nano),
        )
        for entry in entries
    ]
