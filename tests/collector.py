"""A real receiver of traces: OTLP over HTTP, decoded as every collector decodes it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.integration.client import eventually

SERVER, CLIENT, INTERNAL = Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_INTERNAL


@dataclass(frozen=True, slots=True)
class Seen:
    """A span as it was received, with its attributes and those of whom it came from."""

    span: Span
    values: dict[str, Any]
    resource: dict[str, Any]

    @property
    def trace(self) -> str:
        return self.span.trace_id.hex()

    @property
    def id(self) -> str:
        return self.span.span_id.hex()

    @property
    def parent(self) -> str:
        return self.span.parent_span_id.hex()

    @property
    def failed(self) -> bool:
        return self.span.status.code == self.span.status.STATUS_CODE_ERROR


@dataclass(slots=True)
class Collector:
    """What has come in."""

    url: str = ""
    status: int = 200
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def spans(self) -> list[Seen]:
        """Return all spans received."""
        return [seen for body in tuple(self.bodies) for seen in _spans(ExportTraceServiceRequest.FromString(body))]

    def of(self, request_id: str) -> dict[str, Seen]:
        """Wait for a request's spans, and return them by name; of several of one name the last."""
        (own,) = self.wait(lambda seen: seen.values.get("context_gateway.request_id") == request_id)
        return {seen.span.name: seen for seen in self.spans() if seen.trace == own.trace}

    def wait(self, wanted: Callable[[Seen], bool], timeout_s: float = 10) -> list[Seen]:
        """Wait until there is such a span, and return all."""

        def found() -> list[Seen]:
            return [seen for seen in self.spans() if wanted(seen)]

        assert eventually(found, timeout_s), [seen.span.name for seen in self.spans()]
        return found()


def _spans(request: ExportTraceServiceRequest) -> Iterator[Seen]:
    for part in request.resource_spans:
        for scope in part.scope_spans:
            for span in scope.spans:
                yield Seen(span, _values(span.attributes), _values(part.resource.attributes))


def _values(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair) for pair in cast("list[KeyValue]", pairs)}


def _value(pair: KeyValue) -> Any:
    kind = pair.value.WhichOneof("value")
    return getattr(pair.value, kind) if kind else None


@contextmanager
def collecting(port: int = 0) -> Iterator[Collector]:
    """Run a collector."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            known = self.path == "/v1/traces" and self.headers["content-type"] == "application/x-protobuf"
            if known and collector.status == 200:
                collector.headers.append({name.lower(): value for name, value in self.headers.items()})
                collector.bodies.append(body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(collector.status if known else 404)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    collector.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
