import asyncio
import socket
import struct
import sys
from collections.abc import AsyncIterator

import pytest

from gateway.http1.connection import Request
from gateway.http1.dialing import Origin, dial
from gateway.http1.errors import BrokenError
from tests.gateway.http1.far import (
    CHUNKED,
    GET,
    IN_CHUNKS,
    PATIENT,
    POST,
    comes_true,
    far,
    pieces,
    saying,
    silent,
    to,
    whole,
)

# Bodies of requests.


async def echo_raw(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with the request's bytes, as soon as they end as the tests' requests do."""
    received = b""
    while not received.endswith(b"!") and not received.endswith(b"0\r\n\r\n"):
        received += await reader.read(65536)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(received), received))
    await reader.read()


@pytest.mark.parametrize(
    "head, body, chunked, expected",
    [
        (POST + b"content-length: 3\r\n\r\n", b"ab!", False, b"ab!"),
        (POST + b"content-length: 300001\r\n\r\n", b"x" * 300_000 + b"!", False, b"x" * 300_000 + b"!"),
        (POST + b"content-length: 5\r\n\r\n", (b"ab", b"", b"cd", b"!"), False, b"abcd!"),
        (CHUNKED, (b"ab", b"", b"cd"), True, b"2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n"),
        (CHUNKED, (), True, b"0\r\n\r\n"),
    ],
    ids=["whole", "large", "in pieces", "in chunks", "in no chunk"],
)
async def test_bodies(head: bytes, body: bytes | tuple[bytes, ...], chunked: bool, expected: bytes) -> None:
    async with far(echo_raw) as server:
        connection = await to(server)
        sent = body if isinstance(body, bytes) else pieces(1, *body)
        reply = await connection.send(Request(head, sent, chunked))
        assert await whole(reply) == head + expected
        assert connection.reusable
        connection.abort()


class OwnError(Exception):
    """What a body's iterator may raise."""


async def failing(*before: bytes) -> AsyncIterator[bytes]:
    for piece in before:
        yield piece
    raise OwnError


@pytest.mark.parametrize("before", [(), (b"abc",)])
async def test_what_the_body_raises_comes_out(before: tuple[bytes, ...]) -> None:
    async with far(silent) as server:
        connection = await to(server)
        with pytest.raises(OwnError):
            await connection.send(Request(CHUNKED, failing(*before), chunked=True))
        assert connection.closed
        assert await comes_true(lambda: not server.open)


async def test_a_body_that_fails_when_the_reply_has_begun_breaks_it() -> None:
    go_on = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        await go_on.wait()
        raise OwnError
        yield b""

    async with far(saying(IN_CHUNKS)) as server:
        connection = await to(server)
        reply = await connection.send(Request(CHUNKED, body(), chunked=True))
        go_on.set()
        with pytest.raises(BrokenError):
            await whole(reply)


async def test_a_reply_that_comes_before_the_body_was_sent() -> None:
    ended = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        try:
            yield b"abc"
            await asyncio.sleep(3600)
        finally:
            ended.set()

    async with far(saying(b"HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno")) as server:
        connection = await to(server)
        reply = await connection.send(Request(CHUNKED, body(), chunked=True))
        assert (reply.status, await whole(reply)) == (413, b"no")
        assert not connection.reusable  # half a request stands on it
        connection.abort()
        async with asyncio.timeout(5):
            await ended.wait()


async def test_an_upstream_that_refuses_and_closes_in_the_middle_of_a_large_body_is_heard() -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 No\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
        await writer.drain()
        writer.write_eof()
        await asyncio.sleep(0.1)

    async with far(play) as server:
        connection = await to(server)
        head = POST + b"content-length: 20000000\r\n\r\n"
        reply = await connection.send(Request(head, b"x" * 20_000_000))
        assert (reply.status, await whole(reply)) == (413, b"no")
        connection.abort()


async def test_a_refusal_is_heard_though_the_upstream_resets_before_the_body_was_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        connection = await dial(Origin("127.0.0.1", server.getsockname()[1]), PATIENT)
        upstream, _ = server.accept()
        upstream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        async def body() -> AsyncIterator[bytes]:
            upstream.sendall(b"HTTP/1.1 413 No\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
            upstream.close()
            while True:
                yield b"x" * 65536
                await asyncio.sleep(0)

        reply = await connection.send(Request(CHUNKED, body(), chunked=True))
        assert (reply.status, await whole(reply)) == (413, b"no")
        assert await comes_true(lambda: connection.closed)


async def test_an_upstream_that_closes_while_the_body_is_sent() -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    async with far(play) as server:
        connection = await to(server)
        with pytest.raises(BrokenError):
            await connection.send(Request(CHUNKED, pieces(sys.maxsize, b"x" * 65536), chunked=True))
        assert connection.closed


async def test_giving_up_ends_the_connection() -> None:
    async with far(silent) as server:
        connection = await to(server)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await connection.send(GET)
        assert connection.closed
        assert await comes_true(lambda: not server.open)
