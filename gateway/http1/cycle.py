"""One request of a client and its reply, as ASGI's receive and send."""

import asyncio
import http
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote

from gateway.http1.refusing import FAILED

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

Connection = TypeVar("Connection")

GONE = "context_gateway.gone"  # an extension of ASGI: a function that takes what to call when the client leaves
BARE_QUERY = "context_gateway.bare_query"  # in the scope: whether the target has a question mark and nothing behind it
_LOG = logging.getLogger(__name__)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_NO_BODY = frozenset((204, 304))
_LAST_CHUNK = b"0\r\n\r\n"
_OURS = frozenset(
    (b"connection", b"transfer-encoding")
)  # how this connection is framed is not the application's matter


def _status_line(status: int) -> bytes:
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode()


_STATUS_LINES = {status: _status_line(status) for status in range(200, 600)}


class Hosting(Protocol):
    """What a connection needs of the server's configuration."""

    @property
    def loaded_app(self) -> App:
        """The application."""


class Shared(Protocol[Connection]):
    """What a server's connections share."""

    connections: set[Connection]
    tasks: set[asyncio.Task[None]]
    total_requests: int


class Wire:
    """What a connection's cycles share: the way back to the client, which may have to wait."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.transport = transport
        self.loop = loop
        self.server = transport.get_extra_info("sockname")
        self.client = transport.get_extra_info("peername")
        self._room: asyncio.Future[None] | None = None
        self.paused = False
        self.gone = False

    def pause(self) -> None:
        """Have writers wait."""
        self.paused = True

    def resume(self) -> None:
        """Let writers go on."""
        self.paused = False
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def lost(self) -> None:
        """Note that the client is gone."""
        self.gone = True
        self.resume()

    async def room(self) -> None:
        """Wait until the client has read more."""
        while self.paused:
            if self._room is None or self._room.done():
                self._room = self.loop.create_future()
            await self._room


class Cycle:
    """One request and its reply; `read_on` is called when more of the body is wanted, `over` at the reply's end."""

    def __init__(
        self, wire: Wire, scope: Message, read_on: Callable[[], None], over: Callable[["Cycle"], None]
    ) -> None:
        self._wire = wire
        self._scope = scope
        self._read_on = read_on
        self._over = over
        self.keep_alive = True
        self.started = False
        self._pieces: list[bytes] = []
        self._waiting = 0
        self._received = False  # the whole of the body
        self._handed = False  # the whole of the body, to the application
        self._more: asyncio.Future[None] | None = None
        self._head: bytes | None = None  # written with the first piece of the body, or when the loop turns
        self._chunked = False
        self._missing: int | None = None  # bytes of the announced length; None: none was announced
        self._bodiless = False
        self._complete = False
        self._gone: Callable[[], None] | None = None
        self._told_to_go_on = False

    async def run(self, app: App) -> None:
        """Have the application serve the request; a reply that it leaves unfinished ends the connection."""
        if self._wire.gone:
            return
        scope = self._scope
        path = scope["raw_path"].decode("latin-1")
        scope["path"] = unquote(path) if "%" in path else path
        scope["extensions"] = {GONE: self._when_gone}
        try:
            await app(scope, self.receive, self.send)
        except Exception:  # noqa: BLE001 - the connection goes on, and the log says what failed
            _LOG.exception("the application failed")
        finally:
            if not self._complete:
                self._break_off()
            # It leads back here, and what is a circle waits for the garbage collector with all that hangs on it.
            self._scope = {}

    def _break_off(self) -> None:
        """Have the connection end in the middle of the reply, by which the client knows that it is not whole."""
        if not self.started and not self._wire.gone:
            self._wire.transport.write(FAILED.reply)
        self._flush()
        self.keep_alive = False
        self._over(self)

    # The request.

    def add(self, piece: bytes) -> int:
        """Take a piece of the body; return how many bytes wait to be read."""
        self._pieces.append(piece)
        self._waiting += len(piece)
        self._wake()
        return self._waiting

    @property
    def awaited(self) -> bool:
        """Whether the application waits for a piece, or is about to take what is here."""
        return self._more is not None

    def end(self) -> None:
        """Note that the body is whole."""
        self._received = True
        self._wake()

    def leave(self) -> None:
        """Note that the client is gone."""
        self._wire.lost()
        self._wake()
        if self._gone is not None:
            gone, self._gone = self._gone, None
            gone()

    async def receive(self) -> Message:
        """Return the next piece of the body, or that the client is gone."""
        while not self._pieces and not self._received and not self._wire.gone:
            if not self._told_to_go_on:
                self._tell_to_go_on()
            self._read_on()
            await self._next()
        return await self._disconnected() if self._wire.gone or self._handed else self._taken()

    def _tell_to_go_on(self) -> None:
        """Tell a client that waits for it; one whose body is here already does not."""
        self._told_to_go_on = True
        scope = self._scope
        expects = any(n == b"expect" and v.strip().lower() == b"100-continue" for n, v in scope["headers"])
        if expects and not self.started and scope["http_version"] != "1.0":  # where this word is not known
            self._wire.transport.write(_CONTINUE)

    def _taken(self) -> Message:
        body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._waiting, self._handed = 0, self._received
        return {"type": "http.request", "body": body, "more_body": not self._received}

    async def _disconnected(self) -> Message:
        while not self._wire.gone and not self._complete:
            await self._next()
        return {"type": "http.disconnect"}

    async def _next(self) -> None:
        self._more = self._wire.loop.create_future()
        try:
            await self._more
        finally:
            self._more = None

    def _wake(self) -> None:
        if self._more is not None and not self._more.done():
            self._more.set_result(None)

    def _when_gone(self, gone: Callable[[], None] | None) -> None:
        """Have `gone` called when the client leaves, at once if it has; None: nobody wants to know any more."""
        self._gone = gone
        if gone is not None and self._wire.gone:
            self.leave()

    # The reply.

    async def send(self, message: Message) -> None:
        """Send the reply's head or a piece of its body; waits while the client reads slowly."""
        wire = self._wire
        if wire.paused and not wire.gone:
            await wire.room()
        if wire.gone:
            return
        if message["type"] == "http.response.start":
            self._begin(message["status"], message["headers"])
        else:
            self._write(message.get("body", b""), message.get("more_body", False))

    def _begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        lines = [_STATUS_LINES.get(status) or _status_line(status)]
        for name, value in headers:
            if b"\n" in value or b"\r" in value:
                raise ValueError("a header of the reply holds a line break")
            if name == b"content-length":
                self._missing = int(value)
            elif name in _OURS:
                continue
            lines += (name, b": ", value, b"\r\n")
        self._bodiless = self._scope["method"] == "HEAD" or status in _NO_BODY
        if self._missing is None and not self._bodiless:
            self._frame(lines)
        if not (self.keep_alive and self._received):
            self.keep_alive = False
            lines.append(b"connection: close\r\n")
        elif self._scope["http_version"] == "1.0":
            lines.append(b"connection: keep-alive\r\n")
        lines.append(b"\r\n")
        self.started = True
        self._head = b"".join(lines)
        self._wire.loop.call_soon(self._flush)

    def _frame(self, lines: list[bytes]) -> None:
        """Mark the end of a body whose length is not known: by chunks, or for an old client by the connection's end."""
        if self._scope["http_version"] == "1.0":
            self.keep_alive = False
        else:
            self._chunked = True
            lines.append(b"transfer-encoding: chunked\r\n")

    def _flush(self) -> None:
        if self._head is not None and not self._wire.gone:
            head, self._head = self._head, None
            self._wire.transport.write(head)

    def _write(self, body: bytes, more: bool) -> None:
        data = b"" if self._bodiless else self._framed(body, more)
        if self._head is not None:
            data, self._head = self._head + data, None
        if data:
            self._wire.transport.write(data)
        if not more:
            self._finish()

    def _framed(self, body: bytes, more: bool) -> bytes:
        if self._chunked:
            last = b"" if more else _LAST_CHUNK
            return b"%x\r\n%b\r\n%b" % (len(body), body, last) if body else last
        if self._missing is not None:
            self._missing -= len(body)
            if self._missing < 0:
                raise ValueError("the reply is longer than it was announced")
        return body

    def _finish(self) -> None:
        if self._missing and not self._bodiless:
            return  # shorter than it was announced: run() ends the connection
        self._complete = True
        self._gone = None
        self._wake()
        self._over(self)
