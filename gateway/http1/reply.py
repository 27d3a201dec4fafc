"""A reply as it arrives."""

import asyncio
from collections.abc import AsyncIterator, Callable

from gateway.http1.errors import WireError

Headers = list[tuple[bytes, bytes]]

_MOST_WAITING = 1 << 18  # bytes of a body that nobody has fetched yet; beyond, the upstream is made to wait


class Reply:
    """Status, headers (names in lower case, in their order) and a body that is read once.

    Filled in by its connection; `whole` as soon as the last byte is here.
    """

    __slots__ = ("_pieces", "_resume", "_size", "_waiter", "error", "headers", "paused", "status", "whole")

    def __init__(self, resume: Callable[[], None]) -> None:
        self.status = 0
        self.headers: Headers = []
        self.whole = False
        self.error: WireError | None = None
        self.paused = False
        self._resume = resume
        self._pieces: list[bytes] = []
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None

    def header(self, name: bytes) -> bytes:
        """Return the header's last value, or nothing; `name` in lower case."""
        found = b""
        for key, value in self.headers:
            if key == name:
                found = value
        return found

    def add(self, piece: bytes) -> bool:
        """Take a piece of the body; return whether there is more than should wait here."""
        self._pieces.append(piece)
        self._size += len(piece)
        self._wake()
        return self._size > _MOST_WAITING

    def end(self, error: WireError | None = None) -> None:
        """Note that nothing more will come, as is right or because of the error."""
        self.error = error
        self.whole = error is None
        self._wake()

    def taken(self) -> bytes:
        """Return what has come and was not fetched yet."""
        pieces = self._pieces
        found = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._size = 0
        if self.paused:
            self._resume()
        return found

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives; raise WireError where it stops short, after all that came."""
        while True:
            if self._pieces:
                yield self.taken()
            elif self.whole:
                return
            elif self.error is not None:
                raise self.error
            else:
                await self._more()

    async def glimpse(self, size: int) -> bytes:
        """Return the body, or at least its first `size` bytes, and leave it to be fetched."""
        while not self.whole and self.error is None and self._size < size and not self.paused:
            await self._more()
        return b"".join(self._pieces)

    async def _more(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
