import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.http1 import pool
from gateway.http1.connection import Request, Timeouts
from gateway.http1.dialing import Origin
from gateway.http1.errors import BrokenError, NotConnectedError, SilentError
from gateway.http1.pool import Pool
from tests.gateway.http1.far import GET, OK, PATIENT, Far, comes_true, far, saying, silent, whole

ENDLESS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"
QUICK = Timeouts(connect=5, first_byte=0.2, idle=0.2)


@asynccontextmanager
async def pooled(server: Far, timeouts: Timeouts = PATIENT) -> AsyncIterator[Pool]:
    async with Pool(server.origin, timeouts) as found:
        yield found


async def test_one_after_the_other_they_share_a_connection() -> None:
    async with far(saying(OK)) as server, pooled(server) as connections:
        for _ in range(5):
            lease = await connections.send(GET)
            assert connections.busy == 1
            assert await whole(lease.reply) == b"ok"
            lease.close()
            assert connections.busy == 0
        assert server.connections == 1


async def test_at_the_same_time_each_has_its_own_and_they_are_used_again() -> None:
    async with far(saying(OK)) as server, pooled(server) as connections:
        for _ in range(2):
            leases = await asyncio.gather(*(connections.send(GET) for _ in range(3)))
            assert connections.busy == 3
            assert [await whole(lease.reply) for lease in leases] == [b"ok"] * 3
            for lease in leases:
                lease.close()
        assert server.connections == 3


async def test_a_reply_that_is_not_read_to_its_end_takes_its_connection_with_it() -> None:
    async with far(saying(ENDLESS)) as server, pooled(server) as connections:
        lease = await connections.send(GET)
        lease.close()
        assert await comes_true(lambda: not server.open)
        (await connections.send(GET)).close()
        assert server.connections == 2


async def test_a_reply_given_back_twice_is_given_back_once() -> None:
    async with far(saying(OK)) as server, pooled(server) as connections:
        lease = await connections.send(GET)
        await whole(lease.reply)
        lease.close()
        lease.close()
        first, second = await connections.send(GET), await connections.send(GET)
        assert [await whole(first.reply), await whole(second.reply)] == [b"ok", b"ok"]
        lease.close()
        assert (connections.busy, server.connections) == (2, 2)


async def test_a_connection_that_the_upstream_ended_is_not_used_again() -> None:
    async with far(saying(OK, stays=False)) as server, pooled(server) as connections:
        for _ in range(3):
            lease = await connections.send(GET)
            assert await whole(lease.reply) == b"ok"
            lease.close()
            assert await comes_true(lambda: not server.open)
            await asyncio.sleep(0.02)
        assert server.connections == 3


async def test_a_connection_unused_for_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_KEPT_S", 0.4)
    async with far(saying(OK)) as server, pooled(server, QUICK) as connections:
        leases = [await connections.send(GET), await connections.send(GET)]
        for lease in leases:
            await whole(lease.reply)
            lease.close()
        for _ in range(7):  # the last one used is the next: one is kept busy, one grows old
            await asyncio.sleep(0.1)
            lease = await connections.send(GET)
            await whole(lease.reply)
            lease.close()
        assert (server.connections, server.open) == (2, 1)
        assert await comes_true(lambda: not server.open)


async def test_silence_before_the_reply_ends_a_request() -> None:
    async with far(silent) as server, pooled(server, QUICK) as connections:
        with pytest.raises(SilentError):
            await connections.send(GET)
        assert connections.busy == 0


async def test_silence_in_the_reply_ends_it() -> None:
    async with far(saying(ENDLESS)) as server, pooled(server, QUICK) as connections:
        lease = await connections.send(GET)
        with pytest.raises(SilentError):
            await whole(lease.reply)
        lease.close()
        assert connections.busy == 0


async def test_a_request_that_takes_too_long_in_all_is_ended() -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(ENDLESS)
        while True:
            writer.write(b"2\r\nok\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with far(play) as server, pooled(server, Timeouts(5, 5, 5, total=0.2)) as connections:
        lease = await connections.send(GET)
        with pytest.raises(SilentError):
            await whole(lease.reply)


async def test_a_broken_connection_is_not_busy_any_more() -> None:
    async with far(saying(b"no HTTP\r\n", stays=False)) as server, pooled(server) as connections:
        with pytest.raises(BrokenError):
            await connections.send(GET)
        assert connections.busy == 0


async def test_no_connection_is_not_busy() -> None:
    async with far(silent) as server:
        port = server.port
    async with Pool(Origin("127.0.0.1", port), PATIENT) as connections:
        with pytest.raises(NotConnectedError):
            await connections.send(GET)
        assert connections.busy == 0


async def test_a_request_that_waits_for_a_connection_or_a_reply_is_busy_until_it_is_given_up() -> None:
    async with far(silent) as server, pooled(server) as connections:
        sending = asyncio.ensure_future(connections.send(GET))
        await asyncio.sleep(0)
        assert connections.busy == 1
        assert await comes_true(lambda: server.open)
        assert connections.busy == 1
        sending.cancel()
        await asyncio.wait([sending])
        assert connections.busy == 0
        assert await comes_true(lambda: not server.open)


async def test_the_end_of_the_pool_ends_its_connections() -> None:
    async with far(saying(ENDLESS)) as server, far(saying(OK)) as other:
        async with pooled(server) as connections, pooled(other) as unused:
            lease = await connections.send(GET)
            kept = await unused.send(GET)
            await whole(kept.reply)
            kept.close()
            assert (server.open, other.open) == (1, 1)
        assert await comes_true(lambda: not server.open and not other.open)
        with pytest.raises(BrokenError):
            await whole(lease.reply)
        lease.close()


async def test_an_upload_that_goes_on_after_the_reply_ends_with_its_lease() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"abc"
        await asyncio.sleep(3600)

    head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    async with far(saying(OK)) as server, pooled(server) as connections:
        lease = await connections.send(Request(head, body(), chunked=True))
        assert await whole(lease.reply) == b"ok"
        lease.close()
        assert await comes_true(lambda: not server.open)
