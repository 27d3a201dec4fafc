"""The threads that work on SQLite's file beside the event loop: one writes, others read, one tidies."""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Literal, TypeVar

from gateway.store.contract import OnChange, StoreUnavailableError
from gateway.store.sqlite_batch import Batch
from gateway.store.sqlite_documents import touch
from gateway.store.sqlite_memory import Key, Memory
from gateway.store.sqlite_schema import PATIENCE_S, begin, connect, journals, roll_back

Durability = Literal["process", "power"]
T = TypeVar("T")

_LARGEST = 512  # operations in one transaction
# Whoever is patient waits so long for others: a thread that is woken seldom finds less of what it needs far away.
_PATIENT_S = 0.15
_TIDY_S = 4.0  # seldom: while the disk is waited for, a commit may take longer too
_WORTH_PAGES = 1000  # of the log; fewer stay where they are
_TIDY_BUSY_MS = 50  # longest that writing back makes others wait
_TRY_S = 1.0  # between tries whether a file that can't be written can be again
_CLOSED = "the store is closed"


@dataclass(frozen=True, slots=True)
class _Order:
    """An operation, the reservations it is about, and the future of what comes of it.

    `lasting`: it must outlive a power cut.
    """

    work: Callable[[Batch], object]
    keys: Sequence[Key]
    future: "asyncio.Future[object]"
    lasting: bool


class Writer:
    """Commits operations in the order in which they come, all that wait in one transaction.

    `on_change` is told, in the loop, when the file can't be written; from then on that is tried every second.
    """

    def __init__(self, path: Path, durability: Durability, on_change: OnChange | None = None) -> None:
        self._on_change = on_change or (lambda _there, _why: None)
        self._away = False
        self._next_try = 0.0
        self._power = durability == "power"
        self._db = connect(path)
        self._memory = Memory(journals(path))
        self._lasting(on=self._power)
        self._loop = asyncio.get_running_loop()
        self._open = True
        self._waiting: list[_Order] = []
        self._soon = False  # whether what waits is handed over in this turn of the loop
        self._later: asyncio.TimerHandle | None = None
        self._queue: SimpleQueue[list[_Order] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(
        self, work: Callable[[Batch], T], keys: Sequence[Key] = (), *, lasting: bool = False, patient: bool = False
    ) -> asyncio.Future[T]:
        """Return the future of what the operation returns; `keys` are the reservations that it asks for.

        `patient`: it is committed with the next operation that is not, or a moment later.

        Raises:
            StoreUnavailableError: the store is closed.
        """
        if not self._open:
            raise StoreUnavailableError(_CLOSED)
        future: asyncio.Future[T] = self._loop.create_future()
        if not patient and not self._soon:
            # All that this turn of the loop asks for goes to the thread at once.
            self._soon = True
            self._loop.call_soon(self._hand_over)
        elif patient and not self._waiting:
            self._later = self._loop.call_later(_PATIENT_S, self._hand_over)
        self._waiting.append(_Order(work, keys, future, lasting))  # type: ignore[arg-type]
        return future

    async def do(self, work: Callable[[Batch], T], keys: Sequence[Key] = (), *, lasting: bool = False) -> T:
        """Return what the operation returns, once it is committed."""
        return await self.submit(work, keys, lasting=lasting)

    async def close(self) -> None:
        """Commit what was handed in, end the thread."""
        if self._open:
            self._open = False
            self._hand_over()
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _hand_over(self) -> None:
        if self._later is not None:
            self._later.cancel()
        self._soon, self._later = False, None
        if self._waiting:
            self._queue.put(self._waiting)
            self._waiting = []

    def _run(self) -> None:
        try:
            while (orders := self._next()) is not None:
                more = self._take(orders)
                for start in range(0, len(orders), _LARGEST):
                    self._serve(orders[start : start + _LARGEST])
                if not more:
                    return
        finally:
            self._db.close()

    def _next(self) -> list[_Order] | None:
        """Return what is asked for next, None at the end; try meanwhile whether a file that is away is back."""
        while self._away:
            if time.monotonic() >= self._next_try:
                self._try()
            with contextlib.suppress(Empty):
                return self._queue.get(timeout=_TRY_S)
        return self._queue.get()

    def _try(self) -> None:
        self._next_try = time.monotonic() + _TRY_S
        with contextlib.suppress(sqlite3.Error):
            begin(self._db)
            try:
                touch(self._db)
                self._db.execute("COMMIT")
                self._tell(True)
            finally:
                roll_back(self._db)

    def _tell(self, there: bool, why: str = "") -> None:
        if self._away == there:
            self._away, self._next_try = not there, time.monotonic() + _TRY_S
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens
                self._loop.call_soon_threadsafe(self._on_change, there, why)

    def _take(self, orders: list[_Order]) -> bool:
        """Add to the orders all that waits; False when there will be no more."""
        with contextlib.suppress(Empty):
            while True:
                more = self._queue.get_nowait()
                if more is None:
                    return False
                orders += more
        return True

    def _serve(self, orders: Sequence[_Order]) -> None:
        lasting = not self._power and any(order.lasting for order in orders)
        if lasting:
            self._lasting(on=True)
        outcomes = self._outcomes(orders)
        if lasting:
            self._lasting(on=False)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(_resolve, [order.future for order in orders], outcomes)

    def _lasting(self, *, on: bool) -> None:
        self._db.execute(f"PRAGMA synchronous = {'FULL' if on else 'NORMAL'}")

    def _outcomes(self, orders: Sequence[_Order]) -> list[object]:
        try:
            return self._commit(orders)
        except Exception as error:  # noqa: BLE001 - each of them is an operation's outcome, and the thread goes on
            if _of_the_file(error):
                self._tell(False, str(error))
                return [StoreUnavailableError(str(error)) for _ in orders]
            if len(orders) == 1:
                return [error]
            # One of them cannot be done; the others can.
            return [outcome for order in orders for outcome in self._outcomes([order])]

    def _commit(self, orders: Sequence[_Order]) -> list[object]:
        begin(self._db)
        try:
            batch = Batch(self._db, self._memory)
            batch.expect([key for order in orders for key in order.keys])
            results = [order.work(batch) for order in orders]
            batch.write()
            self._db.execute("COMMIT")
            batch.remember()
        except Exception:
            self._memory.doubt()
            raise
        finally:
            roll_back(self._db)
        return results


def _of_the_file(error: Exception) -> bool:
    """Tell what the disk or a lock is to blame for from what an operation's values are."""
    return isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError


def _resolve(futures: Sequence["asyncio.Future[object]"], outcomes: Sequence[object]) -> None:
    for future, outcome in zip(futures, outcomes, strict=True):
        if future.done():  # its caller was cancelled
            continue
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)


