import asyncio
import math
import sys
from collections.abc import AsyncIterator

import pytest

from gateway.http1.connection import Request, Timeouts
from gateway.http1.errors import SilentError, WireError
from tests.gateway.http1.far import (
    CHUNKED,
    GET,
    IN_CHUNKS,
    OK,
    QUICK,
    comes_true,
    far,
    pieces,
    saying,
    silent,
    to,
    whole,
)

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
