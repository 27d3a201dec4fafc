"""Spans of finished requests, and sending them by OTLP over HTTP; the only opentelemetry user.

Loaded by whoever exports, which nobody does unless the operator asks: it takes some 10 MB.
Names follow OpenTelemetry's conventions for HTTP and for generative AI; what they have no name for is under
`context_gateway.`. Nothing of a prompt or an answer, no key and no user is in a span.
"""

import logging
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from gateway.destinations import TelemetrySettings, UpstreamSettings
from gateway.journey import Call, Journey, Stretch
from gateway.record import RequestRecord
from gateway.store.entries import State

_PATH = "/v1/traces"
_TIMEOUT_S = 5.0  # of one export with all its attempts
_SHORT_S = 5e-5  # a stage that took less is no span: nobody would see it, and each costs some 50 microseconds
_SCOPE = InstrumentationScope("context-gateway")
# What each route of the API is in the conventions' words; of the others no model's answer is known.
_OPERATIONS = {
    "chat.completions": "chat",
    "responses": "chat",
    "completions": "text_completion",
    "embeddings": "embeddings",
}
_PATHS = {
    "chat.completions": "/chat/completions",
    "responses": "/responses",
    "completions": "/completions",
    "embeddings": "/embeddings",
    "models": "/models",
    "relay": "/{path}",
}
_PROVIDERS = {
    "openai.azure.com": "azure.ai.openai",
    "services.ai.azure.com": "azure.ai.inference",
    "api.anthropic.com": "anthropic",
    "api.cohere.com": "cohere",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "api.moonshot.ai": "moonshot_ai",
    "api.perplexity.ai": "perplexity",
    "api.x.ai": "x_ai",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "amazonaws.com": "aws.bedrock",
}
_SPEAKS = "openai"  # what an upstream of another address is: it speaks that protocol

_Value = str | bool | int | float
_Values = dict[str, _Value]


class Exporter:
    """Sends spans of requests to one collector."""

    def __init__(self, settings: TelemetrySettings) -> None:
        # It would log each failure, and its attempts, with the collector's answer: whoever exports says it once.
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL + 1)
        endpoint = settings.otlp_endpoint
        self._to = OTLPSpanExporter(
            endpoint if endpoint.endswith(_PATH) else endpoint + _PATH,
            headers={name.lower(): value.get_secret_value() for name, value in settings.headers.items()} or None,
            timeout=_TIMEOUT_S,
        )
        self._resource = Resource.create(
            {
                "service.name": settings.service_name,
                "service.instance.id": str(uuid4()),
                "host.name": socket.gethostname(),
                "process.pid": os.getpid(),
            }
        )

    def export(self, records: Sequence[RequestRecord], upstreams: Mapping[str, UpstreamSettings]) -> bool:
        """Send the spans of these requests; return whether the collector took them."""
        spans = [span for record in records for span in spans_of(record, upstreams, self._resource)]
        return not spans or self._to.export(spans) is SpanExportResult.SUCCESS

    def close(self) -> None:
        """End an export that is waiting to be tried again, and accept no more."""
        self._to.shutdown()  # type: ignore[no-untyped-call]


def spans_of(
    record: RequestRecord, upstreams: Mapping[str, UpstreamSettings], resource: Resource
) -> Iterator[ReadableSpan]:
    """Yield the spans of a request that has a journey."""
    if record.journey is not None:
        yield from _Spans(record, record.journey, upstreams, resource).all()


class _Upstream(NamedTuple):
    url: str
    address: str
    port: int
    provider: str


