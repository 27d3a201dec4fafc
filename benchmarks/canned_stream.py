"""An upstream that streams chat chunks: `python -m benchmarks.canned_stream PORT`.

How many and with what pause stands in the request's `metadata`: {"events": "200", "gap_ms": "5"}; without a pause it
sends as fast as its reader takes them. Each event is a chunk of its own. An event's content is its number and, where
there is a pause, the moment at which it was written (nanoseconds of the monotonic clock, which all processes share).
"""

import asyncio
import functools
import json
import sys
import time
from typing import Any, cast

import uvloop

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
NO_BODY = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
END = b"data: [DONE]\n\n"
_EVENT = (
    b'data: {"id":"chatcmpl-canned","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o-mini",'
    b'"choices":[{"index":0,"delta":{"content":"%06d %019d "},"finish_reason":null}]}\n\n'
)
_USAGE = (
    b'data: {"id":"chatcmpl-canned","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o-mini",'
    b'"choices":[],"usage":{"prompt_tokens":20,"completion_tokens":%d,"total_tokens":%d}}\n\n'
)
_AT_ONCE = 8  # events that leave together where there is no pause, lest it be the upstream that is measured


def chunk(data: bytes) -> bytes:
    """Return the bytes as a chunk of HTTP."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(number: int, now: int) -> bytes:
    """Return an event that says its number and the moment."""
    return _EVENT % (number, now)


@functools.cache
def blocks(count: int) -> tuple[bytes, ...]:
    """Return so many events without their moments as they go over the wire, some at a time."""
    chunks = [chunk(event(number, 0)) for number in range(count)]
    return tuple(b"".join(chunks[at : at + _AT_ONCE]) for at in range(0, count, _AT_ONCE))


class Streaming(asyncio.Protocol):
    """Answers every request on a kept-alive connection, a GET with nothing; understands Content-Length only."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        self.loop = asyncio.get_running_loop()
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but inheritance
        self.received = b""
        self.room = asyncio.Event()
        self.room.set()
        self.task: asyncio.Task[None] | None = None

    def data_received(self, data: bytes) -> None:
        """Answer once the head and as many bytes as it declares have come."""
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        _, _, length = head.lower().partition(b"content-length:")
        if not end or len(body) < int(length.split(b"\r\n", 1)[0] or 0):
            return
        self.received = b""
        if head.startswith(b"GET"):
            self.transport.write(NO_BODY)
        else:
            self.task = self.loop.create_task(self.answer(json.loads(body)))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - as asyncio calls it
        """Stop answering."""
        if self.task:
            self.task.cancel()

    def pause_writing(self) -> None:
        """Wait until the reader has taken more."""
        self.room.clear()

    def resume_writing(self) -> None:
        """Go on."""
        self.room.set()

    async def answer(self, asked: dict[str, Any]) -> None:
        """Send the stream, with a usage where it was asked for."""
        plan = asked["metadata"]
        count, gap = int(plan["events"]), float(plan["gap_ms"]) / 1e3
        self.transport.write(HEAD)
        await (self.paced(count, gap) if gap else self.poured(count))
        usage = _USAGE % (count, count + 20) if (asked.get("stream_options") or {}).get("include_usage") else b""
        self.transport.write((chunk(usage) if usage else b"") + chunk(END) + b"0\r\n\r\n")

    async def paced(self, count: int, gap: float) -> None:
        """Write an event every `gap` seconds, the first one after the first pause."""
        for number in range(count):
            await asyncio.sleep(gap)
            self.transport.write(chunk(event(number, time.monotonic_ns())))

    async def poured(self, count: int) -> None:
        """Write events as fast as they are taken, with others' streams in turn."""
        for block in blocks(count):
            self.transport.write(block)
            await self.room.wait()
            await asyncio.sleep(0)


async def serve(port: int) -> None:
    """Serve until cancelled."""
    server = await asyncio.get_running_loop().create_server(Streaming, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
