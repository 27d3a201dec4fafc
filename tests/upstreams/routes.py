"""The API: chat, responses, completions, embeddings, models, files, audio; anything else is described in JSON.

A header `x-answer-tokens` asks for an answer of so many tokens, `x-answer-matching` for what matches that expression in
the request's body, `x-pace-ms` for a pause after each event of a stream.
"""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, Protocol

from tests.upstreams import completions, replies, responses
from tests.upstreams.wire import Exchange, Headers

AUDIO = bytes(range(256)) * 200
MODELS = {
    "object": "list",
    "data": [{"id": "gpt-4o-mini", "object": "model", "created": replies.CREATED, "owned_by": "tests"}],
}


ID: Headers = ((b"x-request-id", b"req_test"),)


class Events(Protocol):
    """Makes the events of an answer to a request."""

    def __call__(self, request: replies.Json, /, *, text: str | None) -> Iterator[bytes]:
        """Yield the events."""


async def stream(exchange: Exchange, events: Iterable[bytes], headers: Headers = ()) -> None:
    """Write a stream of events to its end."""
    pause = float(exchange.request.get("x-pace-ms") or 0) / 1e3
    await exchange.begin_stream(headers)
    for event in events:
        await exchange.event(event)
        if pause:
            await asyncio.sleep(pause)
    await exchange.chunk(b"")


async def chat(exchange: Exchange, echo: bool = False) -> None:
    """Answer a chat completion, whole or streamed; 400 for one that makes no sense."""
    request, text = exchange.request.json(), wished(exchange)
    try:
        if not request["messages"] or not isinstance(request["model"], str):
            raise ValueError("empty")
        streamed = list(replies.events(request, echo, text)) if request.get("stream") is True else None
        whole = replies.completion(request, echo, text)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError):
        await exchange.json(replies.error("This makes no sense.", "invalid_request_error", param="messages"), 400)
        return
    await _answer(exchange, whole, streamed)


def wished(exchange: Exchange) -> str | None:
    """Return the text that the request's headers wish for, if they do."""
    if matching := exchange.request.get("x-answer-matching"):
        found = re.search(matching, exchange.request.body.decode(errors="replace"))
        return found[0] if found else "Nothing matches."
    tokens = exchange.request.get("x-answer-tokens")
    return "tok " * int(tokens) if tokens else None


async def _responses(exchange: Exchange) -> None:
    await _one_of(exchange, "input", responses.response, responses.events)


async def _completions(exchange: Exchange) -> None:
    await _one_of(exchange, "prompt", completions.completion, completions.events)


async def _one_of(exchange: Exchange, asked: str, whole: Callable[..., replies.Json], events: Events) -> None:
    request, text = exchange.request.json(), wished(exchange)
    if not isinstance(request, dict) or not request.get(asked):
        await exchange.json(replies.error("This makes no sense.", "invalid_request_error", param=asked), 400)
        return
    streamed = events(request, text=text) if request.get("stream") is True else None
    await _answer(exchange, whole(request, text), streamed)


async def _answer(exchange: Exchange, whole: dict[str, Any], events: Iterable[bytes] | None) -> None:
    exchange.charge(whole["usage"])
    if events is None:
        await exchange.json(whole, headers=ID)
    else:
        await stream(exchange, events, ID)


async def _models(exchange: Exchange) -> None:
    await exchange.json(MODELS)


async def _embeddings(exchange: Exchange) -> None:
    reply = completions.embeddings(exchange.request.json() or {})
    exchange.charge(reply["usage"])
    await exchange.json(reply)


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
    ("POST", "/v1/completions"): _completions,
    ("POST", "/v1/responses"): _responses,
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
