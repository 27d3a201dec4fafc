"""The operator's secrets in what an upstream says of an error: a careless one quotes the key that it refuses."""

import re
from collections.abc import AsyncIterable, AsyncIterator, Iterable

from gateway.destinations import UpstreamSettings
from gateway.http1.dialing import Proxy
from gateway.http1.reply import Headers

_SHORTEST = 8  # what is shorter would be found in plain words too
_SECRET_NAMES = re.compile(r"auth|key|token|secret|cookie|pass", re.IGNORECASE)


class Mask:
    """Puts stars in place of secrets, as many as they have bytes, so that lengths stay true."""

    def __init__(self, secrets: Iterable[bytes]) -> None:
        self._secrets = sorted({secret for secret in secrets if len(secret) >= _SHORTEST}, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, self._secrets)) or b"(?!)")

    @classmethod
    def of(cls, settings: UpstreamSettings) -> "Mask":
        """Return the mask of all that only the operator and the upstream know."""
        return cls(_secrets(settings))

    def __call__(self, data: bytes) -> bytes:
        """Return the data without the secrets."""
        return self._pattern.sub(lambda found: b"*" * len(found[0]), data)

    def headers(self, headers: Headers) -> Headers:
        """Return the headers with their values masked."""
        return [(name, self(value)) for name, value in headers]

    async def through(self, pieces: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        """Yield the pieces masked; the end of one that may be a secret's beginning goes out with the next."""
        held = b""
        async for piece in pieces:
            data = self(held + piece)
            cut = len(data) - self._begun(data)
            held = data[cut:]
            if cut:
                yield data[:cut]
        if held:
            yield held

    def _begun(self, data: bytes) -> int:
        """Return how many bytes at the end may be the beginning of a secret."""
        longest = len(self._secrets[0]) - 1 if self._secrets else 0
        ends = range(min(longest, len(data)), 0, -1)
        return next((n for n in ends if any(secret.startswith(data[-n:]) for secret in self._secrets)), 0)


def _secrets(settings: UpstreamSettings) -> Iterable[bytes]:
    if settings.api_key is not None:
        yield settings.api_key.get_secret_value().encode()
    for name, value in settings.headers.items():
        if _SECRET_NAMES.search(name):
            yield value.get_secret_value().rpartition(" ")[2].encode()  # without Bearer or Basic
    if settings.proxy is not None:
        yield Proxy.of(settings.proxy.get_secret_value()).credentials or b""
