"""The OpenAI API's routes: chat completions through windowing, everything else under /v1/ relayed."""

from gateway.errors import UnknownUrlError
from gateway.exchange import Exchange, Receive, Scope, Send
from gateway.pipeline import Pipeline

_PREFIX = b"/v1/"
_CHAT = b"/v1/chat/completions"
# A path is relayed behind the upstream's base URL; these steps would lead out of it.
_CLIMBS = frozenset((b"..", b".", b"%2e%2e", b"%2e", b".%2e", b"%2e."))


async def serve(pipeline: Pipeline, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one request; a path outside the API gets 404."""
    exchange = Exchange(scope, receive, send)
    path = exchange.raw_path
    if not path.startswith(_PREFIX) or not _CLIMBS.isdisjoint(path.lower().split(b"/")):
        await pipeline.refuse(exchange, _unknown_url(exchange))
    elif exchange.method == "POST" and path == _CHAT:
        await pipeline.chat(exchange)
    else:
        await pipeline.relay(exchange)


def _unknown_url(exchange: Exchange) -> UnknownUrlError:
    path = exchange.raw_path.decode("latin-1")
    return UnknownUrlError(f"Unknown request URL: {exchange.method} {path}. The API is served under /v1/.")
