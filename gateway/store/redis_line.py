"""A connection to Redis on which callers share round trips, each bounded in time.

What is handed in during one turn of the event loop, or while a round trip is under way, goes out together.
"""

import asyncio
import logging
import math
import re
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Sequence
from contextlib import suppress
from typing import TypeVar

import hiredis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError

from gateway.store.breaker import Breaker
from gateway.store.contract import StoreUnavailableError
from gateway.store.redis_batch import Batch, Reply
from gateway.store.redis_keys import Keys
from gateway.store.redis_records import Answer, Operation, heads
from gateway.store.redis_scripts import Command, scripts

CONNECT_S = 2.0  # a TLS handshake on a busy machine can take longer than callers wait; it goes on without them
_GRACE_S = 0.002  # after the deadline: what has arrived while the event loop was busy counts
_NAMED = 5  # teams in a log line
_LARGEST = 1024  # commands and operations in one round trip
# States for which the client library has no class; and what Redis before 7 says of a script that met with one.
_AWAY = re.compile(r"^(BUSY|MISCONF|NOREPLICAS) |-(OOM|READONLY|MISCONF|NOREPLICAS) ")

_LOG = logging.getLogger(__name__)

T = TypeVar("T")


class Line:
    """One connection, made when it is needed and made anew when it is lost; all of it in one event loop.

    An answer that took longer than `prompt_s` tells the breaker nothing: callers of another line do not wait so long.
    """

    def __init__(
        self, pool: ConnectionPool, keys: Keys, timeout_s: float, breaker: Breaker, prompt_s: float = math.inf
    ) -> None:
        self._pool = pool
        self._keys = keys
        self._timeout_s = timeout_s
        self._breaker = breaker
        self._prompt_s = prompt_s
        self._loop = asyncio.get_running_loop()
        self._connection: AbstractConnection | None = None
        self._connecting: asyncio.Task[AbstractConnection] | None = None
        self._waiting: deque[tuple[Batch, _Later]] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._told: set[str] = set()  # teams that the server behind this connection knows of
        self._ever: set[str] = set()  # those that any was told of
        self._open = True

    async def ask(self, commands: Sequence[Command]) -> list[Reply]:
        """Return the replies."""
        self._admit()
        return await self._batch().commands(commands)

    async def operate(self, team: str, operation: Operation) -> Answer:
        """Return what came of the operation."""
        self._admit()
        return await self._batch().operation(team, operation)

    async def operate_all(self, operations: Sequence[tuple[str, Operation]]) -> list[Answer]:
        """Return what came of the operations, each with its team, in their order."""
        self._admit()
        return await asyncio.gather(*(self._batch().operation(*each) for each in operations))

    async def tell_again(self, known: Collection[str]) -> None:
        """Tell the server of those teams it was told of and that are not among these, which are all it knows."""
        if missing := self._ever.difference(known):
            self._lost_data(missing)
            await self.ask([("SADD", self._keys.teams, *missing)])

    async def close(self) -> None:
        """Finish what was handed in, hang up."""
        self._open = False
        if self._pump is not None:
            await self._pump
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        await self._hang_up()

    def _admit(self) -> None:
        if not self._open:
            raise StoreUnavailableError("the store is closed")
        if not self._breaker.admits():
            raise StoreUnavailableError(f"{self._breaker.why}; it is asked again within a second")

    def _batch(self) -> Batch:
        """Return the batch that takes what is handed in now."""
        if not self._waiting or self._waiting[-1][0].size >= _LARGEST:
            batch = Batch(self._keys, self._loop)
            self._waiting.append((batch, _Later(self._loop, self._timeout_s, lambda: batch.failed(self._late))))
        if self._pump is None:
            self._pump = self._loop.create_task(self._run())
        return self._waiting[-1][0]

    @property
    def _late(self) -> str:
        return f"Redis did not answer within {self._timeout_s * 1000:.0f} ms"

    async def _run(self) -> None:
        while self._waiting:
            batch, deadline = self._waiting.popleft()
            try:
                await self._exchange(batch)
            except Exception as error:  # noqa: BLE001 - whatever the client library raises, callers are told the same
                await self._lost(batch, _said(error))
            deadline.cancel()
        self._pump = None

    async def _exchange(self, batch: Batch) -> None:
        if not batch.waited_for:
            return
        if not (self._breaker.closed or self._breaker.trying):
            batch.failed(self._breaker.why)
            return
        began = self._loop.time()
        try:
            replies = await self._in_time(self._converse(batch))
        except TimeoutError:
            await self._lost(batch, self._late)
            return
        # Of a script with operations no error is a caller's mistake.
        unserved = (*filter(_away, replies[: batch.asked]), *filter(_failed, replies[batch.asked :]))
        if away := next(iter(unserved), None):
            self._breaker.failed(_said(away), certainly=True)
            await self._hang_up()
        elif self._loop.time() - began <= self._prompt_s:
            self._breaker.succeeded()
        batch.answered(replies)

    async def _lost(self, batch: Batch, why: str) -> None:
        self._breaker.failed(why)
        batch.failed(why)
        await self._hang_up()

    async def _in_time(self, work: Coroutine[None, None, T]) -> T:
        async with asyncio.timeout(None) as limit:
            deadline = _Later(self._loop, self._timeout_s, lambda: limit.reschedule(self._loop.time()))
            try:
                return await work
            finally:
                deadline.cancel()

    async def _converse(self, batch: Batch) -> list[Reply]:
        """Send the batch and return its replies; all of it once more where the connection turns out to be dead."""
        fresh = self._connection is None
        try:
            return await self._talk(await self._connected(), batch)
        except (RedisConnectionError, OSError):
            if fresh:
                raise
            await self._hang_up()
            return await self._talk(await self._connected(), batch)

    async def _talk(self, connection: AbstractConnection, batch: Batch) -> list[Reply]:
        new = batch.teams - self._told
        before: list[Command] = [("SADD", self._keys.teams, *new)] if new else []
        if self._breaker.trying:
            before += signs_of_life(self._keys)
        replies = await self._round_trip(connection, [*before, *batch.rendered()])
        for reply in replies[: len(before)]:
            if _failed(reply):
                away = reply if _away(reply) else RedisError(str(reply))
                return [away] * (len(replies) - len(before))
        if new:
            self._note(new, replies[0])
        return replies[len(before) :]

    def _note(self, new: set[str], added: int) -> None:
        """Note that the server was told of teams, of which so many were new to it."""
        if added > len(new - self._ever):
            self._lost_data(new & self._ever)
            self._told, self._ever = set(), set()  # said once, whichever teams come next
        self._told |= new
        self._ever |= new

    def _lost_data(self, teams: set[str]) -> None:
        some = ", ".join(sorted(teams)[:_NAMED])
        _LOG.warning("store_lost_data: Redis has not all that it held any more: budgets may begin anew (%s)", some)

    async def _round_trip(self, connection: AbstractConnection, commands: Sequence[Command]) -> list[Reply]:
        replies = await _replies(connection, commands)
        unknown = [place for place, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            again = await _replies(connection, [scripts().in_full(commands[place]) for place in unknown])
            for place, reply in zip(unknown, again, strict=True):
                replies[place] = reply
        return replies

    async def _connected(self) -> AbstractConnection:
        if self._connection is not None:
            return self._connection
        if self._connecting is None:
            self._connecting = self._loop.create_task(self._connect())
            self._connecting.add_done_callback(self._stop_connecting)
        return await asyncio.shield(self._connecting)

    def _stop_connecting(self, task: "asyncio.Task[AbstractConnection]") -> None:
        self._connecting = None
        if not task.cancelled():
            task.exception()  # Whoever still waits is told; nobody may.

    async def _connect(self) -> AbstractConnection:
        connection: AbstractConnection = self._pool.connection_class(**self._pool.connection_kwargs)
        try:
            async with asyncio.timeout(CONNECT_S):
                await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:  # cancelled too: a connection that is half open serves nobody
            await connection.disconnect(nowait=True)
            raise
        self._told.clear()
        self._connection = connection
        return connection

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(RedisError, OSError):
                await connection.disconnect(nowait=True)


def signs_of_life(keys: Keys) -> list[Command]:
    """Return what a server can do that is there: being written to, and running scripts."""
    return [keys.sign_of_life, scripts().operations.call(keys.of_scripts(""), keys.base(""), heads(()))]


def pool_of(url: str) -> ConnectionPool:
    """Return what makes connections to the URL; raise ValueError where it is none."""
    pool = ConnectionPool.from_url(url)
    # Time is bounded here; RESP2 needs no round trip before the first command.
    own = {"protocol": 2, "decode_responses": False, "socket_timeout": None, "socket_connect_timeout": CONNECT_S}
    pool.connection_kwargs.update(own)
    return pool


async def _replies(connection: AbstractConnection, commands: Sequence[Command]) -> list[Reply]:
    packed = [hiredis.pack_command(command) for command in commands]  # type: ignore[arg-type] # its stub: one value
    await connection.send_packed_command(packed, check_health=False)
    replies: list[Reply] = []
    for _ in commands:
        try:
            replies.append(await connection.read_response(disable_decoding=True))
        except ResponseError as error:
            replies.append(error)
    return replies


def _away(reply: Reply) -> bool:
    """Whether the server says that it does not serve: read only, out of memory, elsewhere... A mistake is not that."""
    if type(reply) is ResponseError:
        return bool(_AWAY.search(str(reply)))
    return isinstance(reply, Exception)


def _failed(reply: Reply) -> bool:
    """Whether it is an error of any kind."""
    return isinstance(reply, Exception)


def _said(error: Exception) -> str:
    return f"Redis: {type(error).__name__}: {error}"


class _Later:
    """Calls it after the delay, and later where the event loop itself was busy then; unless cancelled before."""

    def __init__(self, loop: asyncio.AbstractEventLoop, delay_s: float, work: Callable[[], object]) -> None:
        self._loop = loop
        self._delay_s = delay_s
        self._work = work
        self._due = loop.time() + delay_s
        self._timer = loop.call_at(self._due, self._look)

    def cancel(self) -> None:
        """Do not call it any more."""
        self._timer.cancel()

    def _look(self) -> None:
        late = self._loop.time() - self._due
        self._timer = self._loop.call_later(min(max(_GRACE_S, late), self._delay_s), self._work)
