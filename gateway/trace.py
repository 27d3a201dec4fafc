"""What is known of a request while it is under way; a record is made of it at the end, however early that comes."""

import asyncio
import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal

import msgspec

from gateway import headers
from gateway.budgets.admission import Ticket
from gateway.budgets.outcome import Outcome, Sent, is_estimated, outcome_of
from gateway.budgets.worst_case import Weighing
from gateway.config import Settings
from gateway.delivery import Delivery
from gateway.journey import Journey
from gateway.pricing import PriceBook
from gateway.record import RequestRecord, Stages
from gateway.request import ApiRequest
from gateway.savings import Saving, cost_of
from gateway.store.entries import State
from gateway.teams.keys import DEFAULT_TEAM, Caller
from gateway.upstreams.attempts import Tried
from gateway.upstreams.upstream import Headers
from gateway.usage import Cost, Usage
from gateway.windowing.types import Decision, Reason, WindowOutcome


class Windowed(msgspec.Struct, frozen=True, gc=False):
    """What windowing came to for one request, and the terms of its saving where a window was made."""

    decision: Decision
    reason: Reason | None  # none as long as nothing has come of it
    outcome: WindowOutcome | None = None
    saving: Saving | None = None
    ms: float = 0.0
    own_usd: Decimal | None = None  # what looking into it cost the gateway

    @property
    def body(self) -> bytes | None:
        """The body to forward instead of the original, if any."""
        applied = self.decision is Decision.APPLIED and self.outcome is not None
        return self.outcome.body if applied and self.outcome else None

    @property
    def tokens(self) -> tuple[int | None, int | None, int | None]:
        """Tokens of the original, of what is forwarded, and the difference; None where nothing was counted."""
        if self.outcome is None or self.outcome.tokens_original is None:
            return None, None, None
        original = self.outcome.tokens_original
        forwarded = self.outcome.tokens_forwarded if self.body is not None else original
        return original, forwarded, None if forwarded is None else original - forwarded


def new_id(now_ns: int) -> str:
    """Return an id for a request: its millisecond, then chance (RFC 9562's version 7, in hex).

    Ids that come after each other lie beside each other in the store's indexes, which costs it a fraction.
    """
    chance = random.getrandbits(80)
    return f"req-{now_ns // 1_000_000:012x}{chance:020x}"