class _Spans:
    """Makes the spans of one request."""

    def __init__(
        self,
        record: RequestRecord,
        journey: Journey,
        upstreams: Mapping[str, UpstreamSettings],
        resource: Resource,
    ) -> None:
        self._record = record
        self._journey = journey
        self._upstreams = upstreams
        self._resource = resource
        self._trace = int(journey.trace, 16)
        self._flags = TraceFlags(journey.flags)
        self._state = TraceState.from_header([journey.state]) if journey.state else None
        self._start = int(record.time.timestamp() * 1e9)
        self._end = self._start + int(record.stages.total * 1e6)

    def all(self) -> Iterator[ReadableSpan]:
        """Yield the request's span and those in it."""
        journey = self._journey
        parent = self._context(journey.parent, remote=True) if journey.parent else None
        own = self._context(journey.span)
        yield self._request(own, parent)
        for stage in self._stages():
            if stage.error or stage.ended - stage.began >= _SHORT_S:
                yield self._stage(stage, own)
        if journey.calls:
            yield from self._calls(own)

    def _stages(self) -> Iterator[Stretch]:
        began = self._record.started
        yield Stretch("receive", began, began + self._record.stages.receive / 1e3)
        yield from self._journey.stretches

    def _request(self, own: SpanContext, parent: SpanContext | None) -> ReadableSpan:
        record, path = self._record, _PATHS.get(self._record.route)
        method = self._journey.method
        values = _known(
            {
                "http.request.method": method,
                "http.route": f"/v1{path}" if path else None,
                "http.response.status_code": record.status or None,
                **_own(record),
            }
        )
        name = f"{method} /v1{path}" if path else method
        failed = record.status >= 500 or (record.status < 400 and record.error is not None)
        error = record.error or (str(record.status) if failed else "")
        return self._made(name, own, parent, SpanKind.SERVER, (self._start, self._end), values, error, failed)

    def _calls(self, own: SpanContext) -> Iterator[ReadableSpan]:
        """Yield the span of the model's answer with all attempts at it, and theirs."""
        operation = _OPERATIONS.get(self._record.route)
        around = own
        if operation is not None:
            around = self._context(os.urandom(8).hex())
            yield self._answer(around, own, operation)
        for index in range(len(self._journey.calls)):
            yield self._attempt(index, around)

    def _answer(self, context: SpanContext, own: SpanContext, operation: str) -> ReadableSpan:
        record, first, last = self._record, self._journey.calls[0], self._journey.calls[-1]
        model = last.candidate.model or record.model
        upstream = self._upstream(last)
        values = _known(
            {
                "gen_ai.operation.name": operation,
                "gen_ai.provider.name": upstream.provider if upstream else _SPEAKS,
                "gen_ai.request.model": model,
                "gen_ai.request.stream": True if record.stream else None,
                "gen_ai.response.model": record.model_answered,
                "gen_ai.response.time_to_first_chunk": self._first_chunk(first),
                **_server(upstream),
                **_usage(record),
            }
        )
        error = record.error or _error(last) or ""
        name = f"{operation} {model}" if model else operation
        lasted = self._at(first.began), self._ended(last)
        return self._made(name, context, own, SpanKind.CLIENT, lasted, values, error, bool(error))

    def _attempt(self, index: int, around: SpanContext) -> ReadableSpan:
        call, attempts = self._journey.calls[index], self._record.attempts
        upstream, path = self._upstream(call), _PATHS.get(self._record.route, "")
        method = self._journey.method
        values = _known(
            {
                "http.request.method": method,
                "http.request.resend_count": index or None,
                "http.response.status_code": call.status,
                "url.full": upstream.url + path if upstream else None,
                "context_gateway.upstream": call.candidate.upstream,
                "context_gateway.outcome": attempts[index].outcome.value if index < len(attempts) else None,
                **_server(upstream),
            }
        )
        # An attempt without an outcome is one that was given up, since its client had left.
        error = _error(call) or ("" if index < len(attempts) else "cancelled")
        if not call.status and index < len(attempts):
            error = attempts[index].outcome.value
        lasted = self._at(call.began), self._ended(call)
        context = self._context(call.span)
        return self._made(method, context, around, SpanKind.CLIENT, lasted, values, error, bool(error))

    def _ended(self, call: Call) -> int:
        """Return when a call ended: the one whose reply was passed on with that."""
        return self._end if call is self._journey.calls[-1] and call.status else self._at(call.ended)

    def _first_chunk(self, first: Call) -> float | None:
        """Return the seconds from the call to the first of a stream."""
        if not self._record.stream or self._record.stages.first_byte is None:
            return None
        return round(self._record.stages.first_byte / 1e3 - (first.began - self._record.started), 6)

    def _upstream(self, call: Call) -> _Upstream | None:
        settings = self._upstreams.get(call.candidate.upstream)
        return _upstream(settings.base_url, settings.azure is not None) if settings else None

    def _at(self, moment: float) -> int:
        return self._start + int((moment - self._record.started) * 1e9)

    def _context(self, span: str, remote: bool = False) -> SpanContext:
        return SpanContext(self._trace, int(span, 16), remote, self._flags, self._state)

    def _stage(self, stage: Stretch, own: SpanContext) -> ReadableSpan:
        context = self._context(os.urandom(8).hex())
        values = _windowing(self._record) if stage.name == "windowing" else {}
        lasted = self._at(stage.began), self._at(stage.ended)
        failed = bool(stage.error)
        return self._made(stage.name, context, own, SpanKind.INTERNAL, lasted, values, stage.error, failed)

    def _made(  # noqa: PLR0913, PLR0917 - what there is to say of a span
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        lasted: tuple[int, int],
        values: _Values,
        error: str,
        failed: bool,
    ) -> ReadableSpan:
        return ReadableSpan(
            name,
            context,
            parent,
            self._resource,
            {**values, "error.type": error} if error else values,
            kind=kind,
            status=Status(StatusCode.ERROR) if failed else Status(StatusCode.UNSET),
            start_time=lasted[0],
            end_time=max(lasted),
            instrumentation_scope=_SCOPE,
        )


