"""One connection to an upstream: a request at a time, kept alive between them."""

import asyncio
import math
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

import httptools
import msgspec

from gateway.http1.errors import BrokenError, SilentError, WireError
from gateway.http1.reply import Reply

Body = bytes | AsyncIterator[bytes] | None

_LARGEST_HEAD = 1 << 18
_JOINED = 1 << 16  # bytes of a body that leave together with the head
_NO_BODY = frozenset((204, 304))


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Longest waits in seconds: for a connection, the reply's head, the next byte, and all in all."""

    connect: float
    first_byte: float
    idle: float
    total: float = math.inf


class Request(msgspec.Struct, frozen=True):
    """A request as it leaves: its head, complete; `chunked` frames a body whose length is not known."""

    head: bytes
    body: Body
    chunked: bool = False
    method: str = "POST"


class Connection(asyncio.Protocol):
    """One connection; `send` is called again only when the reply before is `whole` and `reusable` says so."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeouts = timeouts
        self._transport: asyncio.Transport
        self._parser = _parser(self)
        self._reply: Reply | None = None
        self._head: asyncio.Future[Reply] | None = None
        self._headed = False
        self._bodiless = False
        self._keeps = True
        self._informing = False
        self._unused = 0  # bytes since the head, or a piece of the body, was whole
        self._upload: asyncio.Task[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._deadline = self._ends = math.inf
        self._paused_writing = False
        self.closed = False
        self.idle_since = 0.0

    @property
    def reusable(self) -> bool:
        """Whether another request can be sent."""
        uploading = self._upload is not None and not self._upload.done()
        return self._keeps and not self.closed and not uploading and self._reply is None

    async def send(self, request: Request) -> Reply:
        """Send a request and return its reply as soon as the head is here.

        Raises:
            BrokenError: the connection ended before.
            SilentError: no head in time.
            Exception: whatever the body's iterator raised.
        """
        if self.closed:
            raise BrokenError("closed before the request was sent")
        now = self._loop.time()
        self._reply = Reply(self._resume)
        self._head = self._loop.create_future()
        self._headed, self._unused = False, 0
        self._bodiless = request.method == "HEAD"
        self._deadline, self._ends = now + self._timeouts.first_byte, now + self._timeouts.total
        self._write(request)
        try:
            return await self._head
        except BaseException:  # cancelled too: what is half sent or half answered is of no use to anybody
            self.abort()
            raise

    def _write(self, request: Request) -> None:
        body, write = request.body, self._transport.write
        if body is None:
            write(request.head)
        elif not isinstance(body, bytes):
            write(request.head)
            self._upload = self._loop.create_task(self._uploaded(body, request.chunked))
        elif len(body) <= _JOINED:
            write(request.head + body)
        else:
            write(request.head)
            write(body)

    async def _uploaded(self, body: AsyncIterator[bytes], chunked: bool) -> None:
        try:
            self._wait(math.inf)  # it is the sender that is waited for
            async for piece in body:
                if not piece:
                    continue  # as a chunk it would be the last
                self._wait(self._timeouts.first_byte)
                await self._room()
                self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                self._wait(math.inf)
            if chunked:
                self._transport.write(b"0\r\n\r\n")
            self._wait(self._timeouts.first_byte)
        except Exception as error:  # noqa: BLE001 - whatever it is, the request can't be completed, and its sender hears of it
            if self._head is not None and not self._head.done():
                self._head.set_exception(error)
            self.abort()

    def _wait(self, seconds: float) -> None:
        """Wait so long for the reply's head; once it is here, other clocks run."""
        if not self._headed:
            self._deadline = self._loop.time() + seconds

    async def _room(self) -> None:
        while self._paused_writing and not self.closed:
            self._writable = self._loop.create_future()
            await self._writable
        if self.closed:
            raise BrokenError("the connection broke while the request was sent")

    def check(self, now: float) -> None:
        """End what has been silent for too long."""
        if now >= self._deadline or now >= self._ends:
            self._fail(SilentError("no answer in time" if not self._headed else "the reply stopped"))

    def abort(self) -> None:
        """End the connection at once; what of the reply is missing will not come."""
        self._fail(BrokenError("the connection was ended here"))

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over the transport."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but inheritance

    def data_received(self, data: bytes) -> None:
        """Parse what has come."""
        if self._reply is None:  # Nobody asked: what it answers is not known.
            self.abort()
            return
        self._unused += len(data)
        if self._headed and not self._reply.paused:
            self._deadline = self._loop.time() + self._timeouts.idle
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(BrokenError("the reply is not HTTP/1.1"))
        if self._unused > _LARGEST_HEAD and self._reply is not None:
            self._fail(BrokenError("the reply's head, or what follows its body, is too large"))

    def eof_received(self) -> None:
        """Let the transport close: connection_lost follows."""
        self._keeps = False

    def connection_lost(self, exc: Exception | None) -> None:
        """End the reply: as it should where only the connection's end marks its own, else as broken."""
        awaited, self.closed = self._reply is not None and not self.closed, True
        if awaited and (rest := _not_handed_over(self._transport)):
            self.data_received(rest)
        if self._reply is not None and self._headed and exc is None and not _framed(self._reply):
            self._complete()
        self._fail(BrokenError("the connection broke"))

    def pause_writing(self) -> None:
        """Stop the upload until the upstream has read more."""
        self._paused_writing = True

    def resume_writing(self) -> None:
        """Go on with the upload."""
        self._paused_writing = False
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Trust a connection no longer on which more comes than was asked for."""
        if self._reply is None:
            self._keeps = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a header; trailers, after the body, are dropped."""
        if self._reply is not None and not self._headed:
            self._reply.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Hand out the head, unless it is only a word in between (100 Continue)."""
        reply, status = self._reply, self._parser.get_status_code()
        if reply is None or self._headed:
            return
        self._informing = status < 200
        if self._informing:
            reply.headers.clear()
            return
        self._unused = 0
        reply.status = status
        self._keeps = self._parser.should_keep_alive() and not self._bodiless
        self._headed = True
        self._deadline = self._loop.time() + self._timeouts.idle
        if self._head is not None and not self._head.done():
            self._head.set_result(reply)
        if self._bodiless:
            self._complete()

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body until it is fetched; too many make the upstream wait."""
        reply, self._unused = self._reply, 0
        if reply is not None and reply.add(body) and not reply.paused and not self.closed:
            reply.paused = True
            self._deadline = math.inf  # it is the client that is waited for now
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """End the reply."""
        if not self._informing and self._headed:
            self._complete()

    def _complete(self) -> None:
        reply, self._reply = self._reply, None
        self._deadline = self._ends = math.inf
        if reply is not None:
            if reply.paused:
                self._resume_reading(reply)
            reply.end()

    def _resume(self) -> None:
        if self._reply is not None:
            self._deadline = self._loop.time() + self._timeouts.idle
            self._resume_reading(self._reply)

    def _resume_reading(self, reply: Reply) -> None:
        reply.paused = False
        if not self.closed:
            self._transport.resume_reading()

    def _fail(self, error: WireError) -> None:
        """End the connection, and with it the reply that is under way."""
        reply, self._reply = self._reply, None
        self._deadline = self._ends = math.inf
        self._keeps = False
        if not self.closed:
            self.closed = True
            self._transport.abort()
        self.resume_writing()
        if self._upload is not None and self._upload is not asyncio.current_task():
            self._upload.cancel()
        if self._head is not None and not self._head.done():
            self._head.set_exception(error)
        if reply is not None:
            reply.end(error)


def _parser(connection: Connection) -> httptools.HttpResponseParser:
    parser = httptools.HttpResponseParser(connection)
    # Harmless sloppiness of servers; what could be read in two ways stays an error.
    parser.set_dangerous_leniencies(
        lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True, lenient_data_after_close=True
    )
    return parser


def _not_handed_over(transport: asyncio.Transport) -> bytes:
    """Return what has come on a connection that is lost, and was not handed over.

    Who can't write any more hears nothing of the refusal that was sent before the connection broke. And of TLS that
    ends without a word of its own, uvloop drops what waits until reading goes on.
    """
    tls, plain = transport.get_extra_info("ssl_object"), transport.get_extra_info("socket")
    found = bytearray()
    with suppress(OSError, ValueError):  # there is no more, or it is closed
        while piece := tls.read(_JOINED) if tls else os.read(plain.fileno(), _JOINED):
            found += piece
    return bytes(found)


def _framed(reply: Reply) -> bool:
    """Whether the reply's end shows in itself (RFC 9112 6.3)."""
    chunked = reply.header(b"transfer-encoding").rstrip().lower().endswith(b"chunked")  # llhttp leaves blanks behind it
    return chunked or reply.status in _NO_BODY or bool(reply.header(b"content-length"))