class Trace(msgspec.Struct):
    """One request under way; `works`: the upstream is to make something new for it."""

    route: str
    works: bool = True
    id: str = msgspec.field(default_factory=lambda: new_id(time.time_ns()))
    arrived: datetime = msgspec.field(default_factory=lambda: datetime.now(UTC))
    started: float = msgspec.field(default_factory=time.perf_counter)
    received: float | None = None
    ended: float | None = None
    asked: float | None = None
    head: float | None = None
    answered: int = 0  # the status of the upstream's reply
    caller: Caller | None = None
    upstream: str | None = None
    request: ApiRequest | None = None
    worst: Weighing | None = None
    ticket: Ticket | None = None
    limits_said: Headers = msgspec.field(default_factory=list)
    served_model: str | None = None  # instead of the one that was asked for
    tried: Tried = msgspec.field(default_factory=Tried)
    usage_added: bool = False
    windowed: Windowed | None = None
    shadow: asyncio.Task[None] | None = None  # makes the window beside a reply that has been delivered
    delivery: Delivery = msgspec.field(default_factory=Delivery)
    client_gone: bool = False
    forwarded_body: str | None = None
    journey: Journey | None = None

    def reply_headers(self, prices: PriceBook | None, status: int) -> Headers:
        """Return the gateway's own headers for a reply of that status."""
        identity = headers.request_id(self.id) + self.limits_said
        if self.tried.attempts:
            identity += headers.attempts(self.tried.attempts[-1].candidate.upstream, len(self.tried.attempts))
        if (done := self.windowed) is None:
            return identity
        saved = self._estimate(prices) if _succeeded(status) else None
        said = headers.of_windowing(done.decision, done.reason, self._tokens(status), saved, self._overhead())
        return identity + said + headers.confidence(done.outcome.confidence if done.outcome else None)

    def _estimate(self, prices: PriceBook | None) -> Decimal | None:
        done = self.windowed
        if prices is None or done is None or done.body is None or done.saving is None or self.request is None:
            return None
        forwarded = Usage(prompt=done.tokens[1] or 0, completion=0)
        return done.saving.usd(prices, self._model, forwarded)

    def _tokens(self, status: int) -> tuple[int | None, int | None, int | None]:
        """Return the tokens of the original, forwarded and saved: of what nobody answered well, nothing was saved."""
        tokens = self.windowed.tokens if self.windowed else (None, None, None)
        return tokens if _succeeded(status) else (tokens[0], None, None)

    def _overhead(self) -> float:
        until = self.asked or self.ended or time.perf_counter()
        return (until - (self.received or self.started)) * 1e3

    # Over 40 lines, for one line each of the record's fields: apart they would be no easier to read.
    def record(self, settings: Settings, prices: Mapping[str, PriceBook]) -> RequestRecord:
        """Return the request's record; `prices` by upstream."""
        done, asked, delivery = self.windowed, self.request, self.delivery
        caller, billed = self.caller, self._billed()
        model = asked.model if asked else None
        tokens = self._tokens(delivery.status)
        outcome = done.outcome if done else None
        return RequestRecord(
            id=self.id,
            time=self.arrived,
            route=self.route,
            team=caller.team if caller else DEFAULT_TEAM,
            key=caller.key if caller else "",
            user=asked.user if asked else "",
            model=model,
            model_label=_label(model, settings, prices.get(self.upstream or "")),
            model_served=self.served_model,
            upstream=self.upstream,
            attempts=tuple(self.tried.attempts),
            decision=done.decision if done else None,
            reason=done.reason if done else None,
            detail=outcome.detail if outcome else "",
            tokens_original=tokens[0],
            tokens_forwarded=tokens[1],
            tokens_saved=tokens[2],
            tokens_window=outcome.tokens_forwarded if outcome else None,
            confidence=outcome.confidence if outcome else None,
            skipped=outcome.skipped if outcome else (),
            usage=billed.total,
            state=billed.state,
            cost=self._cost(prices, billed),
            status=499 if self.client_gone else delivery.status,
            error=delivery.error,
            stream=bool(asked and asked.stream),
            client_gone=self.client_gone,
            stages=self._stages(),
            forwarded_body=self.forwarded_body,
            outcome=outcome,
            model_answered=delivery.model,
            journey=self.journey,
            started=self.started,
        )

    async def weigh(self) -> None:
        """Work out off the event loop what the bill of a long body needs before the record is made."""
        if self.worst is not None and self.worst.long and is_estimated(self._sent(), self.delivery):
            await self.worst.apart()

    def _billed(self) -> Outcome:
        return outcome_of(self._sent(), self.delivery)

    def _sent(self) -> Sent:
        done = self.windowed
        return Sent(
            out=self.tried.sent,
            status=self.answered,
            client_gone=self.client_gone,
            worst=self.worst,
            # What the upstream holds itself is in no count of ours.
            counted=done.tokens[1] if done and not (self.request and self.request.linked) else None,
            lost=len(self.tried.lost),
            works=self.works,
            background=self.request is not None and self.request.background,
        )

    def _cost(self, prices: Mapping[str, PriceBook], billed: Outcome) -> Cost:
        done, saving = self.windowed, None
        # What was saved on an estimate is an estimate too: a saving that may not be real is not shown.
        in_shadow = done is not None and done.body is None
        if done is not None and billed.state is State.SETTLED and _succeeded(self.delivery.status):
            saving = done.saving
        asked, book = self.request, prices.get(self.upstream or "")
        cost = Cost()
        if asked is not None and book is not None:
            cost = cost_of(book, self._model, billed.usage, saving, in_shadow=in_shadow)
        if billed.lost:
            cost = msgspec.structs.replace(cost, usd=self._with_lost(cost.usd, prices, billed))
        if saving is None and done is not None and done.own_usd and done.decision is not Decision.SHADOW:
            # Looking into a prompt costs what it costs also where it is for nothing.
            cost = msgspec.structs.replace(cost, saved_usd=-done.own_usd)
        return cost

    def _with_lost(self, last: Decimal | None, prices: Mapping[str, PriceBook], billed: Outcome) -> Decimal | None:
        """Add the attempts that were given up, each at its own price; None where one is not known."""
        if billed.usage is None:
            last = Decimal(0)
        audio = billed.prompt if self.worst is not None and self.worst().audio else 0
        asked, prompt = self.request.model if self.request else None, Usage(billed.prompt, 0, audio_prompt=audio)
        for lost in self.tried.lost:
            book = prices.get(lost.upstream)
            usd = book.cost(lost.model or asked, prompt) if book else None
            if last is None or usd is None:
                return None
            last += usd
        return last

    @property
    def _model(self) -> str | None:
        """The model that served the request, or was to."""
        return self.served_model or (self.request.model if self.request else None)

    def _stages(self) -> Stages:
        done, first = self.windowed, self.delivery.first_byte
        return Stages(
            receive=((self.received or self.started) - self.started) * 1e3,
            window=done.ms if done else 0.0,
            overhead=self._overhead(),
            upstream_head=(self.head - self.asked) * 1e3 if self.head and self.asked else None,
            first_byte=(first - self.started) * 1e3 if first else None,
            total=((self.ended or time.perf_counter()) - self.started) * 1e3,
            windowing=done.outcome.stages if done and done.outcome else (),
        )


def _succeeded(status: int) -> bool:
    return 200 <= status < 300


def _label(model: str | None, settings: Settings, prices: PriceBook | None) -> str:
    # A caller can make up any number of names, dated ones too: metrics only know configured and priced models.
    if model is not None and model in settings.models:
        return model
    return (prices.canonical(model) if prices else None) or "other"
