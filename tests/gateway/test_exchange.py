import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from gateway.errors import BodyTooLargeError, UnknownUrlError
from gateway.exchange import ClientGoneError, Exchange

Message = MutableMapping[str, Any]


class Client:
    """The other side of an ASGI connection: sends what it is given, keeps what it gets, then waits or leaves."""

    def __init__(self, *pieces: bytes, leaves: bool = False) -> None:
        self.inbox: asyncio.Queue[Message] = asyncio.Queue()
        self.outbox: list[Message] = []
        for i, piece in enumerate(pieces):
            self.inbox.put_nowait({"type": "http.request", "body": piece, "more_body": i < len(pieces) - 1 or leaves})
        if leaves:
            self.leave()

    def leave(self) -> None:
        self.inbox.put_nowait({"type": "http.disconnect"})

    async def send(self, message: Message) -> None:
        self.outbox.append(message)

    def exchange(self, *headers: tuple[bytes, bytes], method: str = "POST") -> Exchange:
        scope = {"method": method, "headers": list(headers), "path": "/v1/x", "raw_path": b"/v1/x", "query_string": b""}
        return Exchange(scope, self.inbox.get, self.send)


async def test_the_body_is_read_whole() -> None:
    assert await Client(b"ab", b"", b"cd").exchange().body(4) == b"abcd"


async def test_a_body_over_the_limit_is_refused_as_it_comes_or_as_it_is_announced() -> None:
    with pytest.raises(BodyTooLargeError, match="larger than"):
        await Client(b"abc", b"de").exchange().body(4)
    announced = Client().exchange((b"content-length", b"5"))
    with pytest.raises(BodyTooLargeError):
        await announced.body(4)


async def test_a_client_that_leaves_while_it_sends_is_noticed() -> None:
    exchange = Client(b"ab", leaves=True).exchange()
    with pytest.raises(ClientGoneError):
        await exchange.body(100)
    assert exchange.client_gone


async def test_work_is_cancelled_when_the_client_leaves() -> None:
    client = Client(b"ab")
    exchange = client.exchange()
    await exchange.body(100)
    stopped = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()

    asyncio.get_running_loop().call_later(0.01, client.leave)
    with pytest.raises(ClientGoneError):
        async with exchange.while_client_waits():
            await work()
    assert stopped.is_set()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_cancellation_from_elsewhere_is_not_taken_for_a_client_that_left() -> None:
    exchange = Client(b"ab").exchange()
    await exchange.body(100)

    async def waiting() -> None:
        async with exchange.while_client_waits():
            await asyncio.sleep(60)

    task = asyncio.create_task(waiting())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not exchange.client_gone


async def test_no_watch_is_left_behind() -> None:
    exchange = Client(b"").exchange()
    await exchange.body(1)
    async with exchange.while_client_waits():
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize(
    ("headers", "streamed"),
    [([], False), ([(b"content-length", b"0")], False), ([(b"content-length", b"2")], True)],
)
async def test_a_request_without_a_body_has_none_to_stream(headers: list[tuple[bytes, bytes]], streamed: bool) -> None:
    assert (Client(b"ab").exchange(*headers).streamed_body() is not None) is streamed


async def test_an_error_is_answered_in_openais_shape_and_without_a_body_for_head() -> None:
    client = Client(b"")
    await client.exchange().refuse(UnknownUrlError("no"), [(b"x-a", b"b")])
    start, body = client.outbox
    assert (start["status"], (b"x-a", b"b") in start["headers"]) == (404, True)
    assert b'"code":"unknown_url"' in body["body"]
    head = Client(b"")
    await head.exchange(method="HEAD").refuse(UnknownUrlError("no"), [])
    assert head.outbox[1]["body"] == b""
