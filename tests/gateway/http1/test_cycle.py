import asyncio
import logging

import pytest

from gateway.http1.cycle import GONE, App
from tests.gateway.http1.far import comes_true
from tests.gateway.http1.near import Message, Receive, Send, body_of, near, reply, short

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"
OLD = b"GET / HTTP/1.0\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
EXPECTING = POST + b"Expect: 100-continue\r\n\r\n"


def sending(*messages: Message) -> App:
    """Return an application that sends these messages."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await body_of(receive)
        for message in messages:
            await send(message)

    return app


def start(status: int, *headers: tuple[bytes, bytes]) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def piece(body: bytes, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


END: Message = {"type": "http.response.body"}


# How replies stand on the wire.


WIRE: dict[str, tuple[bytes, tuple[Message, ...], bytes]] = {
    "a length": (
        GET,
        (start(200, (b"x-b", b"1"), (b"content-length", b"2"), (b"x-a", "é".encode())), piece(b"ok", more=False)),
        b"HTTP/1.1 200 OK\r\nx-b: 1\r\ncontent-length: 2\r\nx-a: \xc3\xa9\r\n\r\nok",
    ),
    "a length, in pieces": (
        GET,
        (start(200, (b"content-length", b"4")), piece(b"ab"), piece(b""), piece(b"cd"), END),
        b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabcd",
    ),
    "chunks": (
        GET,
        (start(200), piece(b"ab"), piece(b""), piece(b"x" * 16), END),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n10\r\nxxxxxxxxxxxxxxxx\r\n0\r\n\r\n",
    ),
    "one chunk": (
        GET,
        (start(200), piece(b"ab", more=False)),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    ),
    "no chunk": (GET, (start(200), END), b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    "framing that is not the application's matter": (
        GET,
        (start(200, (b"transfer-encoding", b"gzip"), (b"connection", b"close")), piece(b"ab", more=False)),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    ),
    "a head's": (HEAD, (start(200, (b"content-length", b"9")), END), b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"),
    "a head's, with a body": (
        HEAD,
        (start(200, (b"content-length", b"2")), piece(b"ok", more=False)),
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n",
    ),
    "a head's, without a length": (HEAD, (start(200), piece(b"ok"), END), b"HTTP/1.1 200 OK\r\n\r\n"),
    "204": (GET, (start(204), END), b"HTTP/1.1 204 No Content\r\n\r\n"),
    "304": (
        GET,
        (start(304, (b"content-length", b"9")), END),
        b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n",
    ),
    "a status without a name": (
        GET,
        (start(529, (b"content-length", b"0")), END),
        b"HTTP/1.1 529 \r\ncontent-length: 0\r\n\r\n",
    ),
    "a status beyond those there are": (
        GET,
        (start(799, (b"content-length", b"0")), END),
        b"HTTP/1.1 799 \r\ncontent-length: 0\r\n\r\n",
    ),
}


@pytest.mark.parametrize("sent, messages, expected", WIRE.values(), ids=WIRE.keys())
async def test_replies_that_another_may_follow(sent: bytes, messages: tuple[Message, ...], expected: bytes) -> None:
    async with near(sending(*messages)) as server:
        client = await server.client()
        for _ in range(2):
            client.send(sent)
            assert await asyncio.wait_for(client.reader.readexactly(len(expected)), 5) == expected
        client.writer.write_eof()
        assert await client.closed()


LAST: dict[str, tuple[bytes, tuple[Message, ...], bytes]] = {
    "old, in pieces": (
        OLD,
        (start(200), piece(b"ab"), piece(b"cd"), END),
        b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabcd",
    ),
    "old, wishing to stay, in pieces": (
        b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        (start(200), piece(b"ab"), END),
        b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nab",
    ),
    "old, with a length": (
        OLD,
        (start(200, (b"content-length", b"2")), piece(b"ok", more=False)),
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok",
    ),
    "closing": (
        b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        (start(200), piece(b"ok", more=False)),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ),
}


@pytest.mark.parametrize("sent, messages, expected", LAST.values(), ids=LAST.keys())
async def test_replies_that_are_the_last(sent: bytes, messages: tuple[Message, ...], expected: bytes) -> None:
    async with near(sending(*messages)) as server:
        client = await server.client()
        assert await client.send(sent).rest() == expected


async def test_the_head_does_not_wait_for_the_body() -> None:
    go_on = asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(start(200))
        await go_on.wait()
        await send(END)

    async with near(app) as server:
        client = await server.client()
        client.send(GET)
        assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        go_on.set()
        assert await client.reader.readexactly(5) == b"0\r\n\r\n"


async def test_a_piece_does_not_wait_for_the_next() -> None:
    go_on = asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(start(200))
        await send(piece(b"one"))
        await go_on.wait()
        await send(END)

    async with near(app) as server:
        client = await server.client()
        client.send(GET)
        assert (await client.reader.readuntil(b"one\r\n")).endswith(b"\r\n\r\n3\r\none\r\n")
        go_on.set()


# Expectations.


async def test_a_client_that_waits_is_told_to_go_on_when_its_body_is_wanted() -> None:
    async with near(short) as server:
        client = await server.client()
        for expecting in (EXPECTING, EXPECTING.replace(b"continue", b"Continue \t")):
            told = client.send(expecting).reader.readuntil(b"\r\n\r\n")
            assert await asyncio.wait_for(told, 5) == b"HTTP/1.1 100 Continue\r\n\r\n"
            assert (await client.send(b"abc").answer()).body == b"3 /"


async def test_a_client_of_an_old_version_is_not_told_what_it_does_not_know() -> None:
    async with near(short) as server:
        client = (await server.client()).send(EXPECTING.replace(b"1.1", b"1.0"))
        await client.writer.drain()
        await asyncio.sleep(0.05)
        assert (await client.send(b"abc").answer()).body == b"3 /"


async def test_a_client_that_does_not_wait_is_not_told() -> None:
    async with near(short) as server:
        client = await server.client()
        assert (await client.send(EXPECTING, b"abc").answer()).body == b"3 /"


async def test_a_client_that_waits_is_refused_before_it_sends() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await reply(send, 413, b"no")

    async with near(app) as server:
        client = await server.client()
        answer = await client.send(EXPECTING).answer()
        assert (answer.status, answer.headers[b"connection"]) == (413, b"close")
        assert await client.closed()


# Applications that fail.


FAILING: dict[str, tuple[Message, ...]] = {
    "nothing": (),
    "a line break in a header": (start(200, (b"x-a", b"b\r\nx-c: d")), END),
    "a line feed in a header": (start(200, (b"x-a", b"b\nx-c: d")), END),
    "a length that is none": (start(200, (b"content-length", b"two")), END),
}


@pytest.mark.parametrize("messages", FAILING.values(), ids=FAILING.keys())
async def test_where_there_is_no_reply_the_client_is_told(messages: tuple[Message, ...]) -> None:
    async with near(sending(*messages)) as server:
        client = await server.client()
        answer = await client.send(GET).answer()
        assert (answer.status, answer.code) == (500, "internal_error")
        assert await client.closed()


async def test_what_the_application_raises_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        raise KeyError("secret")

    async with near(app) as server:
        client = await server.client()
        with caplog.at_level(logging.ERROR):
            answer = await client.send(GET).answer()
        assert (answer.status, answer.code) == (500, "internal_error")
        assert b"secret" not in answer.body
        assert await client.closed()
    assert "the application failed" in caplog.text


async def test_it_is_told_though_it_has_not_sent_its_body_yet() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        raise KeyError

    async with near(app) as server:
        client = await server.client()
        client.send(b"POST / HTTP/1.1\r\nContent-Length: 30000000\r\n\r\n", b"x" * 30_000_000)
        assert (await client.answer()).status == 500


CUT: dict[str, tuple[tuple[Message, ...], bytes]] = {
    "shorter than announced": ((start(200, (b"content-length", b"5")), piece(b"ok", more=False)), b"ok"),
    "shorter, in pieces": ((start(200, (b"content-length", b"5")), piece(b"ok"), END), b"ok"),
    "no end": ((start(200, (b"content-length", b"5")), piece(b"ok")), b"ok"),
    "no end of chunks": ((start(200), piece(b"ok")), b"ok"),
    "no body": ((start(200, (b"content-length", b"5")),), b""),
    "longer than announced": ((start(200, (b"content-length", b"2")), piece(b"o"), piece(b"kay"), END), b"o"),
}


@pytest.mark.parametrize("messages, came", CUT.values(), ids=CUT.keys())
async def test_a_reply_that_is_not_what_was_announced_is_cut_off(messages: tuple[Message, ...], came: bytes) -> None:
    async with near(sending(*messages)) as server:
        client = await server.client()
        answer = await client.send(GET, GET).answer()
        assert (answer.status, answer.body, answer.whole) == (200, came, False)
        assert await client.closed()


async def test_an_application_that_is_cancelled_ends_the_connection() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await asyncio.sleep(3600)

    async with near(app) as server:
        client = await server.client()
        client.send(GET)
        assert await comes_true(lambda: server.state.tasks)
        for task in server.state.tasks:
            task.cancel()
        assert (await client.answer()).status == 500
        assert await client.closed()


# Clients that leave.


async def test_the_application_is_told_as_asgi_says() -> None:
    told: list[Message] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await body_of(receive)
        told.append(await receive())
        await reply(send, 200, b"to nobody")

    async with near(app) as server:
        client = await server.client()
        client.send(GET)
        assert await comes_true(lambda: server.state.tasks)
        assert told == []
        client.leave()
        assert await comes_true(lambda: told)
    assert told == [{"type": "http.disconnect"}]


async def test_after_its_reply_the_application_is_told_that_it_is_over() -> None:
    told: list[Message] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await body_of(receive)
        waiting = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        await reply(send, 200, b"ok")
        told.append(await waiting)
        told.append(await receive())

    async with near(app) as server:
        client = await server.client()
        assert (await client.send(GET).answer()).body == b"ok"
        assert await comes_true(lambda: len(told) == 2)
        assert (await client.send(GET).answer()).body == b"ok"  # it was the request that was over
    assert told[:2] == [{"type": "http.disconnect"}] * 2


async def test_in_the_middle_of_its_body() -> None:
    told: list[bytes | None] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        told.append(await body_of(receive))

    async with near(app) as server:
        client = await server.client()
        client.send(POST, b"\r\na")
        assert await comes_true(lambda: server.state.tasks)
        client.leave()
        assert await comes_true(lambda: told)
    assert told == [None]


async def test_the_extension_calls_at_once_also_where_the_client_has_left_before_and_not_when_ended() -> None:
    calls: list[str] = []
    go_on = asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        tell = scope["extensions"][GONE]
        tell(lambda: calls.append("ended"))
        tell(None)
        tell(lambda: calls.append("left"))
        await go_on.wait()
        tell(lambda: calls.append("had left"))

    async with near(app) as server:
        client = await server.client()
        client.send(GET)
        assert await comes_true(lambda: server.state.tasks)
        client.leave()
        assert await comes_true(lambda: calls)
        go_on.set()
    assert calls == ["left", "had left"]


async def test_the_extension_does_not_call_when_the_reply_is_over() -> None:
    calls: list[str] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        scope["extensions"][GONE](lambda: calls.append("left"))
        await reply(send, 200, b"ok")

    async with near(app) as server:
        client = await server.client()
        assert (await client.send(GET).answer()).body == b"ok"
        client.leave()
        assert await comes_true(lambda: server.state.quiet)
    assert calls == []


async def test_who_waits_for_a_slow_reader_hears_that_it_left() -> None:
    ended = asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(start(200))
        for _ in range(1000):
            await send(piece(b"x" * 100_000))
        ended.set()

    async with near(app) as server:
        client = await server.client(limit=1024)
        client.send(GET)
        await asyncio.sleep(0.1)
        assert not ended.is_set()
        client.writer.transport.abort()
        await asyncio.wait_for(ended.wait(), 5)
