import asyncio
import math
import socket
import struct
import sys
from collections.abc import AsyncIterator

import pytest

from gateway.http1.connection import Request, Timeouts
from gateway.http1.errors import BrokenError, SilentError, WireError
from tests.gateway.http1.far import GET, OK, comes_true, far, saying, silent, to, whole

POST = b"POST / HTTP/1.1\r\nhost: x\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"
CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
IN_CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
QUICK = Timeouts(connect=5, first_byte=1, idle=2, total=60)
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


async def pieces(count: int, *each: bytes) -> AsyncIterator[bytes]:
    for _ in range(count):
        for piece in each:
            yield piece


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


# Clocks: `check` is told what time it is.


def later(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_no_reply_in_time() -> None:
    async with far(silent) as server:
        connection = await to(server, QUICK)
        sending = asyncio.create_task(connection.send(GET))
        await asyncio.sleep(0.05)
        connection.check(later(0.5))
        assert not connection.closed
        connection.check(later(1))
        with pytest.raises(SilentError):
            await sending
        assert await comes_true(lambda: not server.open)


async def test_a_reply_that_stops() -> None:
    async with far(saying(IN_CHUNKS, b"2\r\nok\r\n")) as server:
        connection = await to(server, QUICK)
        reply = await connection.send(GET)
        body = reply.chunks()
        assert await anext(body) == b"ok"
        connection.check(later(1.5))
        assert not connection.closed
        connection.check(later(2))
        with pytest.raises(SilentError):
            await anext(body)


async def test_a_reply_that_takes_too_long_in_all_though_it_never_stops() -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(IN_CHUNKS)
        while True:
            writer.write(b"2\r\nok\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    timeouts = Timeouts(connect=5, first_byte=5, idle=5, total=0.2)
    async with far(play) as server:
        connection = await to(server, timeouts)
        reply = await connection.send(GET)
        begun = later(0)
        while not connection.closed:
            assert reply.taken() or await anext(reply.chunks())
            connection.check(later(0))
        with pytest.raises(SilentError):
            await whole(reply)
        assert 0.1 < later(0) - begun < 2


async def test_the_clock_stands_while_the_reader_is_slow() -> None:
    more = asyncio.Event()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n" + b"x" * 4_000_000)
        await more.wait()

    async with far(play) as server:
        connection = await to(server, Timeouts(connect=5, first_byte=1, idle=2))
        reply = await connection.send(GET)
        assert await comes_true(lambda: reply.paused)
        connection.check(later(1000))
        assert not connection.closed
        received, body = 0, reply.chunks()
        while received < 4_000_000:
            received += len(await anext(body))
        connection.check(later(1.5))
        assert not connection.closed
        connection.check(later(2))  # Now it is the upstream that is waited for.
        with pytest.raises(SilentError):
            await anext(body)
        more.set()


async def test_the_clock_stands_while_the_body_is_slow_to_come() -> None:
    more = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"abc"
        await more.wait()
        yield b"!"

    async with far(silent) as server:
        connection = await to(server, QUICK)
        sending = asyncio.create_task(connection.send(Request(CHUNKED, body(), chunked=True)))
        await asyncio.sleep(0.05)
        connection.check(later(30))
        assert not connection.closed
        more.set()
        await asyncio.sleep(0.05)
        connection.check(later(1))
        with pytest.raises(SilentError):
            await sending


async def test_the_rest_of_a_body_does_not_set_the_clock_of_a_slow_reader() -> None:
    more = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        await more.wait()
        yield b"abc"

    async with far(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n" + b"x" * 4_000_000)) as server:
        connection = await to(server, Timeouts(connect=5, first_byte=1, idle=2))
        reply = await connection.send(Request(CHUNKED, body(), chunked=True))
        assert await comes_true(lambda: reply.paused)
        more.set()
        await asyncio.sleep(0.05)
        connection.check(later(1000))
        assert not connection.closed
        connection.abort()


async def test_an_upstream_that_reads_no_more_has_fallen_silent() -> None:
    go_on = asyncio.Event()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go_on.wait()

    async with far(play) as server:
        connection = await to(server, QUICK)
        endless = Request(CHUNKED, pieces(sys.maxsize, b"x" * 65536), chunked=True)
        sending = asyncio.create_task(connection.send(endless))
        await asyncio.sleep(0.3)
        connection.check(later(1))
        with pytest.raises(SilentError):
            await sending
        go_on.set()


async def test_no_clock_runs_while_a_connection_is_unused() -> None:
    async with far(saying(OK)) as server:
        connection = await to(server, QUICK)
        connection.check(later(1000))
        assert await whole(await connection.send(GET)) == b"ok"
        connection.check(later(1000))
        assert connection.reusable
        connection.abort()


def test_nothing_ends_a_whole_request_unless_it_is_asked_for() -> None:
    assert Timeouts(1, 2, 3).total == math.inf
    assert issubclass(SilentError, WireError)
