"""Making connections: TCP, TLS, and a tunnel through a proxy where one is named (RFC 9110 9.3.6)."""

import asyncio
import base64
import socket
import ssl
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import certifi

from gateway.http1.alive import keep_alive
from gateway.http1.connection import Connection, Timeouts
from gateway.http1.errors import NotConnectedError

_PORTS = {"http": 80, "https": 443}
_LONGEST_ANSWER = 1 << 14  # of a proxy
_HEAD_START_S = 0.25  # of a host's address over the next, as RFC 8305 5 has it


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy; `credentials` is what stands behind "Basic"."""

    host: str
    port: int
    credentials: bytes | None = None

    @classmethod
    def of(cls, url: str) -> "Proxy":
        """Read http://user:password@host:port."""
        parts = urlsplit(url)
        secret = None
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            secret = base64.b64encode(pair.encode())
        return cls(parts.hostname or "", parts.port or _PORTS["http"], secret)

    @property
    def header(self) -> bytes:
        """The line by which the proxy knows us, if it wants one."""
        return b"proxy-authorization: Basic " + self.credentials + b"\r\n" if self.credentials else b""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an upstream is, and the way there."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    proxy: Proxy | None = None

    @classmethod
    def of(cls, url: str, ca_file: Path | None = None, proxy: str | None = None) -> "Origin":
        """Read a base URL; raise OSError where the file of certificates can't be read."""
        parts = urlsplit(url)
        tls = trusting(ca_file) if parts.scheme == "https" else None
        return cls(
            parts.hostname or "",
            parts.port or _PORTS[parts.scheme],
            tls,
            Proxy.of(proxy) if proxy is not None else None,
        )


def trusting(ca_file: Path | None) -> ssl.SSLContext:
    """Return the TLS settings of a client that trusts the usual authorities, and those of the file."""
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"]:
        context.load_verify_locations(certifi.where())  # a machine without certificates of its own
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    context.set_alpn_protocols(["http/1.1"])
    return context


async def dial(origin: Origin, timeouts: Timeouts) -> Connection:
    """Return a new connection.

    Raises:
        NotConnectedError: none came about in time.
    """
    try:
        async with asyncio.timeout(timeouts.connect):
            return await (_tunnelled(origin, timeouts) if origin.proxy and origin.tls else _direct(origin, timeouts))
    except TimeoutError:
        raise NotConnectedError("no connection in time") from None
    except ssl.SSLCertVerificationError as error:
        raise NotConnectedError(f"its certificate is not valid: {error.verify_message}") from None
    except (OSError, UnicodeError):  # UnicodeError: a host's name that can't be one
        raise NotConnectedError("no connection") from None


async def _direct(origin: Origin, timeouts: Timeouts) -> Connection:
    to = origin.proxy or origin
    name = origin.host if origin.tls else None
    where = await _where(to.host, to.port)
    transport, connection = await asyncio.get_running_loop().create_connection(
        lambda: Connection(timeouts), **where, ssl=origin.tls, server_hostname=name
    )
    keep_alive(transport.get_extra_info("socket"))
    return connection


async def _tunnelled(origin: Origin, timeouts: Timeouts) -> Connection:
    loop, proxy = asyncio.get_running_loop(), cast(Proxy, origin.proxy)
    transport, tunnel = await loop.create_connection(_Tunnel, **await _where(proxy.host, proxy.port))
    try:
        keep_alive(transport.get_extra_info("socket"))
        transport.write(_connect(origin, proxy))
        await tunnel.opened
        connection = Connection(timeouts)
        secured = await loop.start_tls(
            transport, connection, cast(ssl.SSLContext, origin.tls), server_hostname=origin.host
        )
    except BaseException:  # cancelled too: half a tunnel leads nowhere
        transport.abort()
        raise
    connection.connection_made(cast(asyncio.BaseTransport, secured))
    return connection


async def _where(host: str, port: int) -> dict[str, Any]:
    """Return the host's only address, or a connection to one of several, as create_connection takes it."""
    found = await _addresses(host, port)
    if len(found) == 1:
        _, address = found[0]
        return {"host": address[0], "port": address[1]}
    return {"sock": await _reached(found)}


async def _reached(addresses: Iterable[tuple[int, Any]]) -> socket.socket:
    """Return a connection to the first address that answers; a dead one holds up little."""
    untried = deque(addresses)
    attempts = set[asyncio.Task[socket.socket]]()
    try:
        while untried or attempts:
            if untried:
                attempts.add(asyncio.create_task(_connected(*untried.popleft())))
            patience = _HEAD_START_S if untried else None
            done, attempts = await asyncio.wait(attempts, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if won := [one.result() for one in done if one.exception() is None]:
                for late in won[1:]:
                    late.close()
                return won[0]
    finally:
        for one in attempts:
            one.cancel()
    raise OSError("no address answers")


async def _addresses(host: str, port: int) -> list[tuple[int, Any]]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


async def _connected(family: int, address: Any) -> socket.socket:  # noqa: ANN401 - as getaddrinfo gives it
    found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # as such asyncio sends without delay
    try:
        found.setblocking(False)
        await asyncio.get_running_loop().sock_connect(found, address)
    except BaseException:  # cancelled too
        found.close()
        raise
    return found


def _connect(origin: Origin, proxy: Proxy) -> bytes:
    where = f"{_bracketed(origin.host)}:{origin.port}".encode()
    return b"CONNECT " + where + b" HTTP/1.1\r\nhost: " + where + b"\r\n" + proxy.header + b"\r\n"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


class _Tunnel(asyncio.Protocol):
    """Waits for a proxy's word that the way is open."""

    def __init__(self) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._answer = b""

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if self.opened.done():
            return
        head, end, _ = self._answer.partition(b"\r\n\r\n")
        if end and head.startswith(b"HTTP/1.") and head[9:11].startswith(b"2"):
            self.opened.set_result(None)
        elif end or len(self._answer) > _LONGEST_ANSWER:
            self.opened.set_exception(NotConnectedError("the proxy refuses"))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - as asyncio calls it
        if not self.opened.done():
            self.opened.set_exception(NotConnectedError("the proxy hung up"))
