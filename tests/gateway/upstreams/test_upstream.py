import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from benchmarks.processes import free_port
from gateway.destinations import UpstreamSettings
from gateway.errors import (
    GatewayError,
    UpstreamNotConnectedError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from gateway.upstreams.upstream import Headers, Upstream, UpstreamReply, UpstreamRequest
from tests import upstreams
from tests.gateway.asgi import canned
from tests.upstreams.behaviours import ODD_HEADERS

LARGE = bytes(range(256)) * 4096


def to(url: str, patience_s: float = 20) -> Upstream:
    return Upstream("main", UpstreamSettings(base_url=url, connect_timeout_s=patience_s, read_timeout_s=patience_s))


def get(path: str = "/models", *headers: tuple[bytes, bytes]) -> UpstreamRequest:
    return UpstreamRequest("GET", path, list(headers), None)


def misbehave(name: str) -> UpstreamRequest:
    return get("/models", (b"x-behaviour", name.encode()))


async def read(reply: UpstreamReply, received: list[bytes] | None = None) -> bytes:
    """Read the body to its end; `received` keeps what came of one that has none."""
    pieces = [] if received is None else received
    async for piece in reply.chunks():
        pieces.append(piece)
    return b"".join(pieces)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_a_request_leaves_as_it_is_given(upstream: upstreams.Upstream, method: str) -> None:
    """Order, repetitions and bytes of the headers, escapes of the path; nothing is added but the host."""
    headers: Headers = [
        (b"x-later", b"1"),
        (b"accept-encoding", b"zstd;q=0.5"),
        (b"x-early", "Grüße".encode()),
        (b"x-later", b"2"),
        (b"cookie", b"a=1"),
    ]
    path = "/files/a%2Fb%20c;d/content?p=%zz&q=c+d&q="
    async with to(upstream.url) as main:
        (await main.send(UpstreamRequest(method, path, headers, None))).close()
    assert upstream.last.target == "/v1" + path
    assert [header for header in upstream.last.headers if header[0].lower() != b"host"] == headers


async def test_a_large_body_arrives_whole_under_its_own_length(upstream: upstreams.Upstream) -> None:
    headers: Headers = [(b"content-length", str(len(LARGE)).encode())]
    async with to(upstream.url) as main:
        (await main.send(UpstreamRequest("POST", "/files", headers, LARGE))).close()
    assert upstream.last.body == LARGE
    assert upstream.last.get("content-length") == str(len(LARGE))
    assert upstream.last.get("transfer-encoding") == ""


async def test_a_replys_headers_come_in_their_order(upstream: upstreams.Upstream) -> None:
    async with to(upstream.url) as main:
        reply = await main.send(misbehave("odd-json"))
        reply.close()
    sent = [(name, value) for name, value in reply.headers if name != b"content-length"]
    assert sent == [(name.lower(), value) for name, value in ODD_HEADERS]
    assert (reply.header(b"set-cookie"), reply.header(b"x-missing")) == ("b=2", "")


async def test_no_connection_is_an_error_of_its_own_and_names_no_address() -> None:
    port = free_port()
    async with to(f"http://127.0.0.1:{port}/v1") as main:
        with pytest.raises(UpstreamNotConnectedError, match="'main'") as raised:
            await main.send(get())
    assert str(port) not in str(raised.value)  # the caller gets to read it
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


async def test_a_streamed_body_is_not_begun_without_a_connection() -> None:
    begun = False

    async def body() -> AsyncIterator[bytes]:
        nonlocal begun
        begun = True
        yield b"once"

    async with to(f"http://127.0.0.1:{free_port()}/v1") as main:
        with pytest.raises(UpstreamNotConnectedError):
            await main.send(UpstreamRequest("POST", "/files", [], body()))
    assert not begun


async def test_the_operators_headers_and_the_style_of_its_key() -> None:
    settings = UpstreamSettings.model_validate(
        {"base_url": "https://a/v1", "api_key": "k", "key_header": "api-key", "headers": {"OpenAI-Project": "p"}}
    )
    assert Upstream("main", settings).own_headers == [(b"openai-project", b"p"), (b"api-key", b"k")]
    plain = UpstreamSettings.model_validate({"base_url": "https://a/v1", "api_key": "k"})
    assert Upstream("main", plain).own_headers == [(b"authorization", b"Bearer k")]


@pytest.mark.parametrize("behaviour", ["quote-credentials", "quote-in-pieces"])
async def test_the_operators_key_is_not_shown_by_an_error_that_quotes_it(
    upstream: upstreams.Upstream, behaviour: str
) -> None:
    settings = UpstreamSettings.model_validate({"base_url": upstream.url, "api_key": "sk-of-the-operator"})
    async with Upstream("main", settings) as main:
        request = UpstreamRequest("GET", "/models", [(b"x-behaviour", behaviour.encode()), *main.own_headers], None)
        reply = await main.send(request)
        body = await read(reply)
        reply.close()
    assert upstream.last.get("authorization") == "Bearer sk-of-the-operator"
    assert b"authorization: Bearer ******************" in body
    assert (b"x-came", b"authorization: Bearer ******************") in reply.headers
    assert b"sk-of-the-operator" not in body


async def test_azures_addresses_name_the_deployment(upstream: upstreams.Upstream) -> None:
    azure = {"api_version": "2024-10-21", "deployments": {"gpt-4o": "ours"}}
    settings = UpstreamSettings.model_validate({"base_url": upstream.url.removesuffix("/v1"), "azure": azure})
    async with Upstream("main", settings) as main:
        request = UpstreamRequest("POST", "/chat/completions", [(b"content-length", b"2")], b"{}", "gpt-4o")
        (await main.send(request)).close()
    assert upstream.last.target == "/openai/deployments/ours/chat/completions?api-version=2024-10-21"


class Proxying:
    """A proxy for plain http: keeps the heads that it gets and answers each itself."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()
        writer.close()


async def test_a_plain_request_goes_through_a_proxy_under_its_whole_address() -> None:
    proxy = Proxying()
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    address = f"http://user:secret@127.0.0.1:{server.sockets[0].getsockname()[1]}"
    settings = UpstreamSettings.model_validate({"base_url": "http://models.internal:81/v1", "proxy": address})
    async with server, Upstream("main", settings) as main:
        assert await read(await main.send(get("/models?limit=1"))) == b"{}"
    line, host, credentials, *_ = proxy.heads[0].split(b"\r\n")
    assert line == b"GET http://models.internal:81/v1/models?limit=1 HTTP/1.1"
    assert host == b"host: models.internal:81"
    assert credentials == b"proxy-authorization: Basic dXNlcjpzZWNyZXQ="


async def test_a_glimpse_leaves_the_body_to_be_fetched(upstream: upstreams.Upstream) -> None:
    async with to(upstream.url) as main:
        reply = await main.send(misbehave("error-500"))
        seen = await reply.glimpse(1 << 16)
        assert b"The upstream says 500." in seen
        assert reply.retry_after == 7.0
        assert await read(reply) == seen
        reply.close()


async def test_a_connection_that_takes_too_long_counts_as_none() -> None:
    with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for waiting in (first, second):  # its queue is full now, and who comes next gets no answer
            waiting.setblocking(False)
            waiting.connect_ex(deaf.getsockname())
        async with to(f"http://127.0.0.1:{deaf.getsockname()[1]}/v1", patience_s=0.1) as main:
            with pytest.raises(UpstreamNotConnectedError):
                await main.send(get())


@pytest.mark.parametrize(
    "behaviour, expected",
    [
        ("stall-before-head", UpstreamTimeoutError),
        ("reset-before-head", UpstreamUnreachableError),
        ("close-before-head", UpstreamUnreachableError),
        ("garbage", UpstreamUnreachableError),
    ],
)
async def test_no_head_comes(upstream: upstreams.Upstream, behaviour: str, expected: type[GatewayError]) -> None:
    async with to(upstream.url, patience_s=0.2) as main:
        with pytest.raises(expected, match="'main'") as raised:
            await main.send(misbehave(behaviour))
    assert raised.type is expected  # what may have been begun is not said to be safe to try again
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    "behaviour, expected",
    [
        ("stall-in-stream", UpstreamTimeoutError),
        ("reset-in-stream", UpstreamUnreachableError),
        ("close-in-stream", UpstreamUnreachableError),
        ("truncated", UpstreamUnreachableError),
    ],
)
async def test_a_body_stops_short(upstream: upstreams.Upstream, behaviour: str, expected: type[GatewayError]) -> None:
    received: list[bytes] = []
    async with to(upstream.url, patience_s=0.2) as main:
        reply = await main.send(misbehave(behaviour))
        with pytest.raises(expected):
            await read(reply, received)
        reply.close()
    assert b"".join(received).startswith((b"data: ", b'{"id"'))  # what came before is not lost


async def test_a_reply_read_to_its_end_gives_its_connection_back() -> None:
    async with canned("Content-Length: 2", b"{}", keep_open=True) as server, to(server.url) as main:
        for _ in range(3):
            reply = await main.send(get())
            assert await read(reply) == b"{}"
            reply.close()
        assert (server.requests, server.connections) == (3, 1)


async def test_a_reply_left_unread_takes_its_connection_with_it(upstream: upstreams.Upstream) -> None:
    async with to(upstream.url) as main:
        reply = await main.send(misbehave("endless"))
        async for _ in reply.chunks():
            break
        reply.close()
        assert await asyncio.to_thread(upstream.wait_gone)
        assert (await main.send(get())).status == 200


async def test_leaving_the_upstream_closes_its_connections(upstream: upstreams.Upstream) -> None:
    async with to(upstream.url) as main:
        await main.send(misbehave("endless"))
    assert await asyncio.to_thread(upstream.wait_gone)
