"""What a provider's prompt cache would have held: the prefixes of original bodies that were sent a short time ago.

Providers bill a prompt's cached prefix at a discount. A window breaks that prefix, so the discount that the original
would have had is taken off the saving. What is found here is the most that could have been cached.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict

from gateway.windowing.measuring import MAX_BYTES

_BLOCK = 2048
# Providers keep a prefix for 5 to 10 minutes after its last use; longer at off-peak times, so the longer one counts.
_LIFETIME_S = 600.0
_MOST = 65536
_INLINE = 65536  # bytes of a body that is looked through at once; a longer one in a thread


class PrefixMemory:
    """Remembers digests of prefixes of bodies, block by block, for as long as a provider's cache may live."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, float] = OrderedDict()

    async def warm_share(self, upstream: str, model: str | None, body: bytes) -> float:
        """Return the share of the body, 0 to 1, that an earlier one began with too, and remember this one.

        One that is forwarded whole is to be remembered too: a window of the next one forgoes its discount.
        """
        owner = f"{upstream}\0{model}".encode()
        digests = _digests(owner, body) if len(body) <= _INLINE else await asyncio.to_thread(_digests, owner, body)
        now = time.monotonic()
        warm = 0
        for digest in digests:
            if now - self._seen.get(digest, -_LIFETIME_S) >= _LIFETIME_S:
                break
            warm += 1
        self._remember(digests, now)
        return min(1.0, warm * _BLOCK / len(body)) if body else 0.0

    def _remember(self, digests: list[bytes], now: float) -> None:
        for digest in digests:
            self._seen[digest] = now
            self._seen.move_to_end(digest)
        while len(self._seen) > _MOST:
            self._seen.popitem(last=False)


def _digests(owner: bytes, body: bytes) -> list[bytes]:
    running = hashlib.blake2b(owner, digest_size=16)
    digests = []
    # None that is windowed has more of it.
    for end in range(_BLOCK, min(len(body), MAX_BYTES) + 1, _BLOCK):
        running.update(body[end - _BLOCK : end])
        digests.append(running.digest())
    return digests
