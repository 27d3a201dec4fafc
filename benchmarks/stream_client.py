"""A client that reads streams at little cost: it notes when which bytes came, and looks into them afterwards."""

import asyncio
import json
import re
import time
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

from benchmarks.canned_stream import END
from benchmarks.load import HEADERS, request_of

_LAST = b"0\r\n\r\n"
_STAMPED = re.compile(rb'"content":"(\d{6}) (\d{19}) "')


def request_for(url: str, events: int, gap_ms: float) -> bytes:
    """Return the request for a stream of so many events, as it goes over the wire."""
    body = {
        "model": "gpt-4o-mini",
        "stream": True,
        "metadata": {"events": str(events), "gap_ms": str(gap_ms)},
        "messages": [{"role": "user", "content": "Count, please."}],
    }
    return request_of(f"{url}/v1/chat/completions", json.dumps(body).encode(), HEADERS)


@dataclass(frozen=True, slots=True)
class Seen:
    """One reply: when the request was sent, what came when (nanoseconds of the monotonic clock), if to its end."""

    sent: int
    pieces: tuple[tuple[int, bytes], ...]
    ended: bool

    @property
    def first_ms(self) -> float:
        """Milliseconds until the first event."""
        return next(((when - self.sent) / 1e6 for when, data in self.pieces if b"data:" in data), float("inf"))

    @property
    def delays_ms(self) -> list[float]:
        """Milliseconds from the writing of each event to its arrival."""
        return [(when - int(stamp)) / 1e6 for when, data in self.pieces for _, stamp in _STAMPED.findall(data)]

    def whole(self, events: int) -> bool:
        """Whether it is a good reply with all events in their order, to the end that HTTP gives it."""
        head, _, body = b"".join(data for _, data in self.pieces).partition(b"\r\n\r\n")
        text = dechunked(body)
        numbers = [int(number) for number, _ in _STAMPED.findall(text)]
        good = head.startswith(b"HTTP/1.1 200") and self.ended
        return good and numbers == list(range(events)) and text.endswith(END)


def dechunked(body: bytes) -> bytes:
    """Return what a chunked body holds, up to where it stops being one."""
    parts, at = [], 0
    while (end := body.find(b"\r\n", at)) > 0 and (size := _size(body[at:end])):
        parts.append(body[end + 2 : end + 2 + size])
        at = end + 2 + size + 2
    return b"".join(parts)


def _size(line: bytes) -> int:
    try:
        return int(line, 16)
    except ValueError:
        return 0


class StreamClient(asyncio.Protocol):
    """One connection; `read` is called again when the reply before has ended."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._pieces: list[tuple[int, bytes]] = []
        self._over: asyncio.Future[bool] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to ask."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but inheritance

    def data_received(self, data: bytes) -> None:
        """Note what came, and whether it was the last."""
        self._pieces.append((time.monotonic_ns(), data))
        # The end may come in pieces: what stands before the last few bytes is looked at too.
        last = data if len(data) >= len(_LAST) else b"".join(piece for _, piece in self._pieces[-len(_LAST) :])
        if last.endswith(_LAST):
            self._end(ended=True)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - as asyncio calls it
        """End what is being read."""
        self._end(ended=False)

    def _end(self, ended: bool) -> None:
        if not self._over.done():
            self._over.set_result(ended)

    async def read(self, request: bytes, timeout_s: float = 120) -> Seen:
        """Send the request and return the reply when it has ended, as it should or not."""
        self._pieces = []
        self._over = self._loop.create_future()
        sent = time.monotonic_ns()
        self._transport.write(request)
        try:
            ended = await asyncio.wait_for(self._over, timeout_s)
        except TimeoutError:
            ended = False
        return Seen(sent, tuple(self._pieces), ended)

    def close(self) -> None:
        """Leave."""
        self._transport.abort()


async def connected(url: str) -> StreamClient:
    """Return a client that is connected to the URL's server."""
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(StreamClient, parts.hostname or "", parts.port or 80)
    return client
