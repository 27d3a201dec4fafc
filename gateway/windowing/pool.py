"""The windowing processes: a bounded queue in front of them, and someone who starts them again."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from gateway.windowing.child import Child
from gateway.windowing.frames import Lookups
from gateway.windowing.measuring import COMMON_MODEL, MAX_BYTES, counted, is_small
from gateway.windowing.types import Reason, WindowOutcome, WindowPolicy
from retrieval.tokens import counter_for
from retrieval.types import Deadline

# Up to this many bytes for each token of the trigger, and no more than these at all, a body is counted in the gateway
# itself: that takes a millisecond, less than waiting behind another request's window would. Images in the body do not
# count, as long as they are quickly read.
_COUNTED_HERE = 4
_MOST_HERE = 16_384
_READ_HERE = 4_000_000
_IMAGE = b";base64,"
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 30.0
_HEALTHY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class PoolStats:
    """What the pool did since its start, and how many requests wait or are worked on now."""

    waiting: int
    busy: int
    restarts: int
    lookups: Lookups


class WindowPool:
    """Windows bodies in processes of its own, at most `queue` waiting for each of them."""

    def __init__(self, processes: int, queue: int, embedding_model: str, embedding_ms: int | None = None) -> None:
        self._limit = queue * processes
        self._model = (embedding_model,) if embedding_ms is None else (embedding_model, str(embedding_ms))
        self._children: list[Child | None] = [None] * processes
        self._idle: deque[Child] = deque()
        self._waiting: deque[asyncio.Future[Child | None]] = deque()
        self._tasks: list[asyncio.Task[None]] = []
        self._counts_here = False
        self._restarts = 0
        self._past = Lookups()

    async def start(self) -> None:
        """Begin to start the processes; returns at once."""
        self._tasks = [asyncio.create_task(self._supervise(slot)) for slot in range(len(self._children))]
        self._tasks.append(asyncio.create_task(self._load_vocabulary()))

    async def close(self) -> None:
        """End all processes; requests that still wait are forwarded as they are."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    @property
    def ready(self) -> bool:
        """Whether the embedding model is loaded in every process."""
        return all(child is not None and child.ready for child in self._children)

    @property
    def detail(self) -> str:
        """Why the pool is not ready, where that is known."""
        return next((child.detail for child in self._children if child and child.detail), "")

    def stats(self) -> PoolStats:
        """Return the counters."""
        alive = [child for child in self._children if child]
        return PoolStats(
            waiting=sum(1 for w in self._waiting if not w.done()),
            busy=sum(1 for c in alive if c.busy),
            restarts=self._restarts,
            lookups=sum((child.lookups for child in alive), self._past),
        )

    async def window(self, body: bytes, policy: WindowPolicy) -> WindowOutcome:
        """Return what is forwarded instead of the body, or why it is forwarded as it is; never raises.

        Cancelling the caller stops the work.
        """
        deadline = Deadline.after(policy.deadline_ms / 1e3)
        if len(body) > MAX_BYTES or is_small(body, policy) or (self._counts_here and _is_light(body, policy)):
            outcome = counted(body, policy, deadline)
            if outcome.reason is not Reason.WARMING:
                return outcome
        if not self._idle and sum(1 for w in self._waiting if not w.done()) >= self._limit:
            return WindowOutcome(Reason.OVERLOADED)
        try:
            async with asyncio.timeout(deadline.left()):
                child = await self._child()
        except TimeoutError:
            return WindowOutcome(Reason.DEADLINE, detail="no windowing process was free")
        if child is None:
            return WindowOutcome(Reason.WARMING, detail=self.detail)
        return await child.window(body, policy, deadline)

    async def _load_vocabulary(self) -> None:
        """Load what counting needs off the event loop, which it would stop for most of a second."""
        await asyncio.to_thread(counter_for, COMMON_MODEL)
        self._counts_here = True

    async def _child(self) -> Child | None:
        """Return a process that is free, waiting for one; None where none is running."""
        while self._idle:
            if (child := self._idle.popleft()).counting:
                return child
        if not any(child and child.counting for child in self._children):
            return None
        turn: asyncio.Future[Child | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            # Both may happen in one step of the loop: the process was handed over, and nobody takes it.
            if turn.done() and not turn.cancelled() and (handed := turn.result()):
                self._free(handed)
            raise
        finally:
            if turn in self._waiting:
                self._waiting.remove(turn)

    def _free(self, child: Child) -> None:
        """Hand the process to whoever waits longest."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(child)
                return
        self._idle.append(child)

    async def _supervise(self, slot: int) -> None:
        """Keep one process running until cancelled."""
        pause = _FIRST_PAUSE
        while True:
            since = time.monotonic()
            await self._live(slot, self._free)
            pause = _FIRST_PAUSE if time.monotonic() - since > _HEALTHY_SECONDS else min(2 * pause, _LONGEST_PAUSE)
            self._restarts += 1
            await asyncio.sleep(pause)

    async def _live(self, slot: int, free: Callable[[Child], None]) -> None:
        """Run one process from its start to its end."""
        child = self._children[slot] = Child(self._model, free)
        try:
            await child.run()
        finally:
            self._children[slot] = None
            self._past += child.lookups
            if child in self._idle:
                self._idle.remove(child)
            if not any(other and other.counting for other in self._children):
                self._give_up()

    def _give_up(self) -> None:
        """Tell all who wait that no process is running."""
        for turn in self._waiting:
            if not turn.done():
                turn.set_result(None)


def _is_light(body: bytes, policy: WindowPolicy) -> bool:
    """Whether the body without its images is quickly counted."""
    limit = min(_COUNTED_HERE * policy.trigger_tokens, _MOST_HERE)
    size = len(body)
    at = 0 if limit < size <= _READ_HERE else -1
    while at >= 0 and size > limit:
        at = body.find(_IMAGE, at)
        end = body.find(b'"', at) if at >= 0 else -1
        size -= max(0, end - at)
        at = end
    return size <= limit
