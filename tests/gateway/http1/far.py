"""The far end of a connection: a server that plays what a test tells it to, and the way to it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from gateway.http1.connection import Connection, Request, Timeouts
from gateway.http1.dialing import Origin, dial
from gateway.http1.reply import Reply

Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = Request(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", None, method="GET")
PATIENT = Timeouts(connect=5, first_byte=5, idle=5)
POST = b"POST / HTTP/1.1\r\nhost: x\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"
CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
IN_CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_ESTABLISHED, _KEEPALIVE_TIMER = "01", "02:"  # in /proc/net/tcp
QUICK = Timeouts(connect=5, first_byte=1, idle=2, total=60)


class Far:
    """The server's address, and how many connections it has had and has."""

    def __init__(self, play: Play) -> None:
        self.port = 0
        self.connections = self.open = 0
        self.failures: list[BaseException] = []
        self._play = play

    @property
    def origin(self) -> Origin:
        """The way there."""
        return Origin("127.0.0.1", self.port)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Play to one connection, and close it."""
        self.connections += 1
        self.open += 1
        try:
            await self._play(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the near end has left, as it may, or the test is over
        except Exception as error:  # noqa: BLE001 - the test is to hear of it
            self.failures.append(error)
        finally:
            self.open -= 1
            writer.close()


@asynccontextmanager
async def far(play: Play) -> AsyncIterator[Far]:
    """Run the server around the block; what goes wrong in the play fails the test."""
    found = Far(play)
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0, limit=1 << 20)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
    if found.failures:
        raise found.failures[0]


def saying(*pieces: bytes, stays: bool = True) -> Play:
    """Return a play that answers each request with these pieces, and then stays or hangs up."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            if not stays:
                break

    return play


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read, and say nothing."""
    await reader.read()


async def to(server: Far, timeouts: Timeouts = PATIENT) -> Connection:
    """Return a connection to the server."""
    return await dial(server.origin, timeouts)


async def whole(reply: Reply) -> bytes:
    """Read a reply's body to its end."""
    return b"".join([piece async for piece in reply.chunks()])


async def comes_true(condition: Callable[[], object], timeout_s: float = 5) -> bool:
    """Return whether the condition comes true, waiting for it."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            while not condition():  # noqa: ASYNC110 - what is waited for sets no event
                await asyncio.sleep(0.005)
    return bool(condition())


async def pieces(count: int, *each: bytes) -> AsyncIterator[bytes]:
    for _ in range(count):
        for piece in each:
            yield piece


def signs_of_life(local: int = 0, remote: int = 0) -> list[bool]:
    """Return, for each connection of these ports on this machine, whether its kernel gives signs of life on it."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ports = [(int(line[1][-4:], 16), int(line[2][-4:], 16), line) for line in lines if line[3] == _ESTABLISHED]
    found = [line for ours, theirs, line in ports if local in (0, ours) and remote in (0, theirs)]
    return [line[5].startswith(_KEEPALIVE_TIMER) for line in found]
