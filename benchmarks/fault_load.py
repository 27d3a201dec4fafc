"""Load while something is done to gateways: what was sent, what failed, what was in flight at a moment."""

import asyncio
import itertools
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import aiohttp
import orjson

from benchmarks.fault_client import BUDGETED

_SETTLED_S = 0.06  # after the reply; finished requests are settled several at once, 20 ms later
_PAUSE_S = 0.01  # after each request
_DOWN_S = 0.05  # after one that failed


@dataclass(slots=True)
class Progress:
    """What the clients have seen up to now; `failed` says when (monotonic clock) and how."""

    sent: int = 0
    in_flight: int = 0
    failed: list[tuple[float, str]] = field(default_factory=list)
    ended: deque[float] = field(default_factory=lambda: deque(maxlen=1000))

    @property
    def unsettled(self) -> int:
        """How many requests are in flight, or so lately answered that they may not have been settled yet."""
        since = time.monotonic() - _SETTLED_S
        return self.in_flight + sum(when > since for when in tuple(self.ended))

    def failed_since(self, moment: float) -> int:
        """Return how many requests have failed since then."""
        return sum(when >= moment for when, _ in self.failed)

    @property
    def words(self) -> str:
        """How requests failed."""
        return ", ".join(f"{how}: {count}" for how, count in Counter(how for _, how in self.failed).items())


def request_of(number: int) -> bytes:
    """Return a request of the load, every third a stream of some length; its user is its number, for the bills."""
    stream = number % 3 == 0
    plan = {"tokens": 5 + number % 30, "ms": 3 if stream else number % 3, "status": 200}
    message = {"role": "user", "content": "x" * (10 + number % 500)}
    body = {"model": "gpt-main", "user": f"u{number}", "stream": stream, "max_tokens": 64, "metadata": plan}
    return orjson.dumps({**body, "messages": [message]})


def under_load(url: str, clients: int, during: Callable[[Progress], None]) -> Progress:
    """Send requests to `url` (up to /v1) for as long as `during` takes; return what came of them."""
    return asyncio.run(_loaded(url + "/chat/completions", clients, during))


async def _loaded(url: str, clients: int, during: Callable[[Progress], None]) -> Progress:
    progress, numbers, over = Progress(), itertools.count(1), asyncio.Event()
    work = [asyncio.create_task(_client(url, numbers, progress, over)) for _ in range(clients)]
    try:
        await asyncio.to_thread(during, progress)
    finally:
        over.set()
        await asyncio.gather(*work)
    return progress


async def _client(url: str, numbers: Iterator[int], progress: Progress, over: asyncio.Event) -> None:
    headers = {"Authorization": f"Bearer {BUDGETED}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=20)) as session:
        while not over.is_set():
            body = request_of(next(numbers))
            progress.sent += 1
            progress.in_flight += 1
            how = await _sent(session, url, body)
            progress.in_flight -= 1
            progress.ended.append(time.monotonic())
            if how:
                progress.failed.append((time.monotonic(), how))
            await asyncio.sleep(_DOWN_S if how else _PAUSE_S)


async def _sent(session: aiohttp.ClientSession, url: str, body: bytes) -> str:
    """Send the request; return how it failed, or an empty string."""
    try:
        async with session.post(url, data=body) as reply:
            content = await reply.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        return type(error).__name__
    if reply.status != 200:
        return str(reply.status)
    stream = content.startswith(b"data: ")
    return "stream without its end" if stream and not content.endswith(b"data: [DONE]\n\n") else ""
