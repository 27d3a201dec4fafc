import asyncio

import pytest

from tests.gateway.http1.far import comes_true
from tests.gateway.http1.near import (
    CHUNKED,
    GET,
    POST,
    Client,
    Message,
    Receive,
    Send,
    Waiting,
    body_of,
    near,
    quick,
    short,
    told,
    unread,
    waits,
)

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
