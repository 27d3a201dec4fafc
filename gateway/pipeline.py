"""The request's path, stage by stage: identify, receive, decide, window, admit, forward, relay, settle, record."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any, Protocol

from gateway import headers, logs
from gateway.budgets.limits import Limit, Unit
from gateway.config import Settings
from gateway.delivery import BrokenReplyError, relay
from gateway.endings import Endings
from gateway.errors import GatewayError, InternalError
from gateway.exchange import ClientGoneError, Exchange
from gateway.journey import Sampler, timed
from gateway.policies import Route
from gateway.prefixes import PrefixMemory, tokens_of
from gateway.pricing import PriceBook, gateway_cost
from gateway.record import RequestRecord
from gateway.request import (
    FIELD_REFUSED,
    ApiRequest,
    UsageRefusals,
    blames_another,
    parse_request,
    with_ends,
    with_model,
    with_usage_asked,
)
from gateway.routes import COUNTED, asks_for_work, name_of
from gateway.savings import Saving
from gateway.spending import Spending
from gateway.teams.keys import Caller
from gateway.trace import Trace, Windowed
from gateway.upstreams.attempts import Attempts
from gateway.upstreams.candidates import Candidate, Candidates
from gateway.upstreams.upstream import Headers, Upstream, UpstreamReply, UpstreamRequest
from gateway.windowing.decide import Plan, decide, settings_for
from gateway.windowing.types import Api, Decision, Reason, WindowOutcome, WindowPolicy

_API = b"/v1"
# On a route that is not counted, a JSON body up to this size is read for its model before it is relayed.
_READ_BODY = 1 << 20
_END = 4096  # bytes that are kept of either end of a longer one, and looked at of an error
# Responses tell a stream's usage unasked, and refuse to be asked.
_ASKED_FOR_USAGE = frozenset(map(name_of, (Route.CHAT, Route.COMPLETIONS)))

_Body = bytes | AsyncIterator[bytes] | None


class Windows(Protocol):
    """Makes windows, off the event loop."""

    async def window(self, body: bytes, policy: WindowPolicy) -> WindowOutcome:
        """Return what windowing makes of the body; never raises on its account."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Takes exchanges through the stages; holds no state of a request."""

    settings: Settings
    spending: Spending
    upstreams: Mapping[str, Upstream]
    candidates: Candidates
    attempts: Attempts
    prices: Mapping[str, PriceBook]
    windows: Windows
    record: Callable[[RequestRecord], None]
    endings: Endings
    prefixes: PrefixMemory = field(default_factory=PrefixMemory)
    refusals: UsageRefusals = field(default_factory=UsageRefusals)
    sampler: Sampler | None = None  # where traces are exported

    @property
    def model_decides(self) -> bool:
        """Whether a request's model has a say in where it goes."""
        return len(self.upstreams) > 1 or any(found.settings.azure for found in self.upstreams.values())

    async def chat(self, exchange: Exchange) -> None:
        """Take one chat request from its arrival to its record."""
        trace = Trace(name_of(Route.CHAT))
        await self._recorded(exchange, trace, self._prompt(exchange, trace, Route.CHAT, Api.CHAT))

    async def respond(self, exchange: Exchange) -> None:
        """Take one request to the Responses API from its arrival to its record."""
        trace = Trace(name_of(Route.RESPONSES))
        await self._recorded(exchange, trace, self._prompt(exchange, trace, Route.RESPONSES, Api.RESPONSES))

    async def relay(self, exchange: Exchange, route: Route) -> None:
        """Take a request to any other path of the API both ways, untouched."""
        trace = Trace(name_of(route), asks_for_work(exchange.method, exchange.raw_path))
        await self._recorded(exchange, trace, self._relay(exchange, trace, route))

    async def refuse(self, exchange: Exchange, error: GatewayError) -> None:
        """Answer with the error, and record that."""
        trace = Trace("none")
        await self._recorded(exchange, trace, self._answer(exchange, trace, error))

    async def _prompt(self, exchange: Exchange, trace: Trace, route: Route, api: Api) -> None:
        caller = self.spending.identify(exchange, trace, route)
        body = await exchange.body(int(self.settings.limits.body_mb * 1e6))
        trace.received = time.perf_counter()
        async with exchange.while_client_waits():
            asked = await self._read(exchange, trace, body, strict=route is Route.CHAT)
            limits = self.spending.limits(trace, caller)
            plan = self._plan(exchange, asked, caller, limits, api)
            if plan.decision is Decision.SHADOW:
                await self._admit(trace, limits, body, route)
                await self._serve_in_shadow(exchange, trace, asked, plan)
                return
            trace.windowed = await timed(trace.journey, "windowing", self._window(trace.upstream or "", asked, plan))
            forwarded = trace.windowed.body or body
            await self._admit(trace, limits, forwarded, route)
            whole = plan.policy is None and self.settings.windowing.mode != "off"
            reading = self.prefixes.read(body) if whole else None
            reply = await self._forward(exchange, trace, asked, forwarded)
            if reading is not None:
                self.prefixes.note(trace.upstream or "", asked.model, reading, asked.cached_a_day)
            await self._deliver(exchange, trace, reply)

    async def _relay(self, exchange: Exchange, trace: Trace, route: Route) -> None:
        caller = self.spending.identify(exchange, trace, route)
        body = await self._relayed_body(exchange, caller, route)
        trace.received = time.perf_counter()
        async with exchange.while_client_waits():
            if isinstance(body, bytes):
                await self._read(exchange, trace, body, strict=False)
                limits = self.spending.limits(trace, caller) if route in COUNTED else ()
                await self._admit(trace, limits, body, route)
                asks = route is Route.COMPLETIONS and bool(limits)
                reply = await self._relayed(exchange, trace, body, asks)
            else:
                reply = await self._relayed_as_it_comes(exchange, trace, body, route)
            await self._deliver(exchange, trace, reply)

    async def _recorded(self, exchange: Exchange, trace: Trace, serve: Awaitable[None]) -> None:
        """Serve a request, and record it, however it ends."""
        if self.sampler is not None:
            trace.journey = self.sampler.begin(exchange.method, exchange.headers)
        try:
            await self._served(exchange, trace, serve)
            trace.ended = time.perf_counter()
            if trace.worst is not None and trace.worst.long:
                await trace.weigh()
        finally:
            trace.ended = trace.ended or time.perf_counter()
            held = trace.ticket is not None and bool(trace.ticket.limits)
            self.endings(partial(self._end, trace), held=held, after=trace.shadow)

    async def _served(self, exchange: Exchange, trace: Trace, serve: Awaitable[None]) -> None:
        """Serve a request, and answer the gateway's own errors."""
        try:
            await serve
        except ClientGoneError:
            trace.client_gone = True
        except BrokenReplyError:
            pass  # Nothing can be said any more: an incomplete reply makes the server close the connection.
        except GatewayError as error:
            await self._answer(exchange, trace, error)
        except Exception as error:  # noqa: BLE001 - the last resort: a clear answer instead of a traceback
            logs.event("request_failed", id=trace.id, error=type(error).__name__, where=logs.place(error))
            await self._answer(exchange, trace, InternalError("The gateway failed on this request."))

    def _end(self, trace: Trace) -> None:
        record = trace.record(self.settings, self.prices)
        self.spending.settle(trace, record)
        self.record(record)

    async def _answer(self, exchange: Exchange, trace: Trace, error: GatewayError) -> None:
        # An upload that its client broke off looks like an upstream's failure from the other side.
        trace.client_gone = exchange.client_gone
        trace.delivery.error = error.code
        if exchange.started:
            return  # What the client saw stays the status, and what was relayed is billed.
        trace.delivery.status = error.status
        if not exchange.client_gone:
            await exchange.refuse(error, headers.error_id(trace.id) + self._said(trace, error.status))

    def _said(self, trace: Trace, status: int) -> Headers:
        return trace.reply_headers(self.prices.get(trace.upstream or ""), status)

    async def _read(self, exchange: Exchange, trace: Trace, body: bytes, strict: bool = True) -> ApiRequest:
        compressed = (exchange.header(b"content-encoding") or "identity").lower() != "identity"
        trace.request = asked = await parse_request(body, compressed, strict)
        trace.upstream = trace.upstream or self.candidates.of(asked.model).upstreams[0].upstream
        return asked

    def _admit(self, trace: Trace, limits: tuple[Limit, ...], body: object, route: Route) -> Coroutine[Any, Any, None]:
        return timed(trace.journey, "admission", self.spending.admit(trace, limits, body, route))

    def _plan(self, exchange: Exchange, asked: ApiRequest, caller: Caller, limits: Sequence[Limit], api: Api) -> Plan:
        widest = self.spending.standings.narrowest(caller.team, limits) if limits else None
        return decide(
            settings_for(self.settings.windowing, caller.policy.windowing, widest),
            asked.body if asked.readable else None,
            wish=exchange.header(b"x-gateway-windowing"),
            size=exchange.header(b"x-gateway-window-tokens"),
            api=api,
        )

    async def _window(self, upstream: str, chat: ApiRequest, plan: Plan) -> Windowed:
        if plan.policy is None:
            return Windowed(plan.decision, plan.reason or Reason.SMALL)
        began = time.perf_counter()
        remembered = self.prefixes.remember(upstream, chat.model, chat.body, chat.cached_a_day)
        outcome, warm = await asyncio.gather(self._outcome(chat, plan.policy), remembered)
        ms = (time.perf_counter() - began) * 1e3
        applied = outcome.body is not None
        decision = plan.decision if applied or plan.decision is Decision.SHADOW else Decision.BYPASSED
        own = gateway_cost(ms, self.settings.costs.cpu_usd_per_hour)
        return Windowed(decision, outcome.reason, outcome, await _saving(chat.model, outcome, warm, own), ms, own)

    async def _outcome(self, chat: ApiRequest, policy: WindowPolicy) -> WindowOutcome:
        try:
            return await self.windows.window(chat.body, policy)
        except Exception as error:  # noqa: BLE001 - fail open: whatever windowing runs into, the original is forwarded
            logs.event("windowing_failed", error=type(error).__name__, where=logs.place(error))
            return WindowOutcome(Reason.ERROR, detail=type(error).__name__)

    async def _serve_in_shadow(self, exchange: Exchange, trace: Trace, chat: ApiRequest, plan: Plan) -> None:
        """Forward the original at once and window beside it: only the record waits for the window, no client does."""
        trace.windowed = Windowed(plan.decision, None)
        windowing = asyncio.create_task(self._window_in_shadow(trace, chat, plan))
        try:
            await self._deliver(exchange, trace, await self._forward(exchange, trace, chat, chat.body))
        except BaseException:
            windowing.cancel()
            raise
        if windowing.done() or not _takes_a_place(trace):
            trace.shadow = windowing
        else:  # The place is free with the record: the next request must not be refused for a window.
            windowing.cancel()
            trace.windowed = Windowed(plan.decision, Reason.DEADLINE)

    async def _window_in_shadow(self, trace: Trace, chat: ApiRequest, plan: Plan) -> None:
        trace.windowed = await timed(trace.journey, "windowing", self._window(trace.upstream or "", chat, plan))

    async def _forward(self, exchange: Exchange, trace: Trace, chat: ApiRequest, body: bytes) -> UpstreamReply:
        """Send the body, asking for a stream's usage where the caller did not and the upstream does not refuse."""
        if self.settings.logging.prompts:
            trace.forwarded_body = body.decode("utf-8", "replace")
        asking = await with_usage_asked(chat, body) if self._asks_usage(trace, chat) else None
        reply = await self._send(exchange, trace, asking or body)
        trace.usage_added = asking is not None and not (reply.status in FIELD_REFUSED and await _may_mind(reply, body))
        if asking is None or trace.usage_added:
            return reply
        reply.close()
        again = await self._send(exchange, trace, body)
        if again.status < 400:
            self.refusals.add(trace.upstream or "", chat.model)
        return again

    def _asks_usage(self, trace: Trace, asked: ApiRequest) -> bool:
        wanted = self.settings.ask_usage == "auto" and asked.stream and not asked.usage_asked
        asks = wanted and trace.route in _ASKED_FOR_USAGE
        return asks and (trace.upstream or "", asked.model) not in self.refusals

    async def _send(self, exchange: Exchange, trace: Trace, body: _Body) -> UpstreamReply:
        served = self.candidates.of(trace.request.model if trace.request else None)
        again = body is None or isinstance(body, bytes)
        once = partial(self._send_to if trace.journey is None else self._send_traced, exchange, trace, body)
        return await self.attempts.send(served, once, trace.tried, again)

    def _send_traced(
        self, exchange: Exchange, trace: Trace, body: _Body, candidate: Candidate
    ) -> Awaitable[UpstreamReply]:
        sent = self._send_to(exchange, trace, body, candidate)
        return sent if trace.journey is None else trace.journey.called(candidate, sent)

    async def _send_to(self, exchange: Exchange, trace: Trace, body: _Body, candidate: Candidate) -> UpstreamReply:
        upstream = self.upstreams[candidate.upstream]
        trace.upstream, trace.served_model = candidate.upstream, candidate.model
        trace.head, trace.answered = None, 0
        model = candidate.model or (trace.request.model if trace.request else None)
        own_credentials = self.spending.keys_required or upstream.settings.api_key is not None
        outgoing = headers.to_upstream(exchange.headers, upstream.own_headers, own_credentials)
        if isinstance(body, bytes):
            body = await with_model(body, candidate.model) if candidate.model else body
            outgoing = headers.with_length(outgoing, len(body))
        if trace.journey is not None:
            outgoing = trace.journey.headers(outgoing)
        trace.asked = trace.asked or time.perf_counter()
        self.endings.flush_soon()
        reply = await upstream.send(UpstreamRequest(exchange.method, _path(exchange), outgoing, body, model))
        trace.head, trace.answered = time.perf_counter(), reply.status
        return reply

    async def _deliver(self, exchange: Exchange, trace: Trace, reply: UpstreamReply) -> None:
        try:
            await relay(exchange, reply, self._said(trace, reply.status), trace.delivery, trace.usage_added)
        finally:
            reply.close()

    async def _relayed_body(self, exchange: Exchange, caller: Caller, route: Route) -> _Body:
        """Return the body to relay: whole where it is held to limits, or where its model decides on the upstream."""
        if route in COUNTED and (caller.restricted or self.model_decides):
            return await exchange.body(int(self.settings.limits.body_mb * 1e6))
        pieces = exchange.streamed_body()
        length = exchange.header(b"content-length") or "0"  # of a chunked body it is not known
        readable = self.model_decides and _is_json(exchange) and length.isdecimal() and int(length) <= _READ_BODY
        return await _whole_if_short(pieces) if pieces is not None and readable else pieces

    async def _relayed(self, exchange: Exchange, trace: Trace, body: bytes, asks: bool) -> UpstreamReply:
        if asks and trace.request is not None:
            return await self._forward(exchange, trace, trace.request, body)
        return await self._send(exchange, trace, body)

    async def _relayed_as_it_comes(
        self, exchange: Exchange, trace: Trace, body: AsyncIterator[bytes] | None, route: Route
    ) -> UpstreamReply:
        """Pass the body on as it arrives; what one of a counted route asked for is read once it has.

        Of a long one that is the model alone, for its price.
        """
        trace.upstream = self.candidates.of(None).upstreams[0].upstream
        copy = _Copy()
        copied = copy.of(body) if body is not None and route in COUNTED else body
        reply = await self._send(exchange, trace, copied)
        try:
            if copy.end:
                trace.request = with_ends(bytes(copy.whole), bytes(copy.end))
            elif copy.whole:
                await self._read(exchange, trace, bytes(copy.whole), strict=False)
                await self._admit(trace, (), bytes(copy.whole), route)
        except BaseException:  # cancelled too
            reply.close()
            raise
        return reply


