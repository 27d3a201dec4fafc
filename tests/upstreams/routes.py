"""The rest of the API beside chat: models, embeddings, files, audio; anything else is described in JSON."""

import hashlib
from collections.abc import Awaitable, Callable

from tests.upstreams import replies
from tests.upstreams.wire import Exchange

AUDIO = bytes(range(256)) * 200
MODELS = {
    "object": "list",
    "data": [{"id": "gpt-4o-mini", "object": "model", "created": replies.CREATED, "owned_by": "tests"}],
}


async def chat(exchange: Exchange, echo: bool = False) -> None:
    """Answer a chat completion, whole or streamed; 400 for one that makes no sense."""
    request = exchange.request.json()
    try:
        if not request["messages"] or not isinstance(request["model"], str):
            raise ValueError("empty")
        streamed = list(replies.events(request, echo)) if request.get("stream") is True else None
        whole = replies.completion(request, echo)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError):
        await exchange.json(replies.error("This makes no sense.", "invalid_request_error", param="messages"), 400)
        return
    if streamed is None:
        await exchange.json(whole, headers=[(b"x-request-id", b"req_test")])
        return
    await exchange.begin_stream([(b"x-request-id", b"req_test")])
    for piece in streamed:
        await exchange.chunk(piece)
    await exchange.chunk(b"")


async def _models(exchange: Exchange) -> None:
    await exchange.json(MODELS)


async def _embeddings(exchange: Exchange) -> None:
    request = exchange.request.json() or {}
    texts = request.get("input")
    count = len(texts) if isinstance(texts, list) else 1
    data = [{"object": "embedding", "index": i, "embedding": [0.25, -0.5, 1.0]} for i in range(count)]
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    await exchange.json({"object": "list", "data": data, "model": request.get("model"), "usage": usage})


async def _file(exchange: Exchange) -> None:
    body = exchange.request.body
    await exchange.json(
        {
            "id": "file-" + hashlib.sha256(body).hexdigest(),
            "object": "file",
            "bytes": len(body),
            "created_at": replies.CREATED,
            "filename": exchange.request.get("content-type"),
            "purpose": "user_data",
        }
    )


async def _deleted(exchange: Exchange) -> None:
    name = exchange.request.path.rpartition("/")[2]
    await exchange.json({"id": name, "object": "file", "deleted": True})


async def _audio(exchange: Exchange) -> None:
    await exchange.head(200, [(b"Content-Type", b"audio/mpeg"), (b"Transfer-Encoding", b"chunked")])
    for start in range(0, len(AUDIO), 10_000):
        await exchange.chunk(AUDIO[start : start + 10_000])
    await exchange.chunk(b"")


async def _options(exchange: Exchange) -> None:
    await exchange.head(204, [(b"Allow", b"GET, POST, OPTIONS"), (b"Access-Control-Allow-Origin", b"*")])


async def _described(exchange: Exchange) -> None:
    request = exchange.request
    digest = hashlib.sha256(request.body).hexdigest()
    await exchange.json(
        {"method": request.method, "target": request.target, "bytes": len(request.body), "sha256": digest}
    )


ROUTES: dict[tuple[str, str], Callable[[Exchange], Awaitable[None]]] = {
    ("POST", "/v1/chat/completions"): chat,
    ("GET", "/v1/models"): _models,
    ("HEAD", "/v1/models"): _models,
    ("POST", "/v1/embeddings"): _embeddings,
    ("POST", "/v1/files"): _file,
    ("POST", "/v1/audio/speech"): _audio,
}


async def route(exchange: Exchange) -> None:
    """Answer by method and path."""
    request = exchange.request
    if request.method == "OPTIONS":
        await _options(exchange)
    elif request.method == "DELETE" and request.path.startswith("/v1/files/"):
        await _deleted(exchange)
    else:
        await ROUTES.get((request.method, request.path), _described)(exchange)
