"""The operators' API of upstreams and models: how they do, what they cost and how that is known."""

import time
from collections.abc import Callable
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from gateway.api.admin import router
from gateway.api.operators import Access
from gateway.pricing import Rates
from gateway.serving import Serving
from gateway.store.contract import Store
from gateway.store.entries import Group, Span
from gateway.traffic import Traffic
from gateway.upstreams.breaker import Health
from gateway.upstreams.candidates import Candidate, Candidates

_WEEK_S = 7 * 86_400
_MOST_USED = 20


class HeadTimes(BaseModel):
    """From a request sent to its reply's head, over the latest 500; null where there was none."""

    p50: float | None
    p95: float | None


class UpstreamReply(BaseModel):
    """An upstream, as this worker sees it; counts are of its attempts since it started."""

    name: str
    base_url: str
    health: Health = Field(description="open: it failed so often that it is left alone; half_open: one may try")
    busy: int = Field(description="requests under way")
    weight: float
    answered: int
    rate_limited: int = Field(description="429")
    failed: int = Field(description="500 and above")
    too_long: int = Field(description="the prompt was too long for the model, so that a fallback was tried")
    not_connected: int
    broken: int = Field(description="the connection broke before a reply")
    timed_out: int
    head_ms: HeadTimes


class UpstreamList(BaseModel):
    """Upstreams in the configuration's order."""

    data: list[UpstreamReply]


class Price(BaseModel):
    """US dollars for a million tokens of each kind."""

    input: float
    output: float
    cached_input: float
    cache_write: float


class ModelReply(BaseModel):
    """Where a model is served and what it costs."""

    name: str = Field(description='"*" stands for all that the configuration does not name')
    upstreams: list[str]
    fallbacks: list[str] = Field(description='"upstream", or "upstream: model" where another is asked for')
    price: Price | None = Field(description="null: not known, so that its requests have no cost")
    price_source: Literal["configuration", "list"] | None
    canonical: str | None = Field(description="the name under which it is priced, the same for its aliases and dates")


class ModelList(BaseModel):
    """Models of the configuration, then those that were used most in the last 7 days."""

    data: list[ModelReply]


def routes(
    serving: Callable[[], Serving],
    traffic: Traffic,
    store: Store,
    access: Access,
    clock: Callable[[], float] = time.time,
) -> APIRouter:
    """Return the routes; `serving` is what requests are served with at this moment."""
    found = router(access)

    @found.get("/upstreams", summary="How upstreams do", tags=["upstreams"])
    async def upstreams() -> UpstreamList:
        now = serving()
        return UpstreamList(data=[_upstream(now, name, traffic) for name in now.upstreams])

    @found.get("/models", summary="Where models are served, and their prices", tags=["upstreams"])
    async def models() -> ModelList:
        now, known = serving(), Candidates(serving().settings)
        names = dict.fromkeys((*now.settings.models, *await _used(store, clock())))
        return ModelList(data=[_model(now, known, name) for name in names])

    return found


async def _used(store: Store, now: float) -> list[str]:
    rows = await store.usage(Span(now - _WEEK_S, now + 1), (Group.MODEL,))
    most = sorted(rows, key=lambda row: (-row.requests, row.group))
    return [row.group[0] for row in most if row.group[0]][:_MOST_USED]


def _upstream(now: Serving, name: str, traffic: Traffic) -> UpstreamReply:
    upstream, seen = now.upstreams[name], traffic.of(name)
    return UpstreamReply(
        name=name,
        base_url=upstream.settings.base_url,  # which has no place for a secret: no user, no query
        health=now.attempts.breakers[name].health,
        busy=upstream.busy,
        weight=upstream.settings.weight,
        head_ms=HeadTimes(p50=seen.head_ms(0.5), p95=seen.head_ms(0.95)),
        **{outcome.value: count for outcome, count in seen.outcomes.items()},
    )


def _model(now: Serving, known: Candidates, name: str) -> ModelReply:
    served = known.of(name)
    book = now.prices[served.upstreams[0].upstream]
    rates = book.rates(name)
    return ModelReply(
        name=name,
        upstreams=[candidate.upstream for candidate in served.upstreams],
        fallbacks=[_said(candidate) for candidate in served.fallbacks],
        price=_price(rates) if rates else None,
        price_source=rates.source if rates else None,
        canonical=book.canonical(name),
    )


def _price(rates: Rates) -> Price:
    return Price(
        input=float(rates.input),
        output=float(rates.output),
        cached_input=float(rates.cached_input),
        cache_write=float(rates.cache_write),
    )


def _said(candidate: Candidate) -> str:
    return candidate.upstream if candidate.model is None else f"{candidate.upstream}: {candidate.model}"
