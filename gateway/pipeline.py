"""The request's path, stage by stage: receive, authenticate, decide, window, forward, relay, record."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from gateway import headers, logs
from gateway.config import Settings
from gateway.delivery import BrokenReplyError, relay
from gateway.errors import GatewayError, InternalError
from gateway.exchange import ClientGoneError, Exchange
from gateway.metrics import Recorder
from gateway.prefixes import PrefixMemory
from gateway.pricing import PriceBook
from gateway.request import ApiRequest, UsageRefusals, model_of, parse_request, with_usage_asked
from gateway.savings import Saving
from gateway.teams.keys import Keyring
from gateway.trace import Trace, Windowed
from gateway.upstream import Headers, Upstream, UpstreamReply, UpstreamRequest
from gateway.windowing.decide import Plan, decide
from gateway.windowing.types import Decision, Reason, WindowOutcome, WindowPolicy

_API = b"/v1"
# A body up to this size is read before it is relayed where the model in it decides on the upstream.
_ROUTED_BODY = 1 << 20


class Windows(Protocol):
    """Makes windows, off the event loop."""

    async def window(self, body: bytes, policy: WindowPolicy) -> WindowOutcome:
        """Return what windowing makes of the body; never raises on its account."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Takes exchanges through the stages; holds no state of a request."""

    settings: Settings
    keyring: Keyring
    upstreams: Mapping[str, Upstream]
    prices: Mapping[str, PriceBook]
    windows: Windows
    recorders: Sequence[Recorder]
    prefixes: PrefixMemory = field(default_factory=PrefixMemory)
    refusals: UsageRefusals = field(default_factory=UsageRefusals)

    async def chat(self, exchange: Exchange) -> None:
        """Take one chat request from its arrival to its record."""
        async with self._recorded(exchange, Trace("chat.completions")) as trace:
            trace.team = self.keyring.team(exchange.header(b"authorization"))
            body = await exchange.body(int(self.settings.limits.body_mb * 1e6))
            trace.received = time.perf_counter()
            async with exchange.while_client_waits():
                compressed = exchange.header(b"content-encoding") not in (None, "identity")
                trace.chat = chat = await parse_request(body, compressed)
                trace.upstream = self.settings.upstream_of(chat.model)
                plan = self._plan(exchange, body, compressed)
                if plan.decision is Decision.SHADOW:
                    reply = await self._forward_in_shadow(exchange, trace, chat, plan)
                else:
                    trace.windowed = await self._window(trace.upstream, chat, plan)
                    reply = await self._forward(exchange, trace, chat, trace.windowed.body or body)
                await self._deliver(exchange, trace, reply)

    async def relay(self, exchange: Exchange) -> None:
        """Take a request to any other path of the API both ways, untouched."""
        async with self._recorded(exchange, Trace("relay")) as trace:
            trace.team = self.keyring.team(exchange.header(b"authorization"))
            body, model = await self._routed_body(exchange)
            trace.received = time.perf_counter()
            trace.upstream = self.settings.upstream_of(model)
            async with exchange.while_client_waits():
                reply = await self._send(exchange, trace, body)
                await self._deliver(exchange, trace, reply)

    async def refuse(self, exchange: Exchange, error: GatewayError) -> None:
        """Answer with the error, and record that."""
        async with self._recorded(exchange, Trace("none")):
            raise error

    @asynccontextmanager
    async def _recorded(self, exchange: Exchange, trace: Trace) -> AsyncIterator[Trace]:
        """Answer the gateway's own errors and record the request, however it ends."""
        try:
            yield trace
        except ClientGoneError:
            trace.client_gone = True
        except BrokenReplyError:
            pass  # Nothing can be said any more: an incomplete reply makes the server close the connection.
        except GatewayError as error:
            await self._answer(exchange, trace, error)
        except Exception as error:  # noqa: BLE001 - the last resort: a clear answer instead of a traceback
            logs.event("request_failed", id=trace.id, error=type(error).__name__, where=logs.place(error))
            await self._answer(exchange, trace, InternalError("The gateway failed on this request."))
        finally:
            trace.ended = time.perf_counter()
            record = trace.record(self.settings, self.prices.get(trace.upstream or ""))
            for recorder in self.recorders:
                recorder(record)

    async def _answer(self, exchange: Exchange, trace: Trace, error: GatewayError) -> None:
        # An upload that its client broke off looks like an upstream's failure from the other side.
        trace.client_gone = exchange.client_gone
        trace.delivery.status, trace.delivery.error = error.status, error.code
        if not exchange.started and not exchange.client_gone:
            await exchange.refuse(error, self._said(trace))

    def _said(self, trace: Trace) -> Headers:
        return trace.reply_headers(self.prices.get(trace.upstream or ""))

    def _plan(self, exchange: Exchange, body: bytes, compressed: bool) -> Plan:
        return decide(
            self.settings.windowing,
            body,
            compressed,
            wish=exchange.header(b"x-gateway-windowing"),
            size=exchange.header(b"x-gateway-window-tokens"),
        )

    async def _window(self, upstream: str, chat: ApiRequest, plan: Plan) -> Windowed:
        if plan.policy is None:
            return Windowed(plan.decision, plan.reason or Reason.SMALL)
        began = time.perf_counter()
        outcome = await self._outcome(chat, plan.policy)
        ms = (time.perf_counter() - began) * 1e3
        applied = outcome.body is not None
        decision = plan.decision if applied or plan.decision is Decision.SHADOW else Decision.BYPASSED
        warm = self.prefixes.warm_share(upstream, chat.model, chat.body)
        return Windowed(decision, outcome.reason, outcome, self._saving(outcome, warm, ms), ms)

    async def _outcome(self, chat: ApiRequest, policy: WindowPolicy) -> WindowOutcome:
        try:
            return await self.windows.window(chat.body, policy)
        except Exception as error:  # noqa: BLE001 - fail open: whatever windowing runs into, the original is forwarded
            logs.event("windowing_failed", error=type(error).__name__, where=logs.place(error))
            return WindowOutcome(Reason.ERROR, detail=type(error).__name__)

    def _saving(self, outcome: WindowOutcome, warm: float, ms: float) -> Saving | None:
        original, forwarded = outcome.tokens_original, outcome.tokens_forwarded
        if outcome.body is None or original is None or forwarded is None:
            return None
        return Saving.of(original, forwarded, warm, ms, self.settings.costs.cpu_usd_per_hour)

    async def _forward_in_shadow(self, exchange: Exchange, trace: Trace, chat: ApiRequest, plan: Plan) -> UpstreamReply:
        """Forward the original at once and window beside it, so that trying the gateway out costs no time."""
        windowing = asyncio.create_task(self._window(trace.upstream or "", chat, plan))
        try:
            reply = await self._forward(exchange, trace, chat, chat.body)
            trace.windowed = await windowing
        finally:
            windowing.cancel()
        return reply

    async def _forward(self, exchange: Exchange, trace: Trace, chat: ApiRequest, body: bytes) -> UpstreamReply:
        """Send the body, asking for a stream's usage where the caller did not and the upstream does not refuse."""
        if self.settings.logging.prompts:
            trace.forwarded_body = body.decode("utf-8", "replace")
        asking = await with_usage_asked(chat, body) if self._asks_usage(trace.upstream or "", chat) else None
        reply = await self._send(exchange, trace, asking or body)
        trace.usage_added = asking is not None and reply.status != 400
        if asking is None or reply.status != 400:
            return reply
        reply.close()
        again = await self._send(exchange, trace, body)
        if again.status != 400:
            self.refusals.add(trace.upstream or "", chat.model)
        return again

    def _asks_usage(self, upstream: str, chat: ApiRequest) -> bool:
        wanted = self.settings.ask_usage == "auto" and chat.stream and not chat.usage_asked
        return wanted and (upstream, chat.model) not in self.refusals

    async def _send(self, exchange: Exchange, trace: Trace, body: bytes | AsyncIterator[bytes] | None) -> UpstreamReply:
        upstream = self.upstreams[trace.upstream or ""]
        key = upstream.settings.api_key
        outgoing = headers.to_upstream(
            exchange.headers,
            key.get_secret_value() if key else None,
            own_credentials=self.keyring.required or key is not None,
        )
        if isinstance(body, bytes):
            outgoing = headers.with_length(outgoing, len(body))
        trace.asked = time.perf_counter()
        reply = await upstream.send(UpstreamRequest(exchange.method, _path(exchange), outgoing, body))
        trace.head = time.perf_counter()
        return reply

    async def _deliver(self, exchange: Exchange, trace: Trace, reply: UpstreamReply) -> None:
        try:
            await relay(exchange, reply, self._said(trace), trace.delivery, trace.usage_added)
        finally:
            reply.close()

    async def _routed_body(self, exchange: Exchange) -> tuple[bytes | AsyncIterator[bytes] | None, str | None]:
        """Return the body to relay and the model in it, which is looked for only where it decides on the upstream."""
        length = exchange.header(b"content-length") or ""
        json_body = (exchange.header(b"content-type") or "").startswith("application/json")
        if len(self.upstreams) == 1 or not json_body or not length.isdecimal() or int(length) > _ROUTED_BODY:
            return exchange.streamed_body(), None
        body = await exchange.body(_ROUTED_BODY)
        return body, model_of(body)


def _path(exchange: Exchange) -> str:
    path = exchange.raw_path.removeprefix(_API).decode("latin-1")
    return f"{path}?{exchange.query.decode('latin-1')}" if exchange.query else path