class Reader:
    """Reads in a thread of its own, and so never waits for a writer."""

    def __init__(self, path: Path) -> None:
        self._db = connect(path, read_only=True, busy_ms=int(PATIENCE_S * 1e3))
        self._pool: ThreadPoolExecutor | None = ThreadPoolExecutor(1, "store-reader")

    async def get(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Return what the query returns."""
        if self._pool is None:
            raise StoreUnavailableError(_CLOSED)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, query, self._db)
        except sqlite3.Error as error:
            raise StoreUnavailableError(str(error)) from error

    async def close(self) -> None:
        """Finish what was asked, end the thread."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await asyncio.to_thread(pool.shutdown)
            self._db.close()


class Tidier:
    """Writes the log back into the file now and then; beside the writer, which so never waits for a disk."""

    def __init__(self, path: Path) -> None:
        self._db = connect(path, busy_ms=_TIDY_BUSY_MS)
        self._ended = Event()
        self._thread = Thread(target=self._run, name="store-tidier", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """End the thread."""
        self._ended.set()
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while not self._ended.wait(_TIDY_S):
            with contextlib.suppress(sqlite3.Error):  # a lock, mostly: the next turn will do
                self._tidy()
        self._db.close()

    def _tidy(self) -> None:
        # Nearly all of it while others write; then, with the lock, what they wrote meanwhile, so that the log begins
        # anew: under load it would grow for ever otherwise.
        for mode in ("PASSIVE", "PASSIVE", "RESTART"):
            _, length, done = self._db.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
            if length < _WORTH_PAGES or done < length // 2:  # little, or somebody reads what is old
                return
