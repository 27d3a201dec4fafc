"""One HTTP exchange with a client, over plain ASGI: its request, its reply, and whether it is still there."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

from gateway.errors import BodyTooLargeError, GatewayError
from gateway.upstream import Headers

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
        self.query: bytes = scope["query_string"]
        self.started = False
        self.client_gone = False
        self._receive = receive
        self._send = send
        self._body_read = asyncio.Event()

    def header(self, name: bytes) -> str | None:
        """Return the header's first value; `name` in lower case."""
        for key, value in self.headers:
            if key == name:
                return value.decode("latin-1")
        return None

    async def body(self, limit: int) -> bytes:
        """Read the whole body.

        Raises:
            BodyTooLargeError: more than `limit` bytes are announced or have come.
            ClientGoneError: the client left.
        """
        announced = self.header(b"content-length") or ""
        if announced.isdecimal() and int(announced) > limit:
            raise _too_large(limit)
        pieces, size = list[bytes](), 0
        async for piece in self.body_pieces():
            size += len(piece)
            if size > limit:
                raise _too_large(limit)
            pieces.append(piece)
        return b"".join(pieces)

    async def body_pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives.

        Raises:
            ClientGoneError: the client left.
        """
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.client_gone = True
                raise ClientGoneError
            more = message.get("more_body", False)
            if piece := message.get("body", b""):
                yield piece
        self._body_read.set()

    def streamed_body(self) -> AsyncIterator[bytes] | None:
        """Return the body to be passed on as it arrives, or None where the request has none."""
        if self.header(b"transfer-encoding") is None and self.header(b"content-length") in (None, "0"):
            self._body_read.set()
            return None
        return self.body_pieces()

    @asynccontextmanager
    async def while_client_waits(self) -> AsyncIterator[None]:
        """Cancel what runs inside as soon as the client leaves.

        Raises:
            ClientGoneError: the client left.
        """
        worker = asyncio.current_task()
        watch = asyncio.create_task(self._cancel_when_gone(worker))
        try:
            yield
        except asyncio.CancelledError:
            if not self.client_gone or (worker and worker.uncancel() > 0):
                raise
            raise ClientGoneError from None
        finally:
            watch.cancel()

    async def _cancel_when_gone(self, worker: asyncio.Task[Any] | None) -> None:
        await self._body_read.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.client_gone = True
        if worker:
            worker.cancel()

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


def _too_large(limit: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"The request body is larger than the {limit / 1e6:g} MB that this gateway accepts.")
