import asyncio

import pytest

from gateway.http1.errors import BrokenError
from gateway.http1.reply import Reply
from tests.gateway.http1.far import whole


def reply_with(*pieces: bytes) -> Reply:
    reply = Reply(lambda: None)
    for piece in pieces:
        reply.add(piece)
    return reply


def test_a_header_is_its_last_value() -> None:
    reply = reply_with()
    reply.headers += [(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]
    assert (reply.header(b"a"), reply.header(b"b"), reply.header(b"c")) == (b"3", b"2", b"")


def test_what_has_come_is_taken_once() -> None:
    reply = reply_with(b"ab", b"c")
    assert (reply.taken(), reply.taken()) == (b"abc", b"")
    reply.add(b"d")
    assert reply.taken() == b"d"


async def test_pieces_come_as_they_arrive() -> None:
    reply = reply_with(b"ab")
    body = reply.chunks()
    assert await anext(body) == b"ab"
    coming = asyncio.ensure_future(anext(body))
    await asyncio.sleep(0)
    assert not coming.done()
    reply.add(b"c")
    assert await coming == b"c"
    coming = asyncio.ensure_future(anext(body))
    await asyncio.sleep(0)
    reply.end()
    with pytest.raises(StopAsyncIteration):
        await coming
    assert reply.whole


async def test_an_error_comes_after_all_that_came() -> None:
    reply = reply_with(b"ab")
    reply.end(BrokenError("broke"))
    body = reply.chunks()
    assert await anext(body) == b"ab"
    with pytest.raises(BrokenError):
        await anext(body)
    assert not reply.whole


async def test_an_error_wakes_who_waits() -> None:
    reply = reply_with()
    reading = asyncio.ensure_future(whole(reply))
    await asyncio.sleep(0)
    reply.end(BrokenError("broke"))
    with pytest.raises(BrokenError):
        await reading


def test_more_than_should_wait_is_said_and_taking_it_has_the_upstream_go_on() -> None:
    resumed = []
    reply = Reply(lambda: resumed.append(True))
    assert not reply.add(b"x" * (1 << 18))
    assert reply.add(b"x")
    reply.paused = True
    assert len(reply.taken()) == (1 << 18) + 1
    assert resumed == [True]
    assert not reply.add(b"x" * (1 << 18))  # what was taken waits no more


async def test_who_stops_waiting_leaves_the_reply_as_it_is() -> None:
    reply = reply_with()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await anext(reply.chunks())
    reply.add(b"ab")
    reply.end()
    assert await whole(reply) == b"ab"


async def test_a_glimpse_leaves_the_body_to_be_fetched() -> None:
    reply = reply_with(b"ab")
    glimpse = asyncio.ensure_future(reply.glimpse(4))
    await asyncio.sleep(0)
    reply.add(b"c")
    await asyncio.sleep(0)
    assert not glimpse.done()
    reply.add(b"de")
    assert await glimpse == b"abcde"
    reply.end()
    assert await reply.glimpse(100) == b"abcde"
    assert await whole(reply) == b"abcde"
