import asyncio
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from gateway.http1.connection import Request
from gateway.http1.errors import BrokenError
from tests.gateway.http1.far import (
    CHUNKED,
    CLOSING,
    GET,
    IN_CHUNKS,
    OK,
    comes_true,
    far,
    saying,
    to,
    whole,
)

# name: what the upstream sends, the status, the body, whether another request can follow
REPLIES: dict[str, tuple[bytes, int, bytes, bool]] = {
    "a length": (OK, 200, b"ok", True),
    "no body": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, b"", True),
    "100 before it": (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200, b"ok", True),
    "103 before it, twice": (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 2 + OK, 200, b"ok", True),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
    "304, with the length that it would have": (b"HTTP/1.1 304 \r\nContent-Length: 5\r\n\r\n", 304, b"", True),
    "chunks": (IN_CHUNKS + b"1\r\no\r\n1\r\nk\r\n0\r\n\r\n", 200, b"ok", True),
    "chunks with trailers": (IN_CHUNKS + b"2\r\nok\r\n0\r\nX-Sum: 1\r\nX-B: 2\r\n\r\n", 200, b"ok", True),
    "chunks with extensions": (IN_CHUNKS + b"2;a=b\r\nok\r\n0;c\r\n\r\n", 200, b"ok", True),
    "spaces after a chunk's size": (IN_CHUNKS + b"2  \r\nok\r\n0\r\n\r\n", 200, b"ok", True),
    "bare line feeds": (b"HTTP/1.1 200 OK\nX-A: b\nContent-Length: 2\n\nok", 200, b"ok", True),
    "a closing upstream": (CLOSING, 200, b"ok", False),
    "an old version": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", False),
    "bytes after it": (OK + b"more", 200, b"ok", False),
    "an answer to nothing after it": (OK + OK, 200, b"ok", False),
    "bytes after the end of a closing upstream": (CLOSING + b"more", 200, b"ok", False),
    "no phrase": (b"HTTP/1.1 599\r\nContent-Length: 2\r\n\r\nok", 599, b"ok", True),
}
BROKEN = {
    "no HTTP": b"this is not HTTP\r\n\r\n",
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "too little": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
    "a chunk cut off": IN_CHUNKS + b"5\r\nok",
    "a chunk cut off, with blanks behind the coding's name": IN_CHUNKS.replace(b"ked", b"ked \t") + b"5\r\nok",
    "no last chunk": IN_CHUNKS + b"2\r\nok\r\n",
    "a chunk of no size": IN_CHUNKS + b"zz\r\nok\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok.",
    "a length and chunks": IN_CHUNKS[:-2] + b"Content-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "chunks and a length": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + IN_CHUNKS[17:] + b"2\r\nok\r\n0\r\n\r\n",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
    "a folded line": b"HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 2\r\n\r\nok",
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "HTTP/2": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
}


@pytest.mark.parametrize("bytewise", [False, True])
@pytest.mark.parametrize("sent, status, body, reusable", REPLIES.values(), ids=REPLIES.keys())
async def test_replies(sent: bytes, status: int, body: bytes, reusable: bool, bytewise: bool) -> None:
    pieces = [sent[i : i + 1] for i in range(len(sent))] if bytewise else [sent]
    async with far(saying(*pieces)) as server:
        connection = await to(server)
        reply = await connection.send(GET)
        assert (reply.status, await whole(reply), reply.whole) == (status, body, True)
        if not reusable:
            assert await comes_true(lambda: not connection.reusable)
        assert connection.reusable is reusable
        connection.abort()


async def test_headers_are_the_last_heads_in_their_order_and_no_trailers() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\nX-B: 1\r\nSet-Cookie: b\r\nx-a: \xc3\xa9 \r\n"
    rest = b"Transfer-Encoding: chunked\r\nset-cookie: a\r\n"
    async with far(saying(hints + head + rest + b"\r\n0\r\nX-Late: 1\r\n\r\n")) as server:
        connection = await to(server)
        reply = await connection.send(GET)
        assert await whole(reply) == b""
        connection.abort()
    assert [name for name, _ in reply.headers] == [b"x-b", b"set-cookie", b"x-a", b"transfer-encoding", b"set-cookie"]
    assert (reply.header(b"x-a").strip(), reply.header(b"set-cookie"), reply.header(b"link")) == (
        b"\xc3\xa9",
        b"a",
        b"",
    )


@pytest.mark.parametrize("sent", BROKEN.values(), ids=BROKEN.keys())
async def test_what_is_no_whole_reply_is_broken(sent: bytes) -> None:
    async with far(saying(sent, stays=False)) as server:
        connection = await to(server)
        with pytest.raises(BrokenError):
            await whole(await connection.send(GET))
        assert connection.closed
        assert not connection.reusable
        with pytest.raises(BrokenError):
            await connection.send(GET)


