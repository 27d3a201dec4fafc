"""The operators' API on an address of its own."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gateway.http1.cycle import App
from gateway.http1.inbound import Inbound


@dataclass(slots=True)
class _State:
    """What the server of the other address keeps of its connections; here nobody else counts them."""

    connections: set[Inbound] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    total_requests: int = 0


@dataclass(slots=True)
class _Config:
    loaded_app: App


def bound(listen: str, *, shared: bool = True) -> socket.socket:
    """Return a socket that listens there, if shared beside other workers'; raise OSError where that can't be."""
    try:
        return _bound(listen, shared)
    except OSError as error:
        raise OSError(error.errno, f"admin.listen: {listen}: {error.strerror}") from None


def _bound(listen: str, shared: bool) -> socket.socket:
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    family, kind, protocol, _, address = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(address)
    except OSError:
        made.close()
        raise
    return made


@asynccontextmanager
async def serving(app: App, listen: str) -> AsyncIterator[None]:
    """Serve the application there within the block."""
    loop, state, config = asyncio.get_running_loop(), _State(), _Config(app)
    server = await loop.create_server(lambda: Inbound(config, state, {}, loop), sock=bound(listen))
    try:
        yield
    finally:
        server.close()
        for connection in tuple(state.connections):
            connection.shutdown()
