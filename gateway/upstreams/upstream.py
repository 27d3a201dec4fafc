"""Talking to upstreams over HTTP/1.1."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Self
from urllib.parse import urlsplit

import msgspec

from gateway.destinations import UpstreamSettings
from gateway.errors import UpstreamNotConnectedError, UpstreamTimeoutError, UpstreamUnreachableError
from gateway.http1.connection import Request, Timeouts
from gateway.http1.dialing import Origin, Proxy
from gateway.http1.errors import BrokenError, NotConnectedError, SilentError
from gateway.http1.pool import Lease, Pool
from gateway.http1.reply import Headers
from gateway.upstreams.azure import azure_path
from gateway.upstreams.masking import Mask
from gateway.upstreams.retry_after import seconds

__all__ = ["Headers", "Upstream", "UpstreamReply", "UpstreamRequest"]

_ERRORS = 400  # statuses from here on


class UpstreamRequest(msgspec.Struct, frozen=True):
    """A request as it leaves; `path` is what stands behind /v1 with its query, encoded as it came."""

    method: str
    path: str
    headers: Headers
    body: bytes | AsyncIterator[bytes] | None
    model: str | None = None


class UpstreamReply:
    """A reply whose head has arrived; the body is read once, as it comes, with back-pressure.

    Of an error `mask` hides the operator's secrets.
    """

    __slots__ = ("_lease", "_mask", "_name", "_reply", "headers", "status")

    def __init__(self, lease: Lease, name: str, mask: Mask) -> None:
        self._lease = lease
        self._reply = lease.reply
        self._name = name
        self.status = lease.reply.status
        self._mask = mask if self.status >= _ERRORS else None
        self.headers: Headers = mask.headers(lease.reply.headers) if self._mask else lease.reply.headers

    def header(self, name: bytes) -> str:
        """Return the header's last value, or an empty string; `name` in lower case."""
        return self._reply.header(name).decode("latin-1")

    @property
    def retry_after(self) -> float | None:
        """After how many seconds the upstream wants to be asked again; None where it does not say (RFC 9110 10.2.3)."""
        return seconds(self.header(b"retry-after"))

    async def glimpse(self, size: int) -> bytes:
        """Return the body's beginning, of `size` bytes or more if there are so many; it is still to be fetched."""
        return await self._reply.glimpse(size)

    def whole(self) -> bytes | None:
        """Return the body if all of it is here already, to be taken instead of `chunks`; else None."""
        if not self._reply.whole:
            return None
        return self._mask(self._reply.taken()) if self._mask else self._reply.taken()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body's bytes as they arrive.

        Raises:
            UpstreamUnreachableError: the connection broke before the body's end.
            UpstreamTimeoutError: the upstream fell silent.
        """
        chunks = self._reply.chunks()
        try:
            async for chunk in self._mask.through(chunks) if self._mask else chunks:
                yield chunk
        except SilentError:
            raise UpstreamTimeoutError(f"The upstream {self._name!r} fell silent in its reply.") from None
        except BrokenError:
            raise UpstreamUnreachableError(f"The upstream {self._name!r} broke off its reply.") from None

    def close(self) -> None:
        """Give the connection back, or end it where the reply was not read to its end."""
        self._lease.close()


class Upstream:
    """One upstream and its pool of kept-alive connections."""

    def __init__(self, name: str, settings: UpstreamSettings) -> None:
        self.name = name
        self.settings = settings
        parts = urlsplit(settings.base_url)
        self._host = parts.netloc.encode()
        self._prefix = parts.path.encode()
        self._to_proxy = b""
        if settings.proxy is not None and parts.scheme == "http":
            self._prefix = b"http://" + self._host + self._prefix
            self._to_proxy = Proxy.of(settings.proxy.get_secret_value()).header
        self.own_headers = _own_headers(settings)
        self._mask = Mask.of(settings)
        self._pool: Pool | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        settings = self.settings
        timeouts = Timeouts(
            settings.connect_timeout_s,
            settings.first_byte_timeout_s or settings.read_timeout_s,
            settings.idle_timeout_s or settings.read_timeout_s,
            settings.total_timeout_s or math.inf,
        )
        proxy = settings.proxy.get_secret_value() if settings.proxy else None
        origin = await asyncio.to_thread(Origin.of, settings.base_url, settings.ca_file, proxy)
        self._pool = await self._stack.enter_async_context(Pool(origin, timeouts))
        return self

    @property
    def busy(self) -> int:
        """How many requests are under way there."""
        return self._pool.busy if self._pool else 0

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def send(self, request: UpstreamRequest) -> UpstreamReply:
        """Send the request and return its reply as soon as the head is here.

        Raises:
            UpstreamNotConnectedError: no connection came about.
            UpstreamUnreachableError: the connection broke before a reply.
            UpstreamTimeoutError: no reply in time.
        """
        if self._pool is None:
            raise RuntimeError("the upstream is used as an async context manager")
        try:
            return UpstreamReply(await self._pool.send(self._outgoing(request)), self.name, self._mask)
        except NotConnectedError:
            raise UpstreamNotConnectedError(f"The upstream {self.name!r} can't be reached.") from None
        except SilentError:
            raise UpstreamTimeoutError(f"The upstream {self.name!r} did not answer in time.") from None
        except BrokenError:
            raise UpstreamUnreachableError(f"The connection to the upstream {self.name!r} broke.") from None

    def _outgoing(self, request: UpstreamRequest) -> Request:
        azure = self.settings.azure
        path = request.path if azure is None else azure_path(request.path, request.model, azure)
        lines = [request.method.encode(), b" ", self._prefix, path.encode("latin-1"), b" HTTP/1.1\r\nhost: "]
        lines += (self._host, b"\r\n", self._to_proxy)
        for name, value in request.headers:
            lines += (name, b": ", value, b"\r\n")
        streamed = request.body is not None and not isinstance(request.body, bytes)
        chunked = streamed and not any(name == b"content-length" for name, _ in request.headers)
        lines.append(b"transfer-encoding: chunked\r\n\r\n" if chunked else b"\r\n")
        return Request(b"".join(lines), request.body, chunked, request.method)


def _own_headers(settings: UpstreamSettings) -> Headers:
    """Return what the operator has sent with every request; it replaces what callers send under these names."""
    own = [(name.lower().encode(), value.get_secret_value().encode()) for name, value in settings.headers.items()]
    if settings.api_key is not None:
        key, bearer = settings.api_key.get_secret_value().encode(), settings.key_header == "authorization"
        own.append((settings.key_header.encode(), b"Bearer " + key if bearer else key))
    return own