async def test_what_came_of_a_broken_body_is_not_lost() -> None:
    async with far(saying(IN_CHUNKS, b"2\r\nok\r\n", stays=False)) as server:
        reply = await (await to(server)).send(GET)
        body = reply.chunks()
        assert await anext(body) == b"ok"
        with pytest.raises(BrokenError):
            await anext(body)
    assert not reply.whole


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n"])
async def test_a_body_that_ends_with_the_connection(head: bytes) -> None:
    async with far(saying(head, b"until ", b"the end", stays=False)) as server:
        connection = await to(server)
        reply = await connection.send(GET)
        assert (await whole(reply), connection.reusable) == (b"until the end", False)


async def test_a_body_that_ends_with_a_reset_is_broken() -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nuntil")
        await asyncio.sleep(0.05)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with far(play) as server:
        reply = await (await to(server)).send(GET)
        with pytest.raises(BrokenError):
            await whole(reply)


async def test_a_head_has_no_body_whatever_it_announces() -> None:
    async with far(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")) as server:
        connection = await to(server)
        reply = await connection.send(Request(b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n", None, method="HEAD"))
        assert (await whole(reply), reply.header(b"content-length"), connection.reusable) == (b"", b"1000", False)
        connection.abort()


@pytest.mark.parametrize(
    "before, again",
    [
        (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x" * 4096),
        (b"HTTP/1.1 200 OK\r\n", b"X-Short: x\r\n" * 400),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 200),
        (IN_CHUNKS + b"0\r\nX-Trailer: ", b"x" * 4096),
        (IN_CHUNKS + b"2;extension=", b"x" * 4096),
    ],
    ids=["a value", "headers", "words in between", "a trailer", "a chunk's extension"],
)
async def test_what_has_no_end_is_ended(before: bytes, again: bytes) -> None:
    sent = 0

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(before)
        while True:
            writer.write(again)
            sent += len(again)
            await writer.drain()

    async with far(play) as server:
        connection = await to(server)
        with pytest.raises(BrokenError, match="too large"):
            await whole(await connection.send(GET))
        assert await comes_true(lambda: not server.open)
    assert sent < 1 << 24


async def test_a_large_head_is_read() -> None:
    many = b"".join(b"X-%d: %b\r\n" % (number, b"v" * 1000) for number in range(200))
    async with far(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + many + b"\r\n")) as server:
        reply = await (await to(server)).send(GET)
        assert len(reply.headers) == 201


async def test_a_connection_is_used_again() -> None:
    async with far(saying(OK)) as server:
        connection = await to(server)
        for _ in range(3):
            assert connection.reusable
            assert await whole(await connection.send(GET)) == b"ok"
        assert server.connections == 1
        connection.abort()


async def test_a_reply_can_be_read_after_its_connection_was_used_again() -> None:
    async with far(saying(OK)) as server:
        connection = await to(server)
        first = await connection.send(GET)
        assert await comes_true(lambda: first.whole)
        assert await whole(await connection.send(GET)) == b"ok"
        assert await whole(first) == b"ok"
        connection.abort()


@pytest.mark.parametrize("last", [b"", b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"])
async def test_a_connection_that_the_upstream_ends_while_it_is_unused(last: bytes) -> None:
    async with far(saying(OK, last, stays=False)) as server:
        connection = await to(server)
        assert await whole(await connection.send(GET)) == b"ok"
        assert await comes_true(lambda: not connection.reusable)
        assert await comes_true(lambda: connection.closed)


async def test_a_connection_that_is_ending_is_not_used_again() -> None:
    """The upstream's end is seen a moment before the transport has closed."""
    async with far(saying(OK)) as server:
        connection = await to(server)
        assert connection.reusable
        connection.eof_received()
        assert not connection.reusable
        connection.abort()


# Back-pressure.


async def test_an_upstream_waits_while_nobody_reads() -> None:
    size, sent = 50 << 20, 0

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(b"x" * 65536)
            sent += 65536
            await writer.drain()

    async with far(play) as server:
        connection = await to(server)
        reply = await connection.send(GET)
        assert await comes_true(lambda: reply.paused)
        await asyncio.sleep(0.2)
        assert sent < size / 2  # the rest lies in the system's buffers
        first = reply.taken()
        assert len(first) <= 1 << 20
        assert len(first) + len(await whole(reply)) == size
        connection.abort()


async def test_a_sender_waits_while_the_upstream_does_not_read() -> None:
    given, go_on = 0, asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        nonlocal given
        for _ in range(800):
            given += 65536
            yield b"x" * 65536

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go_on.wait()
        await reader.readuntil(b"\r\n\r\n")
        while not (await reader.readuntil(b"\r\n")).startswith(b"0"):
            await reader.readexactly(65538)
        writer.write(OK)
        await reader.read()

    async with far(play) as server:
        connection = await to(server)
        sending = asyncio.create_task(connection.send(Request(CHUNKED, body(), chunked=True)))
        await asyncio.sleep(0.2)
        assert 0 < given < 800 * 65536 / 2
        go_on.set()
        assert await whole(await sending) == b"ok"
        assert given == 800 * 65536
        connection.abort()
