"""The least a relay can do behind each HTTP client: read, forward, pass the reply on chunk by chunk.

Run by `uvicorn --factory benchmarks.bare_relay:with_aiohttp`; BARE_RELAY_UPSTREAM names the upstream.
"""

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx
import httpx2

from gateway.http1.connection import Request, Timeouts
from gateway.http1.dialing import Origin
from gateway.http1.pool import Pool

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
Forward = Callable[[str, str, Headers, bytes, Send], Awaitable[None]]
SKIPPED = frozenset((b"host", b"connection", b"content-length"))
UPSTREAM = os.environ.get("BARE_RELAY_UPSTREAM", "http://127.0.0.1:9900")
AUTO = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


async def read_body(receive: Receive) -> bytes:
    """Return the whole request body."""
    parts = []
    more = True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


async def begin(send: Send, status: int, headers: Headers) -> None:
    """Send the reply's head on."""
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def part(send: Send, data: bytes, more: bool) -> None:
    """Send a piece of the reply on."""
    await send({"type": "http.response.body", "body": data, "more_body": more})


def relay(forward: Forward) -> App:
    """Return the ASGI application which hands requests to `forward`."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["method"] == "GET":  # the readiness probe of the benchmark
            await begin(send, 200, [(b"content-length", b"0")])
            await part(send, b"", more=False)
            return
        headers = [(k, v) for k, v in scope["headers"] if k not in SKIPPED]
        await forward(scope["method"], UPSTREAM + scope["path"], headers, await read_body(receive), send)

    return app


def with_aiohttp() -> App:
    """Relay through an aiohttp session."""
    sessions: list[aiohttp.ClientSession] = []

    async def forward(method: str, url: str, headers: Headers, body: bytes, send: Send) -> None:
        if not sessions:
            sessions.append(
                aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(limit=0),
                    cookie_jar=aiohttp.DummyCookieJar(),
                    skip_auto_headers=AUTO,
                    auto_decompress=False,
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
                )
            )
        named = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in headers]
        async with sessions[0].request(method, url, headers=named, data=body, allow_redirects=False) as reply:
            await begin(send, reply.status, list(reply.raw_headers))
            async for chunk in reply.content.iter_any():
                await part(send, chunk, more=True)
        await part(send, b"", more=False)

    return relay(forward)


def with_http1() -> App:
    """Relay through the gateway's own HTTP/1.1."""
    origin, timeouts = Origin.of(UPSTREAM), Timeouts(10, 600, 600)
    host = urlsplit(UPSTREAM).netloc.encode()
    pools: list[Pool] = []

    async def forward(method: str, url: str, headers: Headers, body: bytes, send: Send) -> None:
        if not pools:
            pools.append(await Pool(origin, timeouts).__aenter__())
        target = url.removeprefix(UPSTREAM).encode()
        lines = [method.encode(), b" ", target, b" HTTP/1.1\r\nhost: ", host, b"\r\n"]
        for name, value in (*headers, (b"content-length", b"%d" % len(body))):
            lines += (name, b": ", value, b"\r\n")
        lease = await pools[0].send(Request(b"".join((*lines, b"\r\n")), body))
        await begin(send, lease.reply.status, lease.reply.headers)
        async for chunk in lease.reply.chunks():
            await part(send, chunk, more=True)
        lease.close()
        await part(send, b"", more=False)

    return relay(forward)


def with_httpx() -> App:
    """Relay through httpx 0.28."""
    client = httpx.AsyncClient(timeout=httpx.Timeout(None), limits=httpx.Limits(max_connections=None))

    async def forward(method: str, url: str, headers: Headers, body: bytes, send: Send) -> None:
        async with client.stream(method, url, headers=headers, content=body) as reply:
            await begin(send, reply.status_code, reply.headers.raw)
            async for chunk in reply.aiter_raw():
                await part(send, chunk, more=True)
        await part(send, b"", more=False)

    return relay(forward)


def with_httpx2() -> App:
    """Relay through httpx2."""
    client = httpx2.AsyncClient(timeout=httpx2.Timeout(None), limits=httpx2.Limits(max_connections=None))

    async def forward(method: str, url: str, headers: Headers, body: bytes, send: Send) -> None:
        async with client.stream(method, url, headers=headers, content=body) as reply:
            await begin(send, reply.status_code, reply.headers.raw)
            async for chunk in reply.aiter_raw():
                await part(send, chunk, more=True)
        await part(send, b"", more=False)

    return relay(forward)
