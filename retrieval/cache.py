"""Vectors by content: what was embedded once is not embedded again."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from retrieval.types import Floats

_ENTRY_OVERHEAD = 240  # bytes an entry costs besides its numbers: key, array header, dict slot (measured)


@dataclass(frozen=True, slots=True)
class CacheStats:
    """Counts since the start, and what is held now."""

    hits: int
    misses: int
    entries: int
    size_bytes: int


def content_key(text: str) -> bytes:
    """Return the key of a text: 16 bytes that do not give the text away."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class VectorCache:
    """Keeps the most recently used vectors within a number of bytes; safe to share between threads."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._vectors: OrderedDict[bytes, Floats] = OrderedDict()
        self._bytes = 0
        self._hits = 0
        self._misses = 0
        self._lock = threading.Lock()

    def get_many(self, keys: Sequence[bytes]) -> list[Floats | None]:
        """Return the vector of each key, or None."""
        with self._lock:
            found = [self._vectors.get(key) for key in keys]
            for key, vector in zip(keys, found, strict=True):
                if vector is not None:
                    self._vectors.move_to_end(key)
            hits = sum(vector is not None for vector in found)
            self._hits += hits
            self._misses += len(keys) - hits
        return found

    def put_many(self, keys: Sequence[bytes], vectors: Floats) -> None:
        """Keep a copy of each row of vectors[n, d] under its key, dropping the least recently used beyond the bound."""
        with self._lock:
            for key, vector in zip(keys, vectors, strict=True):
                self._put(key, vector.copy())
            while self._bytes > self._max_bytes:
                _, dropped = self._vectors.popitem(last=False)
                self._bytes -= dropped.nbytes + _ENTRY_OVERHEAD

    def _put(self, key: bytes, vector: Floats) -> None:
        old = self._vectors.pop(key, None)
        if old is not None:
            self._bytes -= old.nbytes + _ENTRY_OVERHEAD
        self._vectors[key] = vector
        self._bytes += vector.nbytes + _ENTRY_OVERHEAD

    def stats(self) -> CacheStats:
        """Return the counters."""
        with self._lock:
            return CacheStats(self._hits, self._misses, len(self._vectors), self._bytes)
