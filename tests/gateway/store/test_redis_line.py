"""Round trips that callers share, bounded in time, on connections that are lost and made again."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from gateway.store.breaker import Breaker
from gateway.store.contract import StoreUnavailableError
from gateway.store.redis_keys import Keys
from gateway.store.redis_line import Line, pool_of
from gateway.store.redis_records import reserving
from tests.gateway.store.cases import hold, reservation
from tests.gateway.store.servers import RedisServer, running


@pytest.fixture(scope="module")
def own_server() -> Iterator[RedisServer]:
    with running() as server:
        yield server


@pytest.fixture
def server(own_server: RedisServer) -> RedisServer:
    """A server that holds nothing, counts from 0 and knows no script."""
    for command in (("FLUSHALL",), ("SCRIPT", "FLUSH"), ("CONFIG", "RESETSTAT")):
        assert own_server.ask(*command).startswith(b"+OK")
    return own_server


@asynccontextmanager
async def line_to(url: str, timeout_s: float = 5.0, breaker: Breaker | None = None) -> AsyncIterator[Line]:
    line = Line(pool_of(url), Keys("cg"), timeout_s, breaker or Breaker())
    try:
        yield line
    finally:
        await line.close()


async def test_callers_at_the_same_time_share_a_round_trip(server: RedisServer) -> None:
    async with line_to(server.url) as line:
        await line.ask([("PING",)])
        before = server.reads()
        operations = [line.operate("acme", reserving(reservation(f"r{n}", hold(amount=1)))) for n in range(50)]
        answers = await asyncio.gather(*operations, *(line.ask([("PING",)]) for _ in range(50)))
    # It reads 16 KB at a time, and the script is sent twice, since it is not known; one read asked for this number.
    assert server.reads() - before <= 10
    assert sorted(answer[2] for answer in answers[:50]) == list(range(1, 51))
    assert answers[50:] == [[b"PONG"]] * 50
    assert server.calls("evalsha") == 1


async def test_what_is_handed_in_meanwhile_goes_out_together(server: RedisServer) -> None:
    async with line_to(server.url) as line:
        await line.ask([("PING",)])
        before = server.reads()
        under_way = asyncio.create_task(line.ask([("DEBUG", "SLEEP", "0.1")]))
        await asyncio.sleep(0.01)
        later = []
        for _ in range(10):
            later.append(asyncio.create_task(line.ask([("INCR", "n")])))
            await asyncio.sleep(0.002)
        await under_way
        assert [await each for each in later] == [[number] for number in range(1, 11)]
        assert server.reads() - before <= 4  # what is under way, what came meanwhile, and who asks for this number


async def test_the_same_number_of_answers_comes_back_however_many_are_asked_at_once(server: RedisServer) -> None:
    async with line_to(server.url) as line:
        asked = [line.operate("acme", reserving(reservation(f"r{n}", hold(amount=1, limit=9999)))) for n in range(3000)]
        answers = await asyncio.gather(*asked)
    assert sorted(answer[2] for answer in answers) == list(range(1, 3001))


async def test_a_connection_that_was_lost_is_made_again_and_nobody_notices(server: RedisServer) -> None:
    async with line_to(server.url) as line:
        for _ in range(3):
            await line.ask([("SET", "x", "1")])
            server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            assert await line.ask([("GET", "x")]) == [b"1"]


async def test_scripts_that_the_server_forgot_are_sent_again(server: RedisServer) -> None:
    async with line_to(server.url) as line:
        for number in range(1, 4):
            assert await line.operate("acme", reserving(reservation(f"r{number}", hold(amount=1)))) == [0, 0, number]
            server.ask("SCRIPT", "FLUSH")
    assert server.calls("eval") == 3


async def test_an_answer_that_takes_too_long_is_not_waited_for(server: RedisServer) -> None:
    async with line_to(server.url, timeout_s=0.05) as line:
        await line.ask([("PING",)])
        started = time.monotonic()
        with pytest.raises(StoreUnavailableError, match="within 50 ms"):
            await line.ask([("DEBUG", "SLEEP", "0.3")])
        assert time.monotonic() - started < 0.2
        await asyncio.sleep(0.4)
        assert await line.ask([("PING",)]) == [b"PONG"]  # and not the answer that came late


async def test_what_arrived_while_the_event_loop_was_busy_is_not_late(server: RedisServer) -> None:
    async with line_to(server.url, timeout_s=0.05) as line:
        await line.ask([("PING",)])
        asked = asyncio.create_task(line.ask([("PING",)]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        time.sleep(0.15)  # noqa: ASYNC251 - a loop that is busy is what this is about
        assert await asked == [b"PONG"]


async def test_a_mistake_of_one_caller_is_no_outage(server: RedisServer) -> None:
    changes: list[bool] = []
    async with line_to(server.url, breaker=Breaker(lambda there, _why: changes.append(there))) as line:
        await line.ask([("SET", "text", "x")])
        for wrong in (("NONSENSE",), ("INCR", "text"), ("LPUSH", "text", "y")):
            for _ in range(3):
                good = asyncio.create_task(line.ask([("GET", "text")]))
                with pytest.raises(StoreUnavailableError):
                    await line.ask([wrong])
                assert await good == [b"x"]
    assert changes == []


async def test_where_nobody_listens_callers_are_told_so_and_soon_at_once() -> None:
    changes: list[bool] = []
    async with line_to("redis://127.0.0.1:1", breaker=Breaker(lambda there, _why: changes.append(there))) as line:
        for _ in range(5):
            with pytest.raises(StoreUnavailableError, match=r"^Redis: ConnectionError: .*Connect") as raised:
                await line.ask([("PING",)])
    assert changes == [False]
    assert str(raised.value).endswith("; it is asked again within a second")


async def test_a_wrong_password_is_told_as_an_outage(server: RedisServer) -> None:
    async with line_to(server.url.replace("127", ":wrong@127")) as line:
        with pytest.raises(StoreUnavailableError, match=r"AUTH|password"):
            await line.ask([("PING",)])


async def test_a_closed_line_answers_nothing_more(server: RedisServer) -> None:
    async with line_to(server.url) as line:
        last = asyncio.create_task(line.ask([("PING",)]))
        await asyncio.sleep(0)
    assert await last == [b"PONG"]
    with pytest.raises(StoreUnavailableError, match="closed"):
        await line.ask([("PING",)])


@pytest.mark.parametrize("url", ["http://127.0.0.1", "127.0.0.1:6379"])
def test_what_is_no_url_of_redis_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="redis://"):
        pool_of(url)
