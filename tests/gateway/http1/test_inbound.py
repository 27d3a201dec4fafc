import asyncio

import pytest

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
    reply,
    short,
    told,
    waits,
)

# What a request says.


async def test_a_request_is_handed_on_as_it_came() -> None:
    line = b"PUT /a%2Fb%20c;d?q=%zz&r=c+d HTTP/1.1\r\n"
    headers = b"Host: x\r\nX-B: 1\r\nx-a: \xc3\xa9\r\nX-b: 2\r\nContent-Length: 3\r\n\r\n"
    async with near(told) as server:
        seen = (await server.ask(line, headers, b"abc")).json()
    assert seen == {
        "type": "http",
        "method": "PUT",
        "http_version": "1.1",
        "scheme": "http",
        "root_path": "",
        "path": "/a/b c;d",
        "raw_path": "/a%2Fb%20c;d",
        "query_string": "q=%zz&r=c+d",
        "headers": [["host", "x"], ["x-b", "1"], ["x-a", "Ã©"], ["x-b", "2"], ["content-length", "3"]],
        "body": "abc",
    }


async def test_the_scope_knows_both_ends_and_what_the_lifespan_left() -> None:
    scopes: list[Message] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await reply(send, 200, b"")

    async with near(app) as server:
        client = await server.client()
        await client.send(GET).answer()
        assert scopes[0]["client"] == client.writer.get_extra_info("sockname")
        assert scopes[0]["server"] == ("127.0.0.1", server.port)
        assert scopes[0]["state"] == {"from": "lifespan"}


TARGETS = {
    b"GET http://elsewhere.example/v1/models?a=b": ("/v1/models", "a=b"),
    b"GET http://elsewhere.example:81": ("/", ""),
    b"GET http://elsewhere.example?a=b": ("/", "a=b"),
    b"GET https://user:pass@elsewhere.example/x": ("/x", ""),
    b"OPTIONS *": ("*", ""),
    b"GET //a/b": ("//a/b", ""),
    b"GET /a?b?c": ("/a", "b?c"),
    b"GET /a/../b": ("/a/../b", ""),
}


@pytest.mark.parametrize("line, expected", TARGETS.items())
async def test_targets(line: bytes, expected: tuple[str, str]) -> None:
    async with near(told) as server:
        seen = (await server.ask(line, b" HTTP/1.1\r\nHost: x\r\n\r\n")).json()
    assert (seen["raw_path"], seen["query_string"]) == expected


BODIES = {
    "none": (GET, ""),
    "an empty one": (POST + b"Content-Length: 0\r\n\r\n", ""),
    "one with a length": (POST + b"Content-Length: 3\r\n\r\nabc", "abc"),
    "one in chunks": (CHUNKED + b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", "abc"),
    "one in chunks with trailers": (CHUNKED + b"3\r\nabc\r\n0\r\nX-Late: 1\r\nX-Sum: 2\r\n\r\n", "abc"),
    "one with extensions": (CHUNKED + b"003;a=b\r\nabc\r\n0;c\r\n\r\n", "abc"),
    "an empty one in chunks": (CHUNKED + b"0\r\n\r\n", ""),
}


@pytest.mark.parametrize("bytewise", [False, True])
@pytest.mark.parametrize("sent, body", BODIES.values(), ids=BODIES.keys())
async def test_bodies_and_one_more_request(sent: bytes, body: str, bytewise: bool) -> None:
    async with near(told) as server:
        client = await server.client()
        for piece in [sent[i : i + 1] for i in range(len(sent))] if bytewise else [sent]:
            client.send(piece)
            await client.writer.drain()
            await asyncio.sleep(0)
        seen = (await client.answer()).json()
        assert seen["body"] == body
        assert "x-late" not in dict(seen["headers"])
        assert (await client.send(GET).answer()).status == 200


async def test_a_large_body_is_read_as_the_application_takes_it() -> None:
    go_on = asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await go_on.wait()
        await short(scope, receive, send)

    async with near(app) as server:
        client = await server.client()
        size = 20_000_000
        client.send(POST, b"Content-Length: %d\r\n\r\n" % size, b"x" * size)
        await asyncio.sleep(0.2)
        assert client.writer.transport.get_write_buffer_size() > size / 4  # the server reads no further
        go_on.set()
        assert (await client.answer()).body == b"%d /" % size
        assert (await client.send(GET).answer()).body == b"0 /"


# One after the other.


async def test_connections_are_kept() -> None:
    async with near(short) as server:
        client = await server.client()
        for number in range(5):
            answer = await client.send(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number).answer()
            assert (answer.body, answer.headers.get(b"connection")) == (b"0 /%d" % number, None)
        assert server.state.total_requests == 5


@pytest.mark.parametrize("split", [1, 7, 64, 10_000])
async def test_requests_that_do_not_wait_for_replies_are_answered_in_their_order(split: int) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.005 if scope["raw_path"].endswith((b"0", b"3")) else 0)
        await short(scope, receive, send)

    asked = [POST.replace(b"/ ", b"/%d " % n) + b"Content-Length: %d\r\n\r\n" % n + b"x" * n for n in range(10)]
    async with near(app) as server:
        client, data = await server.client(), b"".join(asked)
        for start in range(0, len(data), split):
            client.send(data[start : start + split])
            await asyncio.sleep(0)
        assert [(await client.answer()).body for _ in range(10)] == [b"%d /%d" % (n, n) for n in range(10)]


