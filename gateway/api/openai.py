"""The OpenAI API's routes: chat completions and responses through windowing, everything else under /v1/ relayed."""

import re
from urllib.parse import unquote_to_bytes

from gateway.errors import UnknownUrlError, WebSocketError
from gateway.exchange import Exchange, Receive, Scope, Send
from gateway.pipeline import Pipeline
from gateway.policies import Route
from gateway.routes import route_of

_PREFIX = b"/v1/"
_STEPS = re.compile(rb"[/\\]")
_ENCODED_AT_MOST = 3  # times, as far as anybody decodes


async def serve(pipeline: Pipeline, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one request; a path outside the API gets 404."""
    exchange = Exchange(scope, receive, send)
    path = exchange.raw_path
    if not path.startswith(_PREFIX) or _climbs(path):
        await pipeline.refuse(exchange, _unknown_url(exchange))
        return
    if exchange.method == "GET" and exchange.header(b"sec-websocket-key") is not None:
        await pipeline.refuse(exchange, WebSocketError("This gateway relays HTTP: WebSockets are not supported."))
        return
    route = route_of(exchange.method, path)
    if route is Route.CHAT:
        await pipeline.chat(exchange)
    elif route is Route.RESPONSES:
        await pipeline.respond(exchange)
    else:
        await pipeline.relay(exchange, route)


def _climbs(path: bytes) -> bool:
    """Whether steps in the path, as it is or as somebody decodes it, lead out of the upstream's base URL."""
    for _ in range(_ENCODED_AT_MOST):
        if b"." in path and any(step.partition(b";")[0] in (b".", b"..") for step in _STEPS.split(path)):
            return True
        if b"%" not in path:
            return False
        path = unquote_to_bytes(path)
    return b"%2e" in path.lower()


def _unknown_url(exchange: Exchange) -> UnknownUrlError:
    path = exchange.raw_path.decode("latin-1")
    return UnknownUrlError(f"Unknown request URL: {exchange.method} {path}. The API is served under /v1/.")
