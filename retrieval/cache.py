"""What is kept between requests, by content: bounded in bytes, the least recently used goes first."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from retrieval.types import Floats

_ENTRY_OVERHEAD = 240  # bytes an entry costs besides its value: key, pair, dict slot, object header (measured)

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class CacheStats:
    """Counts since the start, and what is held now."""

    hits: int
    misses: int
    entries: int
    size_bytes: int


def content_key(text: str, beside: bytes = b"") -> bytes:
    """Return the key of a text and of what else tells it apart: 16 bytes that do not give the text away."""
    digest = hashlib.blake2b(len(beside).to_bytes(8, "big") + beside, digest_size=16)
    digest.update(text.encode("utf-8", "surrogatepass"))
    return digest.digest()


class ContentCache(Generic[Value]):
    """Keeps the most recently used values within a number of bytes; safe to share between threads."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held: OrderedDict[bytes, tuple[Value, int]] = OrderedDict()
        self._bytes = 0
        self._hits = 0
        self._misses = 0
        self._lock = threading.Lock()

    def get(self, key: bytes) -> Value | None:
        """Return the value of the key, or None."""
        with self._lock:
            found = self._held.get(key)
            if found is None:
                self._misses += 1
                return None
            self._held.move_to_end(key)
            self._hits += 1
            return found[0]

    def put(self, key: bytes, value: Value, size_bytes: int) -> None:
        """Keep the value, which takes that many bytes, dropping the least recently used beyond the bound.

        A value that would fill more than half of it is not kept.
        """
        cost = size_bytes + _ENTRY_OVERHEAD
        if cost > self._max_bytes // 2:
            return
        with self._lock:
            old = self._held.pop(key, None)
            self._bytes += cost - (old[1] if old else 0)
            self._held[key] = value, cost
            while self._bytes > self._max_bytes:
                self._bytes -= self._held.popitem(last=False)[1][1]

    def stats(self) -> CacheStats:
        """Return the counters."""
        with self._lock:
            return CacheStats(self._hits, self._misses, len(self._held), self._bytes)


class VectorCache(ContentCache[Floats]):
    """Vectors by content: what was embedded once is not embedded again."""

    def get_many(self, keys: Sequence[bytes]) -> list[Floats | None]:
        """Return the vector of each key, or None."""
        return [self.get(key) for key in keys]

    def put_many(self, keys: Sequence[bytes], vectors: Floats) -> None:
        """Keep a copy of each row of vectors[n, d] under its key."""
        for key, vector in zip(keys, vectors, strict=True):
            self.put(key, vector.copy(), vector.nbytes)
