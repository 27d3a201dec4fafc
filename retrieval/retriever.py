"""Ranks the chunks of a request: the stages in order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from retrieval.cache import VectorCache, content_key
from retrieval.chunking import chunk_documents
from retrieval.fusion import feature_matrix, load_forest, probabilities, with_dense
from retrieval.index import search
from retrieval.selection import demote_repeats, select
from retrieval.signals import Ids, Passages, cheap_signals, neighbours, read_passages
from retrieval.types import Counter, Deadline, Document, Embedder, Floats, Mask, Query, Ranking

SMOOTHING = 0.3  # of the better neighbour: evidence seldom ends where a chunk does


@dataclass(frozen=True, slots=True)
class DenseLimits:
    """What the dense stage may cost: chunks embedded, seconds, and the seconds that are left to later stages."""

    chunks: int = 8
    seconds: float = 0.3
    reserve_seconds: float = 0.1


class Retriever:
    """Finds what a question needs in the texts of one request; holds no request's state, safe to share."""

    def __init__(
        self, embedder: Embedder | None, cache: VectorCache | None = None, dense: DenseLimits | None = None
    ) -> None:
        self._embedder = embedder
        self._cache = cache or VectorCache(64 << 20)
        self._dense = dense or DenseLimits()
        self._forest = load_forest()

    @property
    def cache(self) -> VectorCache:
        """The vectors kept between requests."""
        return self._cache

    def rank(self, documents: Sequence[Document], query: Query, counter: Counter, deadline: Deadline) -> Ranking:
        """Cut the documents into chunks and score them against the query.

        The dense stage gets only the time that is left and is named in `skipped` when there was none.
        Raises DeadlineExceededError when the deadline passes between stages.
        """
        chunks = chunk_documents(documents, counter)
        deadline.check()
        if not chunks:
            return Ranking((), np.empty(0, dtype=np.float32))
        passages = read_passages(documents, chunks)
        deadline.check()
        signals = cheap_signals(passages, query, deadline)
        odds = self._forest.score(feature_matrix(signals))
        deadline.check()
        best = np.argsort(-odds, kind="stable")[: self._dense.chunks]
        dense = self._cosines(passages, query, best, deadline)
        if dense is not None:
            best = best[: len(dense)]
            signals["dense"][best] = dense
            odds = with_dense(odds, best, dense)
            deadline.check()
        probable = probabilities(odds)
        scores = demote_repeats(
            probable + SMOOTHING * neighbours(probable), passages.texts, [chunk.tokens for chunk in chunks]
        )
        skipped = ("dense",) if dense is None else ()
        return Ranking(chunks, scores, signals, skipped)

    def select(self, ranking: Ranking, window_tokens: int) -> Mask:
        """Return which chunks fill the window best, bool[n]."""
        return select(ranking, window_tokens)

    def _cosines(self, passages: Passages, query: Query, best: Ids, deadline: Deadline) -> Floats | None:
        """Return the cosines to the question of the leading chunks; None when there was no time or no model."""
        seconds = min(self._dense.seconds, deadline.left() - self._dense.reserve_seconds)
        if self._embedder is None or seconds <= 0 or not len(best):
            return None
        texts = [query.text, *(passages.texts[i] for i in best)]
        vectors = self._vectors(self._embedder, texts, Deadline.after(seconds))
        if len(vectors) < 2:
            return None
        scores, ids = search(vectors[1:], vectors[0], len(vectors) - 1)
        cosines = np.empty(len(ids), dtype=np.float32)
        cosines[ids] = scores
        return cosines

    def _vectors(self, embedder: Embedder, texts: Sequence[str], deadline: Deadline) -> Floats:
        """Return the vectors of as many leading texts as time allows, from the cache where it has them."""
        keys = [content_key(text) for text in texts]
        known = self._cache.get_many(keys)
        missing = [i for i, vector in enumerate(known) if vector is None]
        fresh = embedder.embed([texts[i] for i in missing], deadline) if missing else None
        if fresh is not None:
            self._cache.put_many([keys[i] for i in missing[: len(fresh)]], fresh)
            for i, vector in zip(missing, fresh, strict=False):
                known[i] = vector
        count = next((i for i, vector in enumerate(known) if vector is None), len(known))
        rows = [vector for vector in known[:count] if vector is not None]
        return np.stack(rows) if rows else np.empty((0, embedder.dimension), dtype=np.float32)
