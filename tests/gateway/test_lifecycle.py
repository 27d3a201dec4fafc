import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.lifecycle import EarlyHangUp, Lifecycle


class Server:
    """What a server does with SIGTERM, and how often it was told to reload."""

    def __init__(self) -> None:
        self.stops: list[int] = []
        self.reloads = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        before = signal.signal(signal.SIGTERM, lambda number, _: self.stops.append(number))
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def reload(self) -> None:
        self.reloads += 1


async def told(number: int, wait_s: float = 0.0) -> None:
    os.kill(os.getpid(), number)
    await asyncio.sleep(wait_s)


async def test_it_drains_for_a_while_before_the_server_hears_of_it() -> None:
    server = Server()
    lifecycle = Lifecycle(0.2, server.reload)
    with server.running(), lifecycle.listening():
        await told(signal.SIGTERM, 0.05)
        assert (lifecycle.draining, server.stops) == (True, [])
        await asyncio.sleep(0.3)
        assert server.stops == [signal.SIGTERM]


async def test_told_twice_the_server_stops_at_once() -> None:
    server = Server()
    with server.running(), Lifecycle(60, server.reload).listening():
        await told(signal.SIGTERM)
        await told(signal.SIGTERM)
        assert server.stops == [signal.SIGTERM]


async def test_without_a_while_to_drain_it_stops_at_once() -> None:
    server = Server()
    lifecycle = Lifecycle(0, server.reload)
    with server.running(), lifecycle.listening():
        await told(signal.SIGTERM)
        assert (lifecycle.draining, server.stops) == (False, [signal.SIGTERM])


async def test_sighup_reloads_and_handlers_are_given_back() -> None:
    server = Server()
    before = signal.getsignal(signal.SIGHUP)
    with server.running():
        own = signal.getsignal(signal.SIGTERM)
        with Lifecycle(1, server.reload).listening():
            await told(signal.SIGHUP, 0.05)
            await told(signal.SIGHUP, 0.05)
        assert server.reloads == 2
        assert signal.getsignal(signal.SIGTERM) is own
    assert signal.getsignal(signal.SIGHUP) == before


async def test_a_sighup_before_it_listens_reloads_once_it_does() -> None:
    server = Server()
    before = signal.signal(signal.SIGHUP, EarlyHangUp())
    try:
        with server.running():
            for reloads in (0, 1):
                with Lifecycle(1, server.reload).listening():
                    assert server.reloads == reloads
                await told(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


async def test_in_another_thread_it_leaves_signals_alone() -> None:
    server = Server()
    with server.running():
        own = signal.getsignal(signal.SIGTERM)

        def elsewhere() -> bool:
            with Lifecycle(1, server.reload).listening():
                return signal.getsignal(signal.SIGTERM) is own

        assert await asyncio.to_thread(elsewhere)
