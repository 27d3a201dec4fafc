import asyncio
import socket

import pytest

from gateway.http1 import inbound
from gateway.http1.cycle import GONE
from gateway.http1.inbound import Inbound
from tests.gateway.http1.far import comes_true
from tests.gateway.http1.near import Answer, Client, Message, Receive, Send, body_of, near, reply, short, told, unread

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
# Where it is waited for clocks, and the loops do not differ, one of them will do.
waits = pytest.mark.asyncio(loop_factories=["uvloop"])


def quick(monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
    """Set the module's constants."""
    for name, value in seconds.items():
        monkeypatch.setattr(inbound, name, value)


class Waiting:
    """An application that answers when it is told to, and hears of clients that leave."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.begun: list[bytes] = []
        self.gone = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        self.begun.append(scope["raw_path"])
        scope["extensions"][GONE](self._left)
        await body_of(receive)
        await self.go_on.wait()
        await reply(send, 200, scope["raw_path"])

    def _left(self) -> None:
        self.gone += 1


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


# Protocols that are not spoken here.


@pytest.mark.parametrize("split", [1, 10_000])
async def test_a_wish_for_another_protocol_is_ignored(split: int) -> None:
    """As Java's client sends it with every request; llhttp, left alone, would take the body for the new protocol."""
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQ\r\n"
    data = POST + upgrade + b"Content-Length: 3\r\n\r\nabc" + CHUNKED[:-2] + upgrade + b"\r\n2\r\nde\r\n0\r\n\r\n" + GET
    async with near(told) as server:
        client = await server.client()
        for start in range(0, len(data), split):
            client.send(data[start : start + split])
            await asyncio.sleep(0)
        seen = [(await client.answer()).json() for _ in range(3)]
    assert [one["body"] for one in seen] == ["abc", "de", ""]
    assert [name for name, _ in seen[0]["headers"]] == ["host", "connection", "http2-settings", "content-length"]


INVALID = {
    "no HTTP": b"hello\r\n\r\n",
    "no target": b"GET HTTP/1.1\r\n\r\n",
    "a relative target": b"GET models HTTP/1.1\r\nHost: x\r\n\r\n",
    "a target that is none": b"GET http://h:99999/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "bytes in the target": b"GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a control in the target": b"GET /a\x00b HTTP/1.1\r\nHost: x\r\n\r\n",
    "a method that is none": b"FETCH / HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT": b"CONNECT elsewhere.example:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT and more": b"CONNECT elsewhere.example:443 HTTP/1.1\r\nHost: x\r\n\r\n" + GET,
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a version of its own": b"GET / HTTP/1.2\r\nHost: x\r\n\r\n",
    "HTTP/2.0 by name": b"GET / HTTP/2.0\r\nHost: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a header without a colon": b"GET / HTTP/1.1\r\nHost\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    "a folded line": b"GET / HTTP/1.1\r\nHost: x\r\nX-A: b\r\n c\r\n\r\n",
    "a folded line at the start": b"GET / HTTP/1.1\r\n Host: x\r\n\r\n",
    "a nameless header": b"GET / HTTP/1.1\r\n: x\r\n\r\n",
    "a nul": b"GET / HTTP/1.1\r\nHost: a\x00b\r\n\r\n",
    "a bare line feed": b"GET / HTTP/1.1\r\nX-A: b\nHost: x\r\n\r\n",
    "a bare carriage return": b"GET / HTTP/1.1\r\nX-A: b\rHost: x\r\n\r\n",
    "bare line feeds": b"GET / HTTP/1.1\nHost: x\n\n",
    "two lengths": POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "the same length twice": POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
    "a list of lengths": POST + b"Content-Length: 1, 1\r\n\r\na",
    "a length that is none": POST + b"Content-Length: +1\r\n\r\na",
    "a negative length": POST + b"Content-Length: -1\r\n\r\na",
    "a length too long": POST + b"Content-Length: 99999999999999999999\r\n\r\na",
    "a length and chunks": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": CHUNKED[:-2] + b"Content-Length: 5\r\n\r\n0\r\n\r\n",
    "a coding that is not chunked": POST + b"Transfer-Encoding: identity\r\n\r\nabc",
    "a coding of that name almost": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a quoted coding": POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "a coding after chunks": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunks twice": CHUNKED[:-2] + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks in an old version": CHUNKED.replace(b"1.1", b"1.0") + b"0\r\n\r\n",
    "a chunk's size that is none": CHUNKED + b"0x1\r\na\r\n0\r\n\r\n",
    "a negative chunk": CHUNKED + b"-1\r\na\r\n",
    "a chunk too long": CHUNKED + b"fffffffffffffffff\r\na",
    "a chunk longer than its size": CHUNKED + b"1\r\nab\r\n0\r\n\r\n",
    "a chunk's line feed": CHUNKED + b"1\na\n0\n\n",
    "a length after chunks": CHUNKED + b"1\r\na\r\n0\r\nContent-Length: 7\r\n\r\n",
}


@pytest.mark.parametrize("bytewise", [False, True])
@pytest.mark.parametrize("sent", INVALID.values(), ids=INVALID.keys())
async def test_what_is_no_request_is_refused_and_serves_none(sent: bytes, bytewise: bool) -> None:
    served, begun = [], []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        begun.append(scope)
        if await body_of(receive) is not None:
            served.append(scope)

    async with near(app) as server:
        client = await server.client()
        for piece in [sent[i : i + 1] for i in range(len(sent))] if bytewise else [sent]:
            client.send(piece)
            await asyncio.sleep(0)
        answer = await client.answer()
        assert (answer.status, answer.code) == (400, "invalid_http")
        assert await client.closed()
    assert served == []
    assert bytewise or begun == []


async def test_a_broken_request_does_not_harm_the_reply_before_it() -> None:
    app = Waiting()
    async with near(app) as server:
        for broken in (b"rubbish\r\n\r\n", CHUNKED + b"zz\r\n", CHUNKED + b"1\r\na\r\nzz"):
            app.go_on.clear()
            client = await server.client()
            client.send(GET)
            assert await comes_true(lambda: app.begun)
            client.send(broken)
            await asyncio.sleep(0.05)
            app.go_on.set()
            answer = await client.answer()
            assert (answer.body, answer.headers[b"connection"]) == (b"/", b"close")
            assert await client.closed()
            app.begun.clear()
    assert app.gone == 0


async def test_a_body_that_breaks_when_its_reply_has_begun_breaks_the_reply() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        assert await body_of(receive) is None

    async with near(app) as server:
        client = await server.client()
        client.send(CHUNKED, b"1\r\na\r\n")
        await asyncio.sleep(0.05)
        answer = await client.send(b"zz").answer()
        assert (answer.status, answer.body, answer.whole) == (200, b"begun", False)


# Sizes.


@pytest.mark.parametrize(
    "before, again",
    [
        (b"GET / HTTP/1.1\r\nX-Long: ", b"x" * 1024),
        (b"GET / HTTP/1.1\r\n", b"X-Short: x\r\n" * 100),
        (b"GET /", b"x" * 1024),
        (CHUNKED + b"1\r\na\r\n0\r\nX-Trailer: ", b"x" * 1024),
        (CHUNKED + b"0\r\n", b"X-Trailer: x\r\n" * 100),
        (CHUNKED + b"1;", b"x" * 1024),
        (CHUNKED, b"0" * 1024),
    ],
    ids=["a value", "headers", "a target", "a trailer", "trailers", "a chunk's extension", "a chunk's size"],
)
async def test_what_has_no_end_is_refused(before: bytes, again: bytes) -> None:
    async with near(short) as server:
        client = await server.client()
        client.send(before)
        for _ in range(100):
            client.send(again)
            await asyncio.sleep(0)
        answer = await client.answer()
        assert (answer.status, answer.code) == (431, "headers_too_large")
        assert await client.closed()


async def test_a_head_is_too_large_in_one_piece_too() -> None:
    async with near(short) as server:
        fits = await server.ask(b"GET / HTTP/1.1\r\nX-Long: ", b"x" * 65_000, b"\r\n\r\n")
        assert fits.status == 200
        client = await server.client()
        answer = await client.send(b"GET / HTTP/1.1\r\nX-Long: ", b"x" * 66_000, b"\r\n\r\n").answer()
        assert (answer.status, answer.code) == (431, "headers_too_large")
        assert await client.closed()


async def test_a_body_beside_a_head_does_not_count_as_head() -> None:
    async with near(short) as server:
        client = await server.client()
        for _ in range(3):
            answer = await client.send(POST, b"Content-Length: 200000\r\n\r\n", b"x" * 200_000).answer()
            assert answer.body == b"200000 /"
        tiny = b"".join(b"1\r\nx\r\n" for _ in range(50_000))
        assert (await client.send(CHUNKED, tiny, b"0\r\n\r\n").answer()).body == b"50000 /"


async def test_a_reply_to_a_request_that_is_not_read_arrives_while_the_client_goes_on_sending() -> None:
    async with near(unread) as server:
        client = await server.client()
        client.send(POST, b"Content-Length: 100000000\r\n\r\n")
        for _ in range(200):
            client.send(b"x" * 65536)
            await client.writer.drain()
        answer = await client.answer()
        assert (answer.status, answer.body, answer.headers[b"connection"]) == (413, b"too large", b"close")


@waits
async def test_a_client_that_goes_on_sending_for_good_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch, LINGER_S=0.2)
    async with near(unread) as server:
        client = await server.client()
        client.send(POST, b"Content-Length: 100000000000\r\n\r\n")
        assert (await client.answer()).status == 413

        with pytest.raises(ConnectionError):
            await asyncio.wait_for(endless(client), 5)