async def test_a_request_whose_body_comes_when_the_one_before_has_been_answered() -> None:
    app = Waiting()
    async with near(app) as server:
        client = await server.client()
        client.send(GET, POST, b"Content-Length: 6\r\n\r\nabc")
        assert await comes_true(lambda: app.begun)
        app.go_on.set()
        assert (await client.answer()).body == b"/"
        await asyncio.sleep(0.05)
        client.send(b"def")
        assert (await client.answer()).status == 200


async def test_a_large_body_that_waits_for_the_request_before() -> None:
    size, go_on = 3_000_000, asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET":
            await go_on.wait()
        await short(scope, receive, send)

    async with near(app) as server:
        client = await server.client()
        client.send(GET, POST, b"Content-Length: %d\r\n\r\n" % size, b"x" * size, GET)
        await asyncio.sleep(0.1)
        go_on.set()
        assert [(await client.answer()).body for _ in range(3)] == [b"0 /", b"%d /" % size, b"0 /"]


@waits
async def test_a_waiting_request_is_not_held_to_be_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch, SILENT_S=0.4)
    app = Waiting()
    async with near(app) as server:
        client = await server.client()
        client.send(GET, POST, b"Content-Length: 3\r\n\r\na")
        await asyncio.sleep(1.0)
        app.go_on.set()
        assert (await client.answer()).status == 200
        await asyncio.sleep(0.25)  # its time begins when it is its turn
        assert (await client.send(b"bc").answer()).status == 200


async def test_a_flood_of_requests_waits_unread() -> None:
    app = Waiting()
    async with near(app) as server:
        client = await server.client()
        client.send(GET * 400_000)
        await asyncio.sleep(0.3)
        assert client.writer.transport.get_write_buffer_size() > 1_000_000
        assert len(app.begun) == 1
        app.go_on.set()
        assert [(await client.answer()).status for _ in range(100)] == [200] * 100


@pytest.mark.parametrize(
    "head, kept",
    [
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\nConnection: keep-alive\r\n\r\n", True),
        (b"GET / HTTP/1.0\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
    ],
)
async def test_who_ends_the_connection(head: bytes, kept: bool) -> None:
    async with near(short) as server:
        client = await server.client()
        answer = await client.send(head, GET).answer()
        assert answer.body == b"0 /"
        if kept:
            assert (await client.answer()).status == 200
        else:
            assert answer.headers[b"connection"] == b"close"
            assert await client.closed()  # what followed is not answered
        if kept and b"1.0" in head:
            assert answer.headers[b"connection"] == b"keep-alive"


async def test_line_ends_between_requests_are_passed_over() -> None:
    async with near(short) as server:
        client = await server.client()
        assert (await client.send(b"\r\n\r\n", GET).answer()).status == 200
        assert (await client.send(b"\r\n", GET).answer()).status == 200
