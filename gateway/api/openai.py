"""The OpenAI API's routes: chat completions through windowing, everything else under /v1/ relayed."""

from gateway.errors import UnknownUrlError
from gateway.exchange import Exchange, Receive, Scope, Send
from gateway.pipeline import Pipeline
from gateway.policies import Route
from gateway.routes import route_of

_PREFIX = b"/v1/"
# A path is relayed behind the upstream's base URL; these steps would lead out of it.
_CLIMBS = frozenset((b"..", b".", b"%2e%2e", b"%2e", b".%2e", b"%2e."))


async def serve(pipeline: Pipeline, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one request; a path outside the API gets 404."""
    exchange = Exchange(scope, receive, send)
    path = exchange.raw_path
    if not path.startswith(_PREFIX) or not _CLIMBS.isdisjoint(path.lower().split(b"/")):
        await pipeline.refuse(exchange, _unknown_url(exchange))
        return
    route = route_of(exchange.method, path)
    if route is Route.CHAT:
        await pipeline.chat(exchange)
    else:
        await pipeline.relay(exchange, route)


def _unknown_url(exchange: Exchange) -> UnknownUrlError:
    path = exchange.raw_path.decode("latin-1")
    return UnknownUrlError(f"Unknown request URL: {exchange.method} {path}. The API is served under /v1/.")
