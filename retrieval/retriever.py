"""Ranks the chunks of a request: the stages in order."""

import time
from collections.abc import Callable, Sequence

import numpy as np

from retrieval.cache import CacheStats, VectorCache
from retrieval.dense import DenseLimits, DenseStage
from retrieval.fusion import feature_matrix, load_forest, probabilities, with_dense
from retrieval.prepared import Passages, Prepared
from retrieval.selection import demote_repeats, select
from retrieval.signals import Ids, cheap_signals, neighbours
from retrieval.types import Counter, Deadline, Document, Embedder, Floats, Mask, Query, Ranking

_PREPARED_BYTES = 64 << 20  # of what is kept of texts: some million tokens of them
_SHORTLIST = 64  # chunks that the dense stage hears of
SMOOTHING = 0.3  # of the better neighbour: evidence seldom ends where a chunk does


class Retriever:
    """Finds what a question needs in the texts of one request; holds no request's state, safe to share."""

    def __init__(
        self, embedder: Embedder | None, cache: VectorCache | None = None, dense: DenseLimits | None = None
    ) -> None:
        self._cache = cache or VectorCache(64 << 20)
        self._dense = DenseStage(embedder, self._cache, dense or DenseLimits()) if embedder else None
        self._forest = load_forest()
        self._prepared = Prepared(_PREPARED_BYTES)

    @property
    def cache(self) -> VectorCache:
        """The vectors kept between requests."""
        return self._cache

    @property
    def prepared(self) -> CacheStats:
        """What is kept of the texts themselves between requests."""
        return self._prepared.stats()

    def rank(self, documents: Sequence[Document], query: Query, counter: Counter, deadline: Deadline) -> Ranking:
        """Cut the documents into chunks and score them against the query.

        The dense stage uses the vectors that are there, and is named in `skipped` where these are too few.
        Raises DeadlineExceededError when the deadline passes between stages.
        """
        began = time.monotonic()
        passages = self._prepared.read(documents, counter, deadline)
        deadline.check()
        chunks = passages.chunks
        if not chunks:
            return Ranking((), np.empty(0, dtype=np.float32))
        signals = cheap_signals(passages, query, deadline)
        odds = self._forest.score(feature_matrix(signals))
        deadline.check()
        found = self._near(odds, passages, query, time.monotonic() - began, deadline)
        if found is not None:
            signals["dense"][found[0]] = found[1]
        probable = probabilities(odds if found is None else with_dense(odds, *found))
        scores = demote_repeats(
            probable + SMOOTHING * neighbours(probable), passages.texts, [chunk.tokens for chunk in chunks]
        )
        skipped = ("dense",) if found is None else ()
        return Ranking(chunks, scores, signals, odds, skipped)

    def select(self, ranking: Ranking, window_tokens: int) -> Mask:
        """Return which chunks fill the window best, bool[n]."""
        return select(ranking, window_tokens)

    def warm(self, goes_on: Callable[[], bool]) -> int:
        """Embed what the requests so far lacked, while `goes_on` says so; return how many texts were embedded.

        To be called when nobody waits: the next question about the same texts finds their vectors.
        """
        return self._dense.warm(goes_on) if self._dense else 0

    def _near(
        self, odds: Floats, passages: Passages, query: Query, spent: float, deadline: Deadline
    ) -> tuple[Ids, Floats] | None:
        """Return which of the shortlist have vectors and their cosines to the question; None where too few have."""
        if self._dense is None:
            return None
        best = np.argsort(-odds, kind="stable")[:_SHORTLIST]
        found = self._dense.cosines(query.text, [passages.texts[i] for i in best], spent, deadline)
        return None if found is None else (best[found[0]], found[1])