def _own(record: RequestRecord) -> dict[str, _Value | None]:
    """Return what only the gateway knows of a request."""
    cost = record.cost
    values: dict[str, _Value | None] = {
        "request_id": record.id,
        "team": record.team,
        "model": record.model,
        "upstream": record.upstream,
        "attempts": len(record.attempts) or None,
        "decision": record.decision,
        "reason": record.reason,
        "tokens.original": record.tokens_original,
        "tokens.forwarded": record.tokens_forwarded,
        "tokens.saved": record.tokens_saved,
        "cost.usd": None if cost.usd is None else float(cost.usd),
        "cost.saved_usd": None if cost.saved_usd is None else float(cost.saved_usd),
        "usage.state": record.state,
        "client_gone": record.client_gone or None,
    }
    return {f"context_gateway.{name}": _plain(value) for name, value in values.items()}


def _plain(value: _Value | None) -> _Value | None:
    return str(value) if isinstance(value, str) else value


def _windowing(record: RequestRecord) -> _Values:
    values = _known(
        {
            "context_gateway.decision": _plain(record.decision),
            "context_gateway.reason": _plain(record.reason),
            "context_gateway.confidence": None if record.confidence is None else round(record.confidence, 3),
            "context_gateway.tokens.window": record.tokens_window,
        }
    )
    times = {f"context_gateway.windowing.{name}_ms": round(ms, 3) for name, ms in record.stages.windowing}
    return {**values, **times}


def _usage(record: RequestRecord) -> dict[str, _Value | None]:
    """Return the usage that the upstream reported; what is an estimate of ours is none."""
    usage = record.usage
    if usage is None or record.state is not State.SETTLED:
        return {}
    return {
        "gen_ai.usage.input_tokens": usage.prompt,
        "gen_ai.usage.output_tokens": usage.completion,
        "gen_ai.usage.cache_read.input_tokens": usage.cached or None,
        "gen_ai.usage.cache_write.input_tokens": usage.cache_written or None,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning or None,
    }


def _server(upstream: _Upstream | None) -> _Values:
    return {"server.address": upstream.address, "server.port": upstream.port} if upstream else {}


def _error(call: Call) -> str | None:
    return str(call.status) if call.status is not None and call.status >= 400 else None


@lru_cache(maxsize=256)
def _upstream(url: str, azure: bool) -> _Upstream:
    parts = urlsplit(url)
    host = parts.hostname or ""
    named = next((name for end, name in _PROVIDERS.items() if host == end or host.endswith(f".{end}")), _SPEAKS)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return _Upstream(url, host, port, "azure.ai.openai" if azure else named)


def _known(values: Mapping[str, _Value | None]) -> _Values:
    return {name: value for name, value in values.items() if value is not None}
