"""What a provider's prompt cache would have held: the prefixes of original bodies that were sent a short time ago.

Providers bill a prompt's cached prefix at a discount. A window breaks that prefix, so the discount that the original
would have had is taken off the saving. What is found here is the most that could have been cached.
"""

import hashlib
import time
from collections import OrderedDict

_BLOCK = 2048
# Providers keep a prefix for 5 to 10 minutes after its last use; longer at off-peak times, so the longer one counts.
_LIFETIME_S = 600.0
_MOST = 65536


class PrefixMemory:
    """Remembers digests of prefixes of bodies, block by block, for as long as a provider's cache may live."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, float] = OrderedDict()

    def warm_share(self, upstream: str, model: str | None, body: bytes) -> float:
        """Return the share of the body, 0 to 1, that an earlier one began with too, and remember this one."""
        now = time.monotonic()
        digests = _digests(f"{upstream}\0{model}".encode(), body)
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
    for end in range(_BLOCK, len(body) + 1, _BLOCK):
        running.update(body[end - _BLOCK : end])
        digests.append(running.digest())
    return digests
