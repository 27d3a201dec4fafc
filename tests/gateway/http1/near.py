"""The near end: an application served as uvicorn serves it, and a client that writes and reads bytes."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import pytest

from gateway.http1 import inbound
from gateway.http1.cycle import GONE, App
from gateway.http1.inbound import Inbound

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PATIENCE_S = 5
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
# Where it is waited for clocks, and the loops do not differ, one of them will do.
waits = pytest.mark.asyncio(loop_factories=["uvloop"])


@dataclass
class State:
    """What uvicorn keeps of its connections."""

    connections: set[Inbound] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    total_requests: int = 0

    @property
    def quiet(self) -> bool:
        """Whether nothing is left."""
        return not self.connections and not self.tasks


class Config:
    """What uvicorn knows of the application."""

    def __init__(self, app: App) -> None:
        self.loaded_app = app


@dataclass
class Answer:
    """A reply as it came; `whole` is false where it was cut off."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes
    whole: bool = True

    def json(self) -> Any:
        """Return the body parsed."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of an error in OpenAI's shape."""
        error = self.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        return str(error["code"])


class Client:
    """One connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, *data: bytes) -> Self:
        """Write bytes."""
        self.writer.write(b"".join(data))
        return self

    def leave(self) -> None:
        """Close the connection."""
        self.writer.close()

    async def answer(self, bodiless: bool = False) -> Answer:
        """Read the next reply."""
        async with asyncio.timeout(PATIENCE_S):
            status, headers = await self._head()
            if bodiless or status in {204, 304}:
                return Answer(status, headers, b"")
            body, whole = await self._body(headers)
            return Answer(status, headers, body, whole)

    async def _head(self) -> tuple[int, dict[bytes, bytes]]:
        first, *lines = (await self.reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
        assert first.startswith(b"HTTP/1.1 "), first
        return int(first.split(b" ")[1]), dict(line.split(b": ", 1) for line in lines)

    async def _body(self, headers: dict[bytes, bytes]) -> tuple[bytes, bool]:
        body = b""
        try:
            if headers.get(b"transfer-encoding") == b"chunked":
                while size := int(await self.reader.readuntil(b"\r\n"), 16):
                    body += (await self.reader.readexactly(size + 2))[:-2]
                await self.reader.readexactly(2)
            elif b"content-length" in headers:
                body = await self.reader.readexactly(int(headers[b"content-length"]))
            else:
                body = await self.reader.read()
        except asyncio.IncompleteReadError as error:
            return body + error.partial, False
        return body, True

    async def rest(self) -> bytes:
        """Read until the server closes."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read()

    async def closed(self) -> bool:
        """Return whether the server closes without a further word."""
        return await self.rest() == b""


class Near:
    """The server's address and state."""

    def __init__(self, app: App) -> None:
        self.state = State()
        self.port = 0
        self._config = Config(app)
        self._clients: list[Client] = []

    def connection(self) -> Inbound:
        """Make a connection as uvicorn does."""
        return Inbound(config=self._config, server_state=self.state, app_state={"from": "lifespan"})

    async def client(self, limit: int = 1 << 26) -> Client:
        """Return a new client; it reads ahead as far as the limit."""
        found = Client(*await asyncio.open_connection("127.0.0.1", self.port, limit=limit))
        self._clients.append(found)
        return found

    async def ask(self, *data: bytes) -> Answer:
        """Send bytes on a connection of their own and return the reply."""
        return await (await self.client()).send(*data).answer()

    def end(self) -> None:
        """Close what the test has left open."""
        for client in self._clients:
            client.writer.transport.abort()


@asynccontextmanager
async def near(app: App) -> AsyncIterator[Near]:
    """Serve the application; afterwards no connection and no task is left, or the test fails."""
    found = Near(app)
    server = await asyncio.get_running_loop().create_server(found.connection, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        found.end()
        server.close()
    async with asyncio.timeout(PATIENCE_S):
        while not found.state.quiet:  # noqa: ASYNC110 - uvicorn's state sets no event
            await asyncio.sleep(0.005)


async def body_of(receive: Receive) -> bytes | None:
    """Read a request's body, or return None where the client leaves."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body, more = body + message["body"], message["more_body"]
    return body


async def reply(send: Send, status: int, body: bytes, *headers: tuple[bytes, bytes], announced: bool = True) -> None:
    """Send a reply in one piece."""
    length = [(b"content-length", b"%d" % len(body))] if announced else []
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *length]})
    await send({"type": "http.response.body", "body": body})


async def told(scope: Message, receive: Receive, send: Send) -> None:
    """Answer with what the request was."""
    body = await body_of(receive)
    if body is None:
        return
    names = ("method", "http_version", "path", "scheme", "type", "root_path")
    seen = {name: scope[name] for name in names}
    seen |= {name: scope[name].decode("latin-1") for name in ("raw_path", "query_string")}
    seen["headers"] = [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]]
    await reply(send, 200, json.dumps({**seen, "body": body.decode("latin-1")}).encode())


async def short(scope: Message, receive: Receive, send: Send) -> None:
    """Answer with the body's length, and the path."""
    body = await body_of(receive)
    if body is not None:
        await reply(send, 200, b"%d %b" % (len(body), scope["raw_path"]))


async def unread(scope: Message, receive: Receive, send: Send) -> None:
    """Refuse without a look at the body."""
    await reply(send, 413, b"too large")


def quick(monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
    """Set the module's constants."""
    for name, value in seconds.items():
        monkeypatch.setattr(inbound, name, value)


class Waiting:
    """An application that answers when it is told to, and hears of clients that leave."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.begun: list[bytes] = []
        self.gone = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        self.begun.append(scope["raw_path"])
        scope["extensions"][GONE](self._left)
        await body_of(receive)
        await self.go_on.wait()
        await reply(send, 200, scope["raw_path"])

    def _left(self) -> None:
        self.gone += 1
