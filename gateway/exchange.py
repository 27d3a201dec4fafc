"""One HTTP exchange with a client, over plain ASGI: its request, its reply, and whether it is still there."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from functools import partial
from types import TracebackType
from typing import Any, cast

from gateway.errors import BodyTooLargeError, GatewayError
from gateway.http1.cycle import BARE_QUERY, GONE
from gateway.upstreams.upstream import Headers

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class ClientGoneError(Exception):
    """The client left before it had its reply."""


class Exchange:
    """The client's side of one request."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.headers: Headers = scope["headers"]
        self.raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
        query: bytes = scope["query_string"]
        self.query = b"?" + query if query or scope.get(BARE_QUERY) else b""  # with its question mark
        self._named: dict[bytes, bytes] | None = None
        self.started = False
        self.client_gone = False
        self._receive = receive
        self._send = send
        self._body_read = asyncio.Event()
        self._tell_when_gone: Callable[[Callable[[], None] | None], None] | None = scope.get("extensions", {}).get(GONE)

    def header(self, name: bytes) -> str | None:
        """Return the header's first value; `name` in lower case."""
        if self._named is None:
            self._named = dict(reversed(self.headers))
        value = self._named.get(name)
        return None if value is None else value.decode("latin-1")

    async def body(self, limit: int) -> bytes:
        """Read the whole body.

        Raises:
            BodyTooLargeError: more than `limit` bytes are announced or have come.
            ClientGoneError: the client left.
        """
        announced = self.header(b"content-length") or ""
        if announced.isdecimal() and int(announced) > limit:
            raise _too_large(limit)
        pieces, size, more = list[bytes](), 0, True
        while more:
            piece, more = await self._piece()
            size += len(piece)
            if size > limit:
                raise _too_large(limit)
            pieces.append(piece)
        self._body_read.set()
        return b"".join(pieces)

    async def body_pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives.

        Raises:
            ClientGoneError: the client left.
        """
        more = True
        while more:
            piece, more = await self._piece()
            if piece:
                yield piece
        self._body_read.set()

    async def _piece(self) -> tuple[bytes, bool]:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.client_gone = True
            raise ClientGoneError
        return message.get("body", b""), message.get("more_body", False)

    def streamed_body(self) -> AsyncIterator[bytes] | None:
        """Return the body to be passed on as it arrives, or None where the request has none."""
        if self.header(b"transfer-encoding") is None and self.header(b"content-length") in (None, "0"):
            self._body_read.set()
            return None
        return self.body_pieces()

    def while_client_waits(self) -> "_Waiting":
        """Cancel what runs inside as soon as the client leaves; an asynchronous context.

        Raises:
            ClientGoneError: the client left.
        """
        return _Waiting(self)

    def when_gone(self, gone: Callable[[], None]) -> Callable[[], None]:
        """Have `gone` called when the client leaves; return what ends that."""
        if self._tell_when_gone is not None:
            self._tell_when_gone(gone)
            return partial(self._tell_when_gone, None)
        watch = asyncio.create_task(self._watched(gone))  # a server that does not tell has to be asked
        return lambda: _end(watch)

    async def _watched(self, gone: Callable[[], None]) -> None:
        await self._body_read.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        gone()

    async def start(self, status: int, headers: Headers) -> None:
        """Send the reply's head."""
        self.started = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, data: bytes) -> None:
        """Send a piece of the reply's body; waits while the client reads slowly."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """Send the last piece of the reply's body."""
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    async def refuse(self, error: GatewayError, headers: Headers) -> None:
        """Answer with the gateway's own error."""
        body = error.body()
        own = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await self.start(error.status, own + error.headers + headers)
        await self.end(body if self.method != "HEAD" else b"")


class _Waiting:
    """The context in which a client is waited with."""

    __slots__ = ("_end", "_exchange", "_worker")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._worker = cast("asyncio.Task[Any]", asyncio.current_task())

    async def __aenter__(self) -> None:
        self._end = self._exchange.when_gone(self._leave)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        if isinstance(error, asyncio.CancelledError) and self._exchange.client_gone and self._worker.uncancel() == 0:
            raise ClientGoneError from None

    def _leave(self) -> None:
        self._exchange.client_gone = True
        self._worker.cancel()


def _end(task: asyncio.Task[None]) -> None:
    task.cancel()


def _too_large(limit: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"The request body is larger than the {limit / 1e6:g} MB that this gateway accepts.")
