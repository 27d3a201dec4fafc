import asyncio
import gc
import weakref

import pytest

from gateway.http1.cycle import GONE
from gateway.http1.inbound import Inbound
from tests.gateway.http1.far import comes_true
from tests.gateway.http1.near import (
    CHUNKED,
    GET,
    POST,
    Message,
    Receive,
    Send,
    Waiting,
    near,
    quick,
    short,
)

# Clients that leave.


@pytest.mark.parametrize(
    "sent",
    [
        GET,
        POST + b"Content-Length: 3\r\n\r\nabc",
        POST + b"Content-Length: 300000\r\n\r\n" + b"x" * 300_000,
        POST + b"Content-Length: 3000000\r\n\r\n" + b"x" * 3_000_000,
        CHUNKED + b"493e0\r\n" + b"x" * 300_000 + b"\r\n0\r\n\r\n",
        POST + b"Content-Length: 30\r\n\r\nabc",
    ],
    ids=["no body", "a body", "a large body", "a larger body", "in chunks", "half a body"],
)
async def test_the_application_is_told_at_once_when_the_client_leaves(sent: bytes) -> None:
    app = Waiting()
    async with near(app) as server:
        client = await server.client()
        client.send(sent)
        await client.writer.drain()
        assert await comes_true(lambda: app.begun)
        await asyncio.sleep(0.1)
        client.leave()
        assert await comes_true(lambda: app.gone, timeout_s=0.5)
        app.go_on.set()
    assert app.gone == 1


async def test_also_while_it_has_not_taken_a_large_body_yet() -> None:
    gone = asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        scope["extensions"][GONE](gone.set)
        await gone.wait()

    async with near(app) as server:
        client = await server.client()
        client.send(POST, b"Content-Length: 300000\r\n\r\n", b"x" * 300_000)
        await client.writer.drain()
        await asyncio.sleep(0.1)
        client.leave()
        await asyncio.wait_for(gone.wait(), 1)


async def test_the_application_is_told_of_a_client_that_sent_its_requests_without_waiting() -> None:
    app = Waiting()
    async with near(app) as server:
        client = await server.client()
        client.send(GET, GET.replace(b"/ ", b"/second "))
        assert await comes_true(lambda: app.begun)
        app.go_on.set()
        assert (await client.answer()).body == b"/"
        app.go_on.clear()
        assert await comes_true(lambda: len(app.begun) == 2 or app.gone)
        client.leave()
        app.go_on.set()


async def test_requests_that_waited_are_not_all_begun_for_a_client_that_left() -> None:
    """While some wait nothing is read, and so it shows at the first reply."""
    app = Waiting()
    async with near(app) as server:
        client = await server.client()
        client.send(GET, GET, GET)
        assert await comes_true(lambda: app.begun)
        await asyncio.sleep(0.05)
        client.writer.transport.abort()
        await asyncio.sleep(0.05)
        app.go_on.set()
        assert await comes_true(lambda: server.state.quiet)
    assert len(app.begun) <= 2


# The server's side.


async def test_the_connection_unused_longest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch, MOST_CONNECTIONS=3)
    app = Waiting()
    async with near(app) as server:
        busy = await server.client()
        busy.send(GET)
        assert await comes_true(lambda: app.begun)
        first = await server.client()
        assert await comes_true(lambda: len(server.state.connections) == 2)
        await asyncio.sleep(0.05)
        others = [await server.client() for _ in range(2)]
        assert await first.closed()
        app.go_on.set()
        for client in (busy, *others):
            if client is not busy:
                client.send(GET)
            assert (await client.answer()).status == 200


async def test_without_an_unused_one_the_newest_is_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch, MOST_CONNECTIONS=2)
    app = Waiting()
    async with near(app) as server:
        clients = [await server.client() for _ in range(2)]
        for client in clients:
            client.send(GET)
        assert await comes_true(lambda: len(app.begun) == 2)
        assert await (await server.client()).closed()
        app.go_on.set()
        assert [(await client.answer()).status for client in clients] == [200, 200]


async def test_many_at_once_stay_within_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch, MOST_CONNECTIONS=20)
    async with near(short) as server:
        await asyncio.gather(*(server.client() for _ in range(100)))
        assert await comes_true(lambda: len(server.state.connections) <= 20)
        assert (await server.ask(GET)).status == 200


def told_to_stop(connections: set[Inbound]) -> None:
    for connection in list(connections):
        connection.shutdown()


async def test_told_to_stop_it_finishes_what_has_begun() -> None:
    app = Waiting()
    async with near(app) as server:
        unused, busy, sending = [await server.client() for _ in range(3)]
        busy.send(GET)
        sending.send(POST, b"Content-Length: 6\r\n\r\nabc")
        assert await comes_true(lambda: len(app.begun) == 2 and len(server.state.connections) == 3)
        told_to_stop(server.state.connections)
        assert await unused.closed()
        app.go_on.set()
        sending.send(b"def")
        for client in (busy, sending):
            answer = await client.answer()
            assert (answer.status, answer.headers[b"connection"]) == (200, b"close")
            assert await client.closed()


async def test_told_to_stop_in_a_reply_it_ends_after_it() -> None:
    go_on = asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun ", "more_body": True})
        await go_on.wait()
        await send({"type": "http.response.body", "body": b"and ended"})

    async with near(app) as server:
        client = await server.client()
        client.send(GET)
        await client.reader.readuntil(b"begun \r\n")
        told_to_stop(server.state.connections)
        go_on.set()
        assert (await client.rest()).endswith(b"9\r\nand ended\r\n0\r\n\r\n")


# What is left of a request.


async def test_what_a_request_was_is_gone_with_it() -> None:
    seen: list[weakref.ref[object]] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        seen.append(weakref.ref(scope["extensions"][GONE].__self__))
        await short(scope, receive, send)

    gc.disable()  # which would find it later, with much else
    try:
        async with near(app) as server:
            client = await server.client()
            for _ in range(3):
                assert (await client.send(GET).answer()).status == 200
            assert await comes_true(lambda: [request() for request in seen] == [None] * 3)
    finally:
        gc.enable()
