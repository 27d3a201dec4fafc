"""The dense stage: how near the shortlist is to the question in meaning.

Embedding a chunk takes longer than ranking a hundred by their words, so on a request's path only as many are embedded
as hardly show beside the time that ranking took. What the shortlist lacked is embedded afterwards, by `warm`, for the
next turn.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from retrieval.cache import VectorCache, content_key
from retrieval.index import search
from retrieval.signals import Ids
from retrieval.types import Deadline, DeadlineExceededError, Embedder, Floats

_FEWEST = 2  # vectors to compare; one alone moves nothing
_SEEN = 320  # characters of a chunk that are embedded: what it is about shows early, and the time is half
_STEP = 1  # texts embedded between two looks at whether `warm` may go on
_MOST_PENDING = 512


@dataclass(frozen=True, slots=True)
class DenseLimits:
    """What the dense stage may use: the best `chunks` of the shortlist.

    Embedding them may take a `share` of the time that ranking took until then, and at most `seconds`. `reserve_seconds`
    before the deadline are left to later stages; `warm_chunks` are embedded afterwards.
    """

    chunks: int = 24
    share: float = 0.25
    seconds: float = 0.06
    reserve_seconds: float = 0.1
    warm_chunks: int = 48


class DenseStage:
    """Vectors of chunks by their content, made on the path within the limits and afterwards without; thread-safe."""

    def __init__(self, embedder: Embedder, cache: VectorCache, limits: DenseLimits) -> None:
        self._embedder = embedder
        self._cache = cache
        self._limits = limits
        self._seconds_per_text = 0.0
        self._pending: deque[str] = deque(maxlen=_MOST_PENDING)
        self._embedding = threading.Lock()

    def cosines(
        self, question: str, shortlist: Sequence[str], spent: float, deadline: Deadline
    ) -> tuple[Ids, Floats] | None:
        """Return which of the shortlisted texts have vectors and their cosines to the question; None: too few have.

        `spent` is how many seconds the request has taken so far.
        """
        seen = [text[:_SEEN] for text in shortlist]
        known = self._known(seen[: self._limits.chunks], self._seconds(spent, deadline), deadline)
        self._remember(seen[: self._limits.warm_chunks])
        found = np.array([i for i, vector in enumerate(known) if vector is not None], dtype=np.intp)
        if len(found) < _FEWEST:
            return None
        asked = self._question(question, deadline)
        if asked is None:
            return None
        scores, order = search(np.stack([vector for vector in known if vector is not None]), asked, len(found))
        cosines = np.empty(len(found), dtype=np.float32)
        cosines[order] = scores
        return found, cosines

    def warm(self, goes_on: Callable[[], bool]) -> int:
        """Embed what earlier requests lacked, best first, while `goes_on` says so; return how many texts were."""
        count = 0
        while self._pending and goes_on():
            texts = [self._pending.popleft() for _ in range(min(_STEP, len(self._pending)))]
            missing = [
                t for t, v in zip(texts, self._cache.get_many(list(map(content_key, texts))), strict=True) if v is None
            ]
            count += len(self._embed(missing, Deadline.after(60)))
        return count

    def _seconds(self, spent: float, deadline: Deadline) -> float:
        allowed = min(self._limits.seconds, self._limits.share * spent)
        return min(allowed, deadline.left() - self._limits.reserve_seconds)

    def _known(self, texts: Sequence[str], seconds: float, deadline: Deadline) -> list[Floats | None]:
        """Return the texts' vectors, embedding the first of those that are missing where time is given for it."""
        known = self._cache.get_many([content_key(text) for text in texts])
        missing = [i for i, vector in enumerate(known) if vector is None]
        missing = missing[: self._affordable(seconds)]
        if len(missing) >= _FEWEST:
            within = replace(deadline, at=min(deadline.at, Deadline.after(seconds).at))
            for i, vector in zip(missing, self._embed([texts[i] for i in missing], within), strict=False):
                known[i] = vector
        deadline.check()
        return known

    def _affordable(self, seconds: float) -> int:
        """Return how many texts can be embedded in that time, beside the question."""
        if seconds <= 0:
            return 0
        return max(0, int(seconds / self._seconds_per_text) - 1) if self._seconds_per_text else self._limits.chunks

    def _question(self, question: str, deadline: Deadline) -> Floats | None:
        known = self._cache.get_many([content_key(question)])[0]
        if known is not None:
            return known
        fresh = self._embed([question], deadline)
        return fresh[0] if len(fresh) else None

    def _embed(self, texts: Sequence[str], deadline: Deadline) -> Floats:
        if not texts:
            return np.empty((0, self._embedder.dimension), dtype=np.float32)
        with self._embedding:
            before = time.monotonic()
            try:
                fresh = self._embedder.embed(texts, deadline)
            except DeadlineExceededError:
                return np.empty((0, self._embedder.dimension), dtype=np.float32)
            spent = (time.monotonic() - before) / max(1, len(fresh))
        known = self._seconds_per_text or spent
        self._seconds_per_text = 0.7 * known + 0.3 * spent
        self._cache.put_many([content_key(text) for text in texts[: len(fresh)]], fresh)
        return fresh

    def _remember(self, shortlist: Sequence[str]) -> None:
        texts = list(dict.fromkeys(shortlist))
        known = self._cache.get_many([content_key(text) for text in texts])
        self._pending.extend(text for text, vector in zip(texts, known, strict=True) if vector is None)
