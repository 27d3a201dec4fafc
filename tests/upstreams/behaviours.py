"""Everything an upstream may do wrong, or oddly but rightly, by name."""

import asyncio
import gzip
import json
import zlib
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

import brotli
import zstandard

from tests.upstreams import replies, responses
from tests.upstreams.routes import chat, route, stream, wished
from tests.upstreams.wire import Exchange, Headers

Behaviour = Callable[[Exchange], Awaitable[None]]
FOREVER_S = 3600.0
# A reply no JSON library would write again the same way: numbers, spacing, a duplicate key, escapes.
ODD_JSON = (
    b'{ "id":"chatcmpl-odd", "huge":1e400, "price":0.70, "twice":1,"twice":2, "esc":"\\u00e9\\/",\n'
    b'  "choices":[{"index":0,"message":{"role":"assistant","content":"odd"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6} }\n'
)
ODD_HEADERS: Headers = (
    (b"X-Mixed-CASE", b"kept"),
    (b"Set-Cookie", b"a=1"),
    (b"Set-Cookie", b"b=2"),
    (b"X-RateLimit-Remaining-Tokens", b"149984"),
    (b"openai-processing-ms", b"12"),
    (b"X-Utf8", "Grüße".encode()),
    (b"Content-Type", b"application/json"),
)
ERRORS = {
    400: ("invalid_request_error", "context_length_exceeded"),
    401: ("invalid_request_error", "invalid_api_key"),
    429: ("insufficient_quota", "rate_limit_exceeded"),
    500: ("server_error", None),
    503: ("server_error", "overloaded"),
}


async def _error(exchange: Exchange, status: int) -> None:
    kind, code = ERRORS[status]
    body = replies.error(f"The upstream says {status}.", kind, code)
    headers = [(b"retry-after", b"7"), (b"x-ratelimit-limit-requests", b"60"), (b"x-request-id", b"req_bad")]
    # A client that is told so does not try again by itself; that would double what the test observes.
    await exchange.json(body, status, [*headers, (b"x-should-retry", b"false")])


async def _too_long(exchange: Exchange) -> None:
    said = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens."
    await exchange.json(replies.error(said, "invalid_request_error", "context_length_exceeded"), 400)


async def _quote_credentials(exchange: Exchange, in_pieces: bool = False) -> None:
    """Refuse a key, and quote all that came; as a careless server does."""
    came = [name + b": " + value for name, value in exchange.request.headers]
    body = json.dumps(replies.error(f"Wrong: {b'; '.join(came).decode('latin-1')}", "invalid_api_key")).encode()
    headers = [(b"Content-Type", b"application/json"), *((b"X-Came", line) for line in came)]
    if not in_pieces:
        await exchange.whole(401, body, headers)
        return
    await exchange.head(401, [*headers, (b"Transfer-Encoding", b"chunked")])
    for start in range(0, len(body), 7):
        await exchange.chunk(body[start : start + 7])
        await asyncio.sleep(0.001)
    await exchange.chunk(b"")


async def _refuse_stream_options(exchange: Exchange, status: int = 400, else_: Behaviour | None = None) -> None:
    if "stream_options" in (exchange.request.json() or {}):
        body = replies.error("Unrecognized request argument supplied: stream_options", "invalid_request_error")
        await exchange.json(body, status)
    else:
        await (else_ or chat)(exchange)


async def _stall_before_head(_: Exchange) -> None:
    await asyncio.sleep(FOREVER_S)


async def _slow(exchange: Exchange) -> None:
    await asyncio.sleep(0.4)
    await route(exchange)


def _charged(exchange: Exchange) -> replies.Json:
    """Begin the work that a chat request asks for; return the request, as one for a stream."""
    request = {**(exchange.request.json() or {}), "stream": True}
    exchange.charge(replies.completion(request, text=wished(exchange))["usage"])
    return request


async def _some_events(exchange: Exchange, count: int = 3) -> None:
    request = _charged(exchange)
    await exchange.begin_stream()
    for _, piece in zip(range(count), replies.events(request, text=wished(exchange)), strict=False):
        await exchange.event(piece)


async def _stall_in_stream(exchange: Exchange) -> None:
    await _some_events(exchange)
    await asyncio.sleep(FOREVER_S)


async def _reset_before_head(exchange: Exchange) -> None:
    exchange.reset()