async def _saving(model: str | None, outcome: WindowOutcome, warm: bytes, own_usd: Decimal) -> Saving | None:
    original, forwarded = outcome.tokens_original, outcome.tokens_forwarded
    if outcome.body is None or original is None or forwarded is None:
        return None
    return Saving.of(original, forwarded, await tokens_of(model, warm) if warm else 0, own_usd)


async def _may_mind(refusal: UpstreamReply, body: bytes) -> bool:
    """Whether it may be the asking for usage that the upstream refuses."""
    try:
        return not blames_another(await refusal.glimpse(_END), body)
    except BaseException:  # cancelled: the client left
        refusal.close()
        raise


def _is_json(exchange: Exchange) -> bool:
    kind, _, _ = (exchange.header(b"content-type") or "").partition(";")
    return kind.strip().lower() == "application/json"


async def _whole_if_short(pieces: AsyncIterator[bytes]) -> bytes | AsyncIterator[bytes]:
    """Return the whole body, or where it turns out to be long all of its pieces."""
    held, size = list[bytes](), 0
    async for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size > _READ_BODY:
            return _resumed(held, pieces)
    return b"".join(held)


async def _resumed(held: list[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    for piece in held:
        yield piece
    async for piece in rest:
        yield piece


class _Copy:
    """A copy of a body that is passed on; of a long one `whole` has just the beginning, and `end` the end."""

    def __init__(self) -> None:
        self.whole = bytearray()
        self.end = bytearray()

    async def of(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield the pieces, and keep them."""
        async for piece in pieces:
            if self.end or len(self.whole) + len(piece) > _READ_BODY:
                self.end = (self.end or self.whole) + piece[-_END:]
                self.whole += piece[:_END]
                del self.whole[_END:], self.end[:-_END]
            else:
                self.whole += piece
            yield piece


def _takes_a_place(trace: Trace) -> bool:
    """Whether the request counts on a limit of requests at the same time."""
    return trace.ticket is not None and any(limit.unit is Unit.CONCURRENT for limit in trace.ticket.limits)


def _path(exchange: Exchange) -> str:
    return (exchange.raw_path.removeprefix(_API) + exchange.query).decode("latin-1")
