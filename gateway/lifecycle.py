"""What signals do: SIGTERM drains before the server stops, SIGHUP has the configuration read again."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from gateway import logs


class EarlyHangUp:
    """What SIGHUP does before a Lifecycle listens to it: it is noted, where it would end the process."""

    came = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        """Note it."""
        self.came = True


class Lifecycle:
    """Takes over the server's signals while it runs.

    Draining: for `drain_s` seconds the process says that it is not ready and lets every connection end with its next
    reply, but serves all that comes, so that whoever sends it requests has time to notice; then the server stops as
    it would have at once: it listens no more and finishes what has begun.
    """

    def __init__(self, drain_s: float, reload: Callable[[], None]) -> None:
        self.draining = False
        self._drain_s = drain_s
        self._reload = reload

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen to signals within the block; only a process' main thread can."""
        stop = signal.getsignal(signal.SIGTERM)
        if threading.current_thread() is not threading.main_thread() or not callable(stop):
            yield
            return
        loop = asyncio.get_running_loop()

        def drain(number: int, frame: FrameType | None) -> None:
            if self.draining or not self._drain_s:
                stop(number, frame)
                return
            self.draining = True
            loop.call_soon_threadsafe(self._begin, lambda: stop(number, frame))

        hang_up = signal.signal(signal.SIGHUP, lambda _number, _frame: loop.call_soon_threadsafe(self._reload))
        signal.signal(signal.SIGTERM, drain)
        if isinstance(hang_up, EarlyHangUp) and hang_up.came:
            self._reload()  # the file may have changed since it was read
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, stop)
            signal.signal(signal.SIGHUP, hang_up)

    def _begin(self, stop: Callable[[], None]) -> None:
        logs.event("draining", seconds=self._drain_s)
        asyncio.get_running_loop().call_later(self._drain_s, stop)