async def _close_before_head(exchange: Exchange) -> None:
    await exchange.hang_up()


async def _reset_after_head(exchange: Exchange) -> None:
    await exchange.head(200, [(b"Content-Type", b"application/json"), (b"Content-Length", b"1000")])
    await asyncio.sleep(0.05)
    exchange.reset()


async def _reset_in_stream(exchange: Exchange) -> None:
    await _some_events(exchange)
    await asyncio.sleep(0.05)
    exchange.reset()


async def _close_in_stream(exchange: Exchange) -> None:
    await _some_events(exchange)
    await exchange.hang_up()


async def _half_event(exchange: Exchange) -> None:
    await _some_events(exchange)
    await exchange.chunk(b'data: {"id":"chatcmpl-half","choices":[{"index":0,"del')
    await exchange.hang_up()


async def _truncated(exchange: Exchange) -> None:
    await exchange.head(200, [(b"Content-Type", b"application/json"), (b"Content-Length", b"1000")])
    await exchange.raw(b'{"id":"chatcmpl-cut", "choices":[')
    await exchange.hang_up()


async def _until_close(exchange: Exchange) -> None:
    await exchange.head(200, [(b"Content-Type", b"application/json"), (b"Connection", b"close")])
    await exchange.raw(ODD_JSON)
    await exchange.hang_up()


async def _garbage(exchange: Exchange) -> None:
    await exchange.raw(b"this is not HTTP\r\n\r\n")
    await exchange.hang_up()


async def _bytewise(exchange: Exchange) -> None:
    request = _charged(exchange)
    await exchange.begin_stream()
    for value in b"".join(replies.events(request)):
        await exchange.chunk(bytes((value,)))
    await exchange.chunk(b"")


async def _crlf(exchange: Exchange) -> None:
    events = [piece.replace(b"\n", b"\r\n") for piece in replies.events(_charged(exchange))]
    await stream(exchange, [b": a comment\r\n\r\nevent: ping\r\ndata: {}\r\n\r\n", *events])


async def _forgetful(exchange: Exchange, read: int = 8_000) -> None:
    """Answer as a model that is lost in the middle of long prompts: it reads so many characters at either end.

    It says what it has read of the names in the question, which is the last line.
    """
    request = _charged(exchange)
    text, _, question = replies.text_of(request["messages"][-1]["content"]).rpartition("\n")
    known = text if len(text) <= 2 * read else f"{text[:read]}\n{text[-read:]}"
    names = [word.strip("?.,") for word in question.split()[1:] if word.istitle()]
    found = [line for line in known.splitlines() if any(name in line for name in names)]
    await stream(exchange, replies.events(request, text="\n".join(found) or "I don't know."))


async def _narrow(exchange: Exchange) -> None:
    """Refuse what is longer than the model's context, and answer the rest."""
    if len(exchange.request.body) > 12_000:
        await _too_long(exchange)
    else:
        await _forgetful(exchange)


async def _paced(exchange: Exchange, events: Iterable[bytes]) -> None:
    for event in events:
        await exchange.event(event)
        await asyncio.sleep(0.02)


async def _endless(exchange: Exchange) -> None:
    request = exchange.request.json() or {}
    exchange.charge(replies.usage(request, 10**9))
    await exchange.begin_stream()
    if exchange.request.path.endswith("/responses"):
        # Six minutes of it: longer than anybody waits.
        await _paced(exchange, responses.events(request, text="on " * 25_000))
    base = {"id": "chatcmpl-endless", "object": "chat.completion.chunk", "created": replies.CREATED, "model": "m"}
    while True:
        await exchange.event(replies.event({**base, "choices": [{"index": 0, "delta": {"content": "on "}}]}))
        await asyncio.sleep(0.01)


async def _usage_beside_choices(exchange: Exchange) -> None:
    """Stream as some servers do: usage in the last chunk that has choices, and no chunk of its own for it."""
    request = _charged(exchange)
    *pieces, last, done = replies.events({**request, "stream_options": None})
    chunk = {**json.loads(last.removeprefix(b"data: ")), "usage": replies.usage(request, 12)}
    await stream(exchange, (*pieces, replies.event(chunk), done))


async def _ignore_usage(exchange: Exchange) -> None:
    request = _charged(exchange)
    await stream(exchange, replies.events({**request, "stream_options": None}, text=wished(exchange)))


