"""HTTP/1.1 as it stands on the wire: requests are kept byte for byte, replies are written as given."""

import asyncio
import json
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.upstreams.bills import Meter

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request as it arrived: the raw head, its headers in order and case, the body without its transfer coding."""

    head: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    @property
    def method(self) -> str:
        """The request's method."""
        return self.head.split(b" ", 1)[0].decode()

    @property
    def target(self) -> str:
        """The path and query as they came."""
        return self.head.split(b" ", 2)[1].decode("latin-1")

    @property
    def path(self) -> str:
        """The path without the query."""
        return self.target.partition("?")[0]

    def get(self, name: str) -> str:
        """Return the header's first value, or an empty string."""
        wanted = name.lower().encode()
        return next((v.decode("latin-1") for k, v in self.headers if k.lower() == wanted), "")

    def json(self) -> Any:
        """Return the body parsed, or None where it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


async def read_request(reader: asyncio.StreamReader, begun: Callable[[], None]) -> Recorded | None:
    """Return the next request of a connection, or None at its end; `begun` is called when its head is there."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        begun()
        lines = head[:-4].split(b"\r\n")[1:]
        headers = tuple((name, value.strip()) for name, _, value in (line.partition(b":") for line in lines))
        found = {name.lower(): value for name, value in headers}
        if found.get(b"transfer-encoding", b"").lower() == b"chunked":
            body = await _read_chunks(reader)
        else:
            body = await reader.readexactly(int(found.get(b"content-length", b"0")))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return Recorded(head, headers, body)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readexactly(2)
    return b"".join(parts)


class Exchange:
    """One request and the means to answer it, rightly or wrongly."""

    def __init__(self, request: Recorded, writer: asyncio.StreamWriter) -> None:
        self.request = request
        self.meter: Meter | None = None
        self.ended = False
        self._writer = writer

    def charge(self, usage: dict[str, Any]) -> None:
        """Begin work that is billed: by this usage when the reply is complete, until then by what was produced."""
        model = (self.request.json() or {}).get("model")
        self.meter = Meter(self.request.path, str(model), usage)

    async def head(self, status: int, headers: Headers) -> None:
        """Write the status line and the headers, and nothing else."""
        lines = [b"HTTP/1.1 %d Whatever" % status, *(name + b": " + value for name, value in headers)]
        await self.raw(b"\r\n".join(lines) + b"\r\n\r\n")

    async def raw(self, data: bytes) -> None:
        """Write bytes as they are."""
        self._writer.write(data)
        await self._writer.drain()

    async def chunk(self, data: bytes) -> None:
        """Write one chunk of a chunked body; an empty one ends it."""
        await self.raw(b"%x\r\n%s\r\n" % (len(data), data))
        self.ended = not data

    async def event(self, data: bytes) -> None:
        """Write a server-sent event as a chunk, on the bill."""
        if self.meter:
            self.meter.produced(data)
        await self.chunk(data)

    async def whole(self, status: int, body: bytes, headers: Headers = ()) -> None:
        """Write a reply with a Content-Length; a HEAD request gets the head alone."""
        await self.head(status, [*headers, (b"Content-Length", b"%d" % len(body))])
        if self.request.method != "HEAD":
            await self.raw(body)
        self.ended = True

    async def json(self, value: object, status: int = 200, headers: Headers = ()) -> None:
        """Write a JSON reply."""
        body = json.dumps(value).encode()
        await self.whole(status, body, [(b"Content-Type", b"application/json"), *headers])

    async def begin_stream(self, headers: Headers = ()) -> None:
        """Write the head of an event stream."""
        kind = (b"Content-Type", b"text/event-stream; charset=utf-8")
        await self.head(200, [kind, (b"Transfer-Encoding", b"chunked"), *headers])

    def reset(self) -> None:
        """Break the connection with RST, as a crashed peer's kernel does."""
        connection = self._writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def hang_up(self) -> None:
        """Close the connection in good order, whatever was promised."""
        await self._writer.drain()
        self._writer.close()