async def endless(client: Client) -> None:
    while True:
        client.send(b"x" * 65536)
        await client.writer.drain()
        await asyncio.sleep(0)


# Slow clients.


async def ends(server_port: int, *data: bytes) -> tuple[Answer | None, float]:
    """Send bytes, and return the reply, or None where there is none, and how long it took to the connection's end."""
    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection("127.0.0.1", server_port)
    begun = loop.time()
    writer.write(b"".join(data))
    from_server = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    if not from_server:
        return None, loop.time() - begun
    head, _, body = from_server.partition(b"\r\n\r\n")
    return Answer(int(head.split(b" ")[1]), {}, body), loop.time() - begun


@waits
async def test_a_connection_without_a_request_ends_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch, HEAD_S=0.2)
    async with near(short) as server:
        answer, took = await ends(server.port)
    assert answer is None
    assert 0.15 < took < 2


@waits
async def test_a_head_that_does_not_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch, HEAD_S=0.2)
    async with near(short) as server:
        answer, took = await ends(server.port, b"GET / HTTP/1.1\r\nHo")
    assert answer is not None
    assert (answer.status, answer.code) == (408, "request_timeout")
    assert 0.15 < took < 2


@waits
async def test_a_head_that_trickles_has_no_longer_time(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch, HEAD_S=0.2)
    async with near(short) as server:
        client = await server.client()
        assert (await client.send(GET).answer()).status == 200
        client.send(b"GET / HTTP/1.1\r\nX-Long: ")
        for _ in range(20):
            client.send(b"x")
            await asyncio.sleep(0.02)
        assert (await client.answer()).status == 408


