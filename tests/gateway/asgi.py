"""The other side of an ASGI application, by hand: a request sent, what comes back kept, the lifespan run."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Self
from urllib.parse import unquote

from gateway.exchange import Exchange, Message, Receive, Scope, Send
from gateway.upstreams.upstream import Headers

App = Callable[[Scope, Receive, Send], Awaitable[None]]
JSON = (b"content-type", b"application/json")
_ASGI = {"version": "3.0", "spec_version": "2.3"}
_PATIENCE_S = 10


class Call:
    """One request as uvicorn hands it on; afterwards the client waits, unless it leaves."""

    def __init__(self, method: str, target: str, body: bytes = b"", *headers: tuple[bytes, bytes]) -> None:
        path, _, query = target.partition("?")
        length = [(b"content-length", b"%d" % len(body))] if body else []
        self.sent: list[Message] = []
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._inbox.put_nowait({"type": "http.request", "body": body, "more_body": False})
        self._scope: Scope = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [*headers, *length],
        }

    async def to(self, app: App) -> Self:
        """Take the request to the application and keep what it sends."""
        async with asyncio.timeout(_PATIENCE_S):
            await app(self._scope, self._inbox.get, self._keep)
        return self

    async def by(self, serve: Callable[[Exchange], Awaitable[None]]) -> Self:
        """Let the request be served as an exchange and keep what is sent."""
        async with asyncio.timeout(_PATIENCE_S):
            await serve(self.exchange())
        return self

    def exchange(self) -> Exchange:
        """Return the request as an exchange."""
        return Exchange(self._scope, self._inbox.get, self._keep)

    def chunked(self, size: int) -> Self:
        """Send the body in pieces of that size, its length not announced."""
        body = self._inbox.get_nowait()["body"]
        for at in range(0, len(body), size):
            piece = {"type": "http.request", "body": body[at : at + size], "more_body": at + size < len(body)}
            self._inbox.put_nowait(piece)
        headers = [header for header in self._scope["headers"] if header[0] != b"content-length"]
        self._scope["headers"] = [*headers, (b"transfer-encoding", b"chunked")]
        return self

    def leave(self) -> None:
        """Close the connection."""
        self._inbox.put_nowait({"type": "http.disconnect"})

    async def _keep(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        """The reply's status."""
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> Headers:
        """The reply's headers in order."""
        return list(self.sent[0]["headers"])

    def header(self, name: bytes) -> str:
        """Return the header's first value, or an empty string."""
        return next((v.decode("latin-1") for k, v in self.headers if k.lower() == name), "")

    @property
    def body(self) -> bytes:
        """The reply's body as far as it came."""
        return b"".join(message.get("body", b"") for message in self.sent[1:])

    @property
    def complete(self) -> bool:
        """Whether the reply was ended properly."""
        return bool(self.sent) and self.sent[-1].get("more_body") is False

    def json(self) -> Any:
        """Return the reply's body parsed."""
        return json.loads(self.body)


@asynccontextmanager
async def started(app: App) -> AsyncIterator[None]:
    """Run the application's lifespan around the block, as a server does."""
    inbox: asyncio.Queue[Message] = asyncio.Queue()
    outbox: asyncio.Queue[Message] = asyncio.Queue()
    lifespan = asyncio.create_task(_run(app, inbox, outbox))
    await _told(inbox, outbox, "startup")
    try:
        yield
    finally:
        await _told(inbox, outbox, "shutdown")
        await lifespan


async def _run(app: App, inbox: asyncio.Queue[Message], outbox: asyncio.Queue[Message]) -> None:
    await app({"type": "lifespan", "asgi": _ASGI, "state": {}}, inbox.get, outbox.put)


async def _told(inbox: asyncio.Queue[Message], outbox: asyncio.Queue[Message], what: str) -> None:
    inbox.put_nowait({"type": f"lifespan.{what}"})
    async with asyncio.timeout(_PATIENCE_S):
        answer = await outbox.get()
    assert answer["type"] == f"lifespan.{what}.complete", answer


class CannedServer:
    """Answers every request with the same bytes, whatever they are; counts requests and connections."""

    def __init__(self, reply: bytes, keep_open: bool) -> None:
        self.connections = self.requests = 0
        self.url = ""
        self._reply = reply
        self._keep_open = keep_open

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.connections += 1
        while await self._request(reader):
            writer.write(self._reply)
            await writer.drain()
            if not self._keep_open:
                break
        writer.close()

    async def _request(self, reader: asyncio.StreamReader) -> bool:
        try:
            await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return False
        self.requests += 1
        return True


@asynccontextmanager
async def canned(head: str, body: bytes, keep_open: bool = False) -> AsyncIterator[CannedServer]:
    """Serve one reply, of which `head` holds the header lines, for requests without a body."""
    lines = f"HTTP/1.1 200 OK\n{head}\n\n".replace("\n", "\r\n")
    canned_server = CannedServer(lines.encode() + body, keep_open)
    server = await asyncio.start_server(canned_server.connection, "127.0.0.1", 0)
    canned_server.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with server:
        yield canned_server
