"""The operators' API of single requests: the latest ones, and one with its receipt."""

import base64
import binascii
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from fastapi import APIRouter
from fastapi import Query as Param
from pydantic import BaseModel, Field

from gateway.api.admin import router
from gateway.api.operators import Access
from gateway.api.usage import asked_span
from gateway.errors import InvalidRequestError
from gateway.pricing import usd_text
from gateway.reporting.periods import FORMS
from gateway.store.contract import Store
from gateway.store.entries import Entry, Span, State
from gateway.store.queries import Place, Query
from gateway.store.receipts import Receipt, SpanKind
from gateway.teams.roster import UnknownNameError

_MOST = 500
_LONGEST = 1000  # characters of what is searched for: each entry is compared with it
_LONGEST_CURSOR = 4000
_USD = "in US dollars, exact, as text"
_STATUS = re.compile(r"([1-5])([0-9]{2}|xx)")
# The gateway's own ids begin with their millisecond, as trace.py makes them.
_OWN_ID = re.compile(r"req-([0-9a-f]{12})[0-9a-f]{20}")
_AROUND_S = 2.0  # between an id and the time of arrival, which are taken one after the other
_EVER = Span(0.0, 1e11)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Place).decode


class RequestEntry(BaseModel):
    """A request, as the ledger knows it."""

    id: str
    time: datetime = Field(description="of arrival")
    team: str
    key: str
    user: str
    model: str
    upstream: str
    route: str
    state: State = Field(description="how its usage is known")
    status: int
    error: str
    decision: str
    reason: str
    stream: bool
    tokens_original: int | None
    tokens_forwarded: int | None
    input: int
    cached: int
    cache_written: int
    output: int
    reasoning: int
    cost_usd: str | None = Field(description=f"{_USD}; null where it is not known")
    saved_usd: str | None = Field(description=f"net of lost cache discounts and the gateway's own cost; {_USD}")
    total_ms: float
    first_byte_ms: float | None
    overhead_ms: float
    tokens_window: int | None = Field(description="of a window made in shadow; the original was forwarded")
    would_save_usd: str | None = Field(description=f"what that window would have saved net; nothing was saved; {_USD}")

    @classmethod
    def of(cls, entry: Entry) -> "RequestEntry":
        """Return the entry as it is shown."""
        known = msgspec.structs.asdict(entry)
        known |= {"time": datetime.fromtimestamp(entry.time, UTC)}
        money = {"cost_usd": entry.cost_nano, "saved_usd": entry.saved_nano, "would_save_usd": entry.would_save_nano}
        return cls(**known, **{name: usd_text(nano) for name, nano in money.items()})


class RequestPage(BaseModel):
    """Requests, newest first."""

    data: list[RequestEntry]
    next: str | None = Field(
        description="what `before` is for the next page; null: there is none. Only so many requests are looked at for "
        "a page: it can have fewer than `limit`, or none, and yet be followed by another"
    )


class ReceiptSpan(BaseModel):
    """A stretch of the request, in the order in which they stand in it."""

    kind: SpanKind
    tokens: int
    score: float | None
    kept: bool


class Stage(BaseModel):
    """How long one stage took."""

    name: str
    ms: float


class ReceiptReply(BaseModel):
    """What was made of a request, beyond what the ledger says."""

    question: str = Field(description='what windowing took for the question; "" without logging.prompts')
    spans: list[ReceiptSpan] = Field(description="empty where no window was made")
    stages: list[Stage]
    forwarded_body: str = Field(description='"" without logging.prompts')
    model_served: str = Field(description="instead of the one that was asked for, where that failed")
    attempts: list[str] = Field(description="each upstream that was tried, and how that ended")
    confidence: float | None
    overhead_ms: float

    @classmethod
    def of(cls, receipt: Receipt) -> "ReceiptReply":
        """Return the receipt as it is shown."""
        return cls(
            question=receipt.question,
            spans=[ReceiptSpan(**span._asdict()) for span in receipt.spans],
            stages=[Stage(name=name, ms=ms) for name, ms in receipt.stages],
            forwarded_body=receipt.forwarded_body,
            model_served=receipt.model_served,
            attempts=list(receipt.attempts),
            confidence=receipt.confidence,
            overhead_ms=receipt.overhead_ms,
        )


