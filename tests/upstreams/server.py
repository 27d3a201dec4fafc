"""The upstream itself: a thread with its own event loop, so that tests of any kind can talk to it."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import Self

from tests.upstreams.behaviours import BEHAVIOURS
from tests.upstreams.bills import Bill
from tests.upstreams.wire import Exchange, Recorded, read_request

_STREAM_LIMIT = 1 << 20  # the longest head that is read


class Upstream:
    """Records every request; counts those begun, those answered to the end, and the clients that left before it.

    What it did for them it bills: nothing for errors, the produced part of streams that ended early.
    """

    def __init__(self, port: int = 0) -> None:
        self.requests: list[Recorded] = []
        self.bills: list[Bill] = []
        self.begun = self.answered = self.gone = 0
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="upstream", daemon=True)
        self._listening = threading.Event()
        self._stop = asyncio.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        self._listening.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    @property
    def url(self) -> str:
        """The base URL, up to and with /v1."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def last(self) -> Recorded:
        """The latest request."""
        return self.requests[-1]

    def clear(self) -> None:
        """Forget the requests, the bills and the counts."""
        self.requests.clear()
        self.bills.clear()
        self.begun = self.answered = self.gone = 0

    def wait_gone(self, count: int = 1, timeout_s: float = 5) -> bool:
        """Return whether that many clients went away before their reply's end, waiting for it."""
        return _comes_true(lambda: self.gone >= count, timeout_s)

    def wait_bills(self, count: int = 1, timeout_s: float = 5) -> list[Bill]:
        """Return the bills as soon as there are that many: the last one is written after its reply's end."""
        _comes_true(lambda: len(self.bills) >= count, timeout_s)
        return list(self.bills)

    def _head_read(self) -> None:
        self.begun += 1

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connection, "127.0.0.1", self._port, limit=_STREAM_LIMIT, backlog=512)
        self._port = server.sockets[0].getsockname()[1]
        self._listening.set()
        await self._stop.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while (request := await read_request(reader, self._head_read)) and not writer.is_closing():
                self.requests.append(request)
                if not await self._answered(request, reader, writer):
                    break
        writer.close()

    async def _answered(self, request: Recorded, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Return whether the reply was given whole and the connection can be used on."""
        exchange = Exchange(request, writer)
        answer = asyncio.ensure_future(BEHAVIOURS[behaviour_of(request)](exchange))
        left = asyncio.ensure_future(_end_of(reader))
        await asyncio.wait((answer, left), return_when=asyncio.FIRST_COMPLETED)
        left.cancel()
        whole = answer.done() and not isinstance(answer.exception(), ConnectionError)
        if whole:
            answer.result()
            self.answered += 1
        else:
            answer.cancel()
            self.gone += 1
        if exchange.meter:
            self.bills.append(exchange.meter.bill(whole and exchange.ended))
        return whole and not writer.is_closing()


def _comes_true(condition: Callable[[], bool], timeout_s: float) -> bool:
    end = time.monotonic() + timeout_s
    while not (met := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return met


async def _end_of(reader: asyncio.StreamReader) -> None:
    """Return once the other side has closed the connection; a next request waits in the buffer untouched."""
    while not reader.at_eof() and reader.exception() is None:  # noqa: ASYNC110 - nothing else tells without reading
        await asyncio.sleep(0.02)


def behaviour_of(request: Recorded) -> str:
    """Return the name of what this request is to get."""
    named = request.get("x-behaviour")
    if not named and b'"behave:' in request.body:
        body = request.json()
        model = body.get("model") if isinstance(body, dict) else None
        named = model.removeprefix("behave:") if isinstance(model, str) and model.startswith("behave:") else ""
    return named if named in BEHAVIOURS else ""