@waits
async def test_a_body_that_stops_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch, SILENT_S=0.2)
    async with near(short) as server:
        answer, took = await ends(server.port, POST, b"Content-Length: 10\r\n\r\nabc")
    assert answer is not None
    assert (answer.status, answer.code) == (408, "request_timeout")
    assert 0.15 < took < 2


@waits
@pytest.mark.parametrize("start", [0, 200_000])
async def test_a_body_that_trickles_is_refused_however_fast_it_began(
    monkeypatch: pytest.MonkeyPatch, start: int
) -> None:
    quick(monkeypatch, SILENT_S=0.2)
    async with near(short) as server:
        client = await server.client()
        client.send(POST, b"Content-Length: 1000000\r\n\r\n", b"x" * start)
        waiting = asyncio.ensure_future(client.answer())
        for _ in range(50):
            await asyncio.sleep(0.02)
            if waiting.done():
                break
            client.send(b"x")
        assert waiting.done()  # while it still sent
        answer = await waiting
        assert (answer.status, answer.code) == (408, "request_timeout")


@waits
async def test_a_body_that_is_slow_but_not_too_slow_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch, SILENT_S=0.4)
    async with near(short) as server:
        client = await server.client()
        client.send(POST, b"Content-Length: 3000\r\n\r\n")
        for _ in range(30):
            await asyncio.sleep(0.03)
            client.send(b"x" * 100)
        assert (await client.answer()).body == b"3000 /"


@waits
async def test_an_application_that_takes_its_time_with_a_body_is_not_the_clients_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quick(monkeypatch, SILENT_S=0.3, HEAD_S=0.3, KEPT_S=0.3)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.7)
        await short(scope, receive, send)

    async with near(app) as server:
        assert (await server.ask(POST, b"Content-Length: 9000000\r\n\r\n", b"x" * 9_000_000)).body == b"9000000 /"
        assert (await server.ask(GET)).body == b"0 /"