class RequestReply(BaseModel):
    """One request."""

    entry: RequestEntry
    receipt: ReceiptReply | None = Field(description="null: none was kept, or it is no more")


_Wanted = Annotated[str | None, Field(max_length=_LONGEST)]


class Filters(BaseModel):
    """Which requests are asked for; what is not named may have any value."""

    since: str | None = Field(None, alias="from", description=f"{FORMS}; 30 days ago by default")
    to: str | None = Field(None, description=f"{FORMS}; a day named here is part of it; now by default")
    team: _Wanted = None
    key: _Wanted = None
    user: _Wanted = None
    model: _Wanted = None
    reason: _Wanted = None
    decision: _Wanted = None
    state: State | None = None
    status: str | None = Field(None, description="such as 429, 4xx or 5xx")
    q: str = Field(
        "", max_length=_LONGEST, description="what an id begins with, or what is in a user's or model's name"
    )


def routes(store: Store, access: Access, clock: Callable[[], float] = time.time) -> APIRouter:
    """Return the routes, for whom `access` lets in."""
    found = router(access)

    @found.get("/requests", summary="The latest requests", tags=["requests"])
    async def latest(
        asked: Annotated[Filters, Param()],
        limit: Annotated[int, Param(ge=1, le=_MOST)] = 50,
        before: Annotated[
            str | None, Param(max_length=_LONGEST_CURSOR, description="`next` of the page before")
        ] = None,
    ) -> RequestPage:
        page = await store.latest(_query(asked, clock()), _place(before), limit)
        return RequestPage(data=[RequestEntry.of(entry) for entry in page.entries], next=_cursor(page.then))

    @found.get("/requests/{request_id}", summary="One request, with its receipt", tags=["requests"])
    async def one(request_id: str) -> RequestReply:
        entry = await _found(store, request_id)
        receipt = await store.receipt(entry.team, entry.id)
        return RequestReply(entry=RequestEntry.of(entry), receipt=ReceiptReply.of(receipt) if receipt else None)

    return found


def _query(asked: Filters, now: float) -> Query:
    span = asked_span(asked.since, asked.to, now)
    return Query(
        since=span.since,
        until=span.until,
        team=asked.team,
        key=asked.key,
        user=asked.user,
        model=asked.model,
        reason=asked.reason,
        decision=asked.decision,
        state=asked.state,
        status=_statuses(asked.status),
        text=asked.q,
    )


def _statuses(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = _STATUS.fullmatch(text)
    if found is None:
        raise InvalidRequestError(f"status: {text!r}: expected a status such as 429, or 4xx, 5xx", "status")
    first, rest = found.groups()
    return (int(f"{first}00"), int(f"{first}99")) if rest == "xx" else (int(text), int(text))


def _cursor(place: Place | None) -> str | None:
    return None if place is None else base64.urlsafe_b64encode(_encode(place)).decode().rstrip("=")


def _place(cursor: str | None) -> Place | None:
    if cursor is None:
        return None
    try:
        return _decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        raise InvalidRequestError("before: expected what `next` of another page was", "before") from None


async def _found(store: Store, id_: str) -> Entry:
    entry = await store.find(id_, span) if (span := _span_of(id_)) else None
    entry = entry or await store.find(id_, _EVER)
    if entry is None:
        raise UnknownNameError(f"There is no request {id_} in the ledger.")
    return entry


def _span_of(id_: str) -> Span | None:
    """Return when a request of that id can have come; None where the id does not say."""
    own = _OWN_ID.fullmatch(id_)
    if own is None:
        return None
    moment = int(own[1], 16) / 1000
    return Span(moment - _AROUND_S, moment + _AROUND_S)
