"""Talking to upstreams over HTTP/1.1; the only aiohttp user, its exceptions end at this module's edge."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Self

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from gateway.config import UpstreamSettings
from gateway.errors import UpstreamNotConnectedError, UpstreamTimeoutError, UpstreamUnreachableError

Headers = list[tuple[bytes, bytes]]

# What aiohttp would add by itself; a relayed request carries the caller's headers and no others.
_NEVER_ADDED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_CONNECT_ATTEMPTS = 2
_PAUSE_S = 0.1
_SLICE = 1 << 18


class _RelayedRequest(aiohttp.ClientRequest):
    """Adds no `Content-Length: 0` to a request that came without a body."""

    GET_METHODS = aiohttp.ClientRequest.ALL_METHODS


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """A request as it leaves; `path` is what stands behind /v1 with its query, encoded as it came."""

    method: str
    path: str
    headers: Headers
    body: bytes | AsyncIterator[bytes] | None


class UpstreamReply:
    """A reply whose head has arrived; the body is read once, as it comes, with back-pressure."""

    def __init__(self, response: aiohttp.ClientResponse, name: str) -> None:
        self._response = response
        self._name = name
        self.status = response.status
        self.headers: Headers = list(response.raw_headers)

    def header(self, name: bytes) -> str:
        """Return the header's last value, or an empty string."""
        found = [value for key, value in self.headers if key.lower() == name]
        return found[-1].decode("latin-1") if found else ""

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body's bytes as they arrive.

        Raises:
            UpstreamUnreachableError: the connection broke before the body's end.
            UpstreamTimeoutError: the upstream fell silent.
        """
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except TimeoutError:
            raise UpstreamTimeoutError(f"The upstream {self._name!r} fell silent in its reply.") from None
        except (aiohttp.ClientError, OSError):
            raise UpstreamUnreachableError(f"The upstream {self._name!r} broke off its reply.") from None

    def close(self) -> None:
        """Give the connection back, or end it where the reply was not read to its end."""
        if self._response.content.is_eof():
            self._response.release()
        else:
            self._response.close()


class Upstream:
    """One upstream and its pool of kept-alive connections."""

    def __init__(self, name: str, settings: UpstreamSettings) -> None:
        self.name = name
        self.settings = settings
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=60),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_NEVER_ADDED,
            request_class=_RelayedRequest,
            middlewares=(_send_only_once,),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=self.settings.connect_timeout_s, sock_read=self.settings.read_timeout_s
            ),
            max_line_size=65536,
            max_field_size=65536,
            max_headers=1000,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()

    async def send(self, request: UpstreamRequest) -> UpstreamReply:
        """Send the request and return its reply as soon as the head is here.

        A failed connection is tried once more where the body can be sent again: nothing can have been begun.

        Raises:
            UpstreamNotConnectedError: no connection came about.
            UpstreamUnreachableError: the connection broke before a reply.
            UpstreamTimeoutError: no reply in time.
        """
        attempts = _CONNECT_ATTEMPTS if request.body is None or isinstance(request.body, bytes) else 1
        for attempt in range(1, attempts + 1):
            try:
                return await self._send_once(request)
            except UpstreamNotConnectedError:
                if attempt == attempts:
                    raise
                await asyncio.sleep(_PAUSE_S)
        raise AssertionError("the loop returns or raises")

    async def _send_once(self, request: UpstreamRequest) -> UpstreamReply:
        if self._session is None:
            raise RuntimeError("the upstream is used as an async context manager")
        try:
            response = await self._session.request(
                request.method,
                URL(self.settings.base_url + request.path, encoded=True),
                data=_payload(request.body),
                headers=_multidict(request.headers),
                allow_redirects=False,
            )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            raise UpstreamNotConnectedError(f"The upstream {self.name!r} can't be reached.") from None
        except TimeoutError:
            raise UpstreamTimeoutError(f"The upstream {self.name!r} did not answer in time.") from None
        except (aiohttp.ClientError, OSError, _BrokeOffError):
            raise UpstreamUnreachableError(f"The connection to the upstream {self.name!r} broke.") from None
        return UpstreamReply(response, self.name)


class _BrokeOffError(Exception):
    """The connection broke after it had come about."""


async def _send_only_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    # aiohttp sends GET, PUT and DELETE again by itself when a connection breaks, unless the error is of another kind;
    # the upstream may have begun to work, and a streamed body is gone.
    try:
        return await handler(request)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        raise
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
        raise _BrokeOffError from None


def _payload(body: bytes | AsyncIterator[bytes] | None) -> bytes | AsyncIterator[bytes] | None:
    return _slices(body) if isinstance(body, bytes) and len(body) > _SLICE else body


async def _slices(body: bytes) -> AsyncIterator[bytes]:
    # A large body in one write would be copied whole into the transport's buffer.
    view = memoryview(body)
    for at in range(0, len(body), _SLICE):
        yield bytes(view[at : at + _SLICE])


def _multidict(headers: Headers) -> CIMultiDict[str]:
    return CIMultiDict((name.decode("latin-1"), _text(value)) for name, value in headers)


def _text(value: bytes) -> str:
    # aiohttp writes UTF-8; the rare value that is not UTF-8 can't be kept to the byte
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