@waits
@pytest.mark.parametrize("size", [10, 8_000_000])
async def test_a_connection_unused_for_long_is_ended(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Also when the reply was slow to be read."""
    quick(monkeypatch, KEPT_S=0.4)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await reply(send, 200, b"x" * size)

    async with near(app) as server:
        client = await server.client()
        for _ in range(2):
            assert len((await client.send(GET).answer()).body) == size
            await asyncio.sleep(0.1)
        assert len(server.state.connections) == 1
        assert await client.closed()


# Slow readers.


async def flood(scope: Message, receive: Receive, send: Send) -> None:
    """Send 50 MB in pieces, and count those sent in the scope's state."""
    await body_of(receive)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"50000000")]})
    for _ in range(1000):
        await send({"type": "http.response.body", "body": b"x" * 50_000, "more_body": True})
        scope["state"]["sent"] = scope["state"].get("sent", 0) + 50_000
    await send({"type": "http.response.body"})


def narrow(port: int) -> socket.socket:
    """Return a connection that takes in little at a time."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", port))
    connection.setblocking(False)
    return connection


async def test_a_slow_reader_has_the_application_wait() -> None:
    states: list[dict[str, int]] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        states.append(scope["state"])
        await flood(scope, receive, send)

    async with near(app) as server:
        client = await server.client(limit=65536)
        client.send(GET)
        await asyncio.sleep(0.2)
        assert states[0]["sent"] < 25_000_000
        (connection,) = server.state.connections
        assert connection.wire.transport.get_write_buffer_size() < 200_000
        assert len((await client.answer()).body) == 50_000_000


async def test_a_reader_that_never_reads_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch, UNREAD_S=0.2)
    async with near(flood) as server:
        with narrow(server.port) as connection:
            connection.send(GET)
            assert await comes_true(lambda: server.state.tasks)
            assert await comes_true(lambda: server.state.quiet)


@pytest.mark.parametrize(
    "head", [GET, GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")], ids=["kept", "closed"]
)
@pytest.mark.parametrize("size", [60_000, 3_000_000])
async def test_a_reader_that_never_reads_a_reply_that_was_written_whole_is_ended(
    monkeypatch: pytest.MonkeyPatch, head: bytes, size: int
) -> None:
    quick(monkeypatch, UNREAD_S=0.2, KEPT_S=0.1)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        connection = next(iter(server.state.connections))
        connection.wire.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        await reply(send, 200, b"x" * size)

    async with near(app) as server:
        with narrow(server.port) as connection:
            connection.send(head)
            assert await comes_true(lambda: server.state.total_requests)
            assert server.state.connections
            assert await comes_true(lambda: server.state.quiet)


async def test_a_reader_that_is_slow_reads_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch, UNREAD_S=0.6, KEPT_S=0.1)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await reply(send, 200, b"x" * 8_000_000)

    async with near(app) as server:
        client = await server.client(limit=65536)
        client.send(GET)
        received = 0
        while received < 8_000_000:
            received += len(await client.reader.read(1 << 18))
            await asyncio.sleep(0.02)
        assert received < 8_000_200


@waits
async def test_a_reader_that_pauses_keeps_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch, KEPT_S=0.3)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        connection = next(iter(server.state.connections))
        connection.wire.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        await reply(send, 200, b"x" * 400_000)

    async with near(app) as server:
        loop = asyncio.get_running_loop()
        with narrow(server.port) as connection:
            for _ in range(2):
                await loop.sock_sendall(connection, GET)
                await asyncio.sleep(0.5)
                received = b""
                while len(received) < 400_000 or not received.endswith(b"x"):
                    received += await asyncio.wait_for(loop.sock_recv(connection, 65536), 5) or b"the end"
                assert received.startswith(b"HTTP/1.1 200 OK")


async def test_who_neither_reads_nor_lets_be_read_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The application waits in the reply, and takes no more of the body."""
    quick(monkeypatch, UNREAD_S=0.2, SILENT_S=0.1)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1000):
            await send({"type": "http.response.body", "body": b"x" * 50_000, "more_body": True})
        raise AssertionError("it was all read")

    async with near(app) as server:
        with narrow(server.port) as connection:
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(connection, CHUNKED + b"1\r\na\r\n")
            assert await comes_true(lambda: server.state.tasks)
            with pytest.raises(ConnectionError):
                await asyncio.wait_for(loop.sock_sendall(connection, (b"ffff\r\n" + b"x" * 0xFFFF + b"\r\n") * 1000), 5)
            assert await comes_true(lambda: not server.state.connections)


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
