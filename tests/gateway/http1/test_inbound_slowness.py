import asyncio
import socket

import pytest

from tests.gateway.http1.far import comes_true
from tests.gateway.http1.near import (
    CHUNKED,
    GET,
    POST,
    Answer,
    Message,
    Receive,
    Send,
    body_of,
    near,
    quick,
    reply,
    short,
    waits,
)

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
