"""An origin's kept-alive connections."""

import asyncio
from collections import deque
from typing import Self

from gateway.http1.connection import Connection, Request, Timeouts
from gateway.http1.dialing import Origin, dial
from gateway.http1.reply import Reply

_KEPT_S = 15.0  # unused; some servers end theirs after less, and then tell so or are seen to
_LOOKS = 4  # at a timeout, so that it is late by a quarter at most
_LONGEST_LOOK_S = 1.0


class Lease:
    """A reply together with the connection it comes on, which is given back by close()."""

    __slots__ = ("_connection", "_pool", "reply")

    def __init__(self, pool: "Pool", connection: Connection, reply: Reply) -> None:
        self._pool = pool
        self._connection: Connection | None = connection
        self.reply = reply

    def close(self) -> None:
        """Give the connection back, or end it where the reply was not read to its end; a second time is none."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.give_back(connection)


class Pool:
    """Connections to one origin, as many as there are requests at the same time; used as a context."""

    def __init__(self, origin: Origin, timeouts: Timeouts) -> None:
        self._origin = origin
        self._timeouts = timeouts
        self._idle: deque[Connection] = deque()  # the last one used is the next: the others may grow old and end
        self._busy: set[Connection] = set()
        self._dialling = 0
        shortest = min(timeouts.first_byte, timeouts.idle, timeouts.total)
        self._look_s = min(_LONGEST_LOOK_S, shortest / _LOOKS)
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self._look()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for connection in (*self._busy, *self._idle):
            connection.abort()
        self._busy.clear()
        self._idle.clear()

    @property
    def busy(self) -> int:
        """How many requests are under way."""
        return len(self._busy) + self._dialling

    async def send(self, request: Request) -> Lease:
        """Send a request on a kept connection, or on a new one; raises what Connection.send and dial do."""
        connection = self._kept() or await self._new()
        self._busy.add(connection)
        try:
            return Lease(self, connection, await connection.send(request))
        except BaseException:  # cancelled too: the connection has ended itself
            self._busy.discard(connection)
            raise

    async def _new(self) -> Connection:
        self._dialling += 1
        try:
            return await dial(self._origin, self._timeouts)
        finally:
            self._dialling -= 1

    def give_back(self, connection: Connection) -> None:
        """Keep a connection that can be used again, end any other."""
        self._busy.discard(connection)
        if connection.reusable and self._timer is not None:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.append(connection)
        else:
            connection.abort()

    def _kept(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable:
                return connection
            connection.abort()
        return None

    def _look(self) -> None:
        """End what is silent for too long or was not used for long."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in tuple(self._busy):
            connection.check(now)
        while self._idle and now - self._idle[0].idle_since > _KEPT_S:
            self._idle.popleft().abort()
        self._timer = loop.call_later(self._look_s, self._look)