async def _one_big_event(exchange: Exchange) -> None:
    data = replies.event({"choices": [{"index": 0, "delta": {"content": "big " * 750_000}}]})
    await exchange.begin_stream()
    for start in range(0, len(data), 50_000):
        await exchange.chunk(data[start : start + 50_000])
    await exchange.chunk(b"data: [DONE]")  # without the empty line that should end it
    await exchange.chunk(b"")


async def _flood(exchange: Exchange) -> None:
    piece = b"x" * 65536
    await exchange.head(200, [(b"Content-Type", b"audio/mpeg"), (b"Content-Length", b"%d" % (1024 * len(piece)))])
    for _ in range(1024):
        await exchange.raw(piece)


async def _close_after_reply(exchange: Exchange) -> None:
    await route(exchange)
    await exchange.hang_up()


async def _odd_json(exchange: Exchange) -> None:
    await exchange.whole(200, ODD_JSON, ODD_HEADERS)


async def _many_headers(exchange: Exchange) -> None:
    many = [(b"x-many-%d" % number, b"v" * 60) for number in range(200)]
    await exchange.json({"ok": True}, headers=[*many, (b"x-long", b"v" * 12_000)])


async def _large(exchange: Exchange) -> None:
    request = exchange.request.json() or {}
    reply = replies.completion(request)
    reply["choices"][0]["message"]["content"] = "large " * 1_000_000
    exchange.charge(reply["usage"])
    await exchange.json(reply)


async def _not_found(exchange: Exchange) -> None:
    await exchange.whole(404, b"<html>no such page</html>", [(b"Content-Type", b"text/html")])


async def _redirect(exchange: Exchange) -> None:
    await exchange.whole(307, b"", [(b"Location", b"http://127.0.0.1:1/elsewhere")])


def _compressors() -> dict[str, Callable[[bytes], bytes]]:
    return {
        "gzip": gzip.compress,
        "deflate": zlib.compress,
        "br": brotli.compress,
        "zstd": zstandard.ZstdCompressor().compress,
    }


async def _compressed(exchange: Exchange, coding: str) -> None:
    request = exchange.request.json() or {}
    compress = _compressors()[coding]
    header = (b"Content-Encoding", coding.encode())
    exchange.charge(replies.completion(request)["usage"])
    if request.get("stream") is not True:
        body = compress(json.dumps(replies.completion(request)).encode())
        await exchange.whole(200, body, [(b"Content-Type", b"application/json"), header])
        return
    data = compress(b"".join(replies.events(request)))
    await exchange.begin_stream([header])
    for start in range(0, len(data), 50):
        await exchange.chunk(data[start : start + 50])
    await exchange.chunk(b"")


BEHAVIOURS: dict[str, Behaviour] = {
    "": route,
    "echo": partial(chat, echo=True),
    **{f"error-{status}": partial(_error, status=status) for status in ERRORS},
    **{coding: partial(_compressed, coding=coding) for coding in ("gzip", "deflate", "br", "zstd")},
    "too-long": _too_long,
    "forgetful": _forgetful,
    "narrow": _narrow,
    "quote-credentials": _quote_credentials,
    "quote-in-pieces": partial(_quote_credentials, in_pieces=True),
    "refuse-stream-options": _refuse_stream_options,
    "refuse-stream-options-422": partial(_refuse_stream_options, status=422),
    "refuse-stream-options-busy": partial(_refuse_stream_options, else_=partial(_error, status=429)),
    "stall-before-head": _stall_before_head,
    "stall-in-stream": _stall_in_stream,
    "slow": _slow,
    "reset-before-head": _reset_before_head,
    "close-before-head": _close_before_head,
    "reset-after-head": _reset_after_head,
    "reset-in-stream": _reset_in_stream,
    "close-in-stream": _close_in_stream,
    "half-event": _half_event,
    "truncated": _truncated,
    "until-close": _until_close,
    "garbage": _garbage,
    "bytewise": _bytewise,
    "crlf": _crlf,
    "endless": _endless,
    "usage-beside-choices": _usage_beside_choices,
    "ignore-usage": _ignore_usage,
    "one-big-event": _one_big_event,
    "flood": _flood,
    "close-after-reply": _close_after_reply,
    "odd-json": _odd_json,
    "many-headers": _many_headers,
    "large": _large,
    "not-found": _not_found,
    "redirect": _redirect,
}
