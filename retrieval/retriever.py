"""Ranks the chunks of a request: the stages in order."""

from collections.abc import Callable, Sequence

import numpy as np

from retrieval.cache import CacheStats, VectorCache
from retrieval.dense import DenseLimits, DenseStage
from retrieval.fusion import feature_matrix, load_forest, probabilities, with_dense
from retrieval.prepared import Passages, Prepared
from retrieval.selection import demote_repeats, select
from retrieval.signals import Signals, cheap_signals, neighbours
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
        passages = self._prepared.read(documents, counter, deadline)
        deadline.check()
        chunks = passages.chunks
        if not chunks:
            return Ranking((), np.empty(0, dtype=np.float32))
        signals = cheap_signals(passages, query, deadline)
        odds = self._forest.score(feature_matrix(signals))
        deadline.check()
        dense = self._moved(odds, passages, query, signals, deadline)
        probable = probabilities(odds if dense is None else dense)
        scores = demote_repeats(
            probable + SMOOTHING * neighbours(probable), passages.texts, [chunk.tokens for chunk in chunks]
        )
        skipped = ("dense",) if dense is None else ()
        return Ranking(chunks, scores, signals, odds, skipped)

    def select(self, ranking: Ranking, window_tokens: int) -> Mask:
        """Return which chunks fill the window best, bool[n]."""
        return select(ranking, window_tokens)

    def warm(self, goes_on: Callable[[], bool]) -> int:
        """Embed what the requests so far lacked, while `goes_on` says so; return how many texts were embedded.

        To be called when nobody waits: the next question about the same texts finds their vectors.
        """
        return self._dense.warm(goes_on) if self._dense else 0

    def _moved(
        self, odds: Floats, passages: Passages, query: Query, signals: Signals, deadline: Deadline
    ) -> Floats | None:
        """Return the log-odds moved by the shortlist's cosines to the question; None where there are none."""
        if self._dense is None:
            return None
        best = np.argsort(-odds, kind="stable")[:_SHORTLIST]
        tokens = sum(chunk.tokens for chunk in passages.chunks)
        found = self._dense.cosines(query.text, [passages.texts[i] for i in best], tokens, deadline)
        if found is None:
            return None
        embedded, cosines = best[found[0]], found[1]
        signals["dense"][embedded] = cosines
        return with_dense(odds, embedded, cosines)
