"""Ranks the chunks of a request: the stages in order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from retrieval.cache import VectorCache, content_key
from retrieval.chunking import chunk_documents
from retrieval.fusion import fuse, shortlist_score
from retrieval.index import search
from retrieval.selection import select
from retrieval.signals import (
    Passages,
    Signals,
    group_best,
    hop_signal,
    lexical_signals,
    neighbours,
    place_signals,
    read_passages,
)
from retrieval.types import Counter, Deadline, Document, Embedder, Floats, Mask, Query, Ranking

_SMOOTHING = 0.3  # of the better neighbour: evidence seldom ends where a chunk does


@dataclass(frozen=True, slots=True)
class DenseLimits:
    """What the dense stage may cost: chunks embedded, seconds, and the seconds that are left to later stages."""

    chunks: int = 24
    seconds: float = 0.4
    reserve_seconds: float = 0.1


class Retriever:
    """Finds what a question needs in the texts of one request; holds no request's state, safe to share."""

    def __init__(
        self, embedder: Embedder | None, cache: VectorCache | None = None, dense: DenseLimits | None = None
    ) -> None:
        self._embedder = embedder
        self._cache = cache or VectorCache(64 << 20)
        self._dense = dense or DenseLimits()

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
        passages = read_passages(documents, chunks)
        deadline.check()
        signals = {**place_signals(passages), **lexical_signals(passages, query)}
        deadline.check()
        first = shortlist_score(signals)
        signals["hop"] = hop_signal(passages, query, first)
        signals |= _around(passages, first)
        dense = self._dense_signal(passages, query, first, deadline)
        skipped = ("dense",) if dense is None else ()
        signals["dense"] = np.full(len(chunks), np.nan, dtype=np.float32) if dense is None else dense
        deadline.check()
        scores = fuse(signals)
        return Ranking(chunks, scores + _SMOOTHING * neighbours(scores, 1), signals, skipped)

    def select(self, ranking: Ranking, window_tokens: int) -> Mask:
        """Return which chunks fill the window best, bool[n]."""
        return select(ranking, window_tokens)

    def _dense_signal(self, passages: Passages, query: Query, first: Floats, deadline: Deadline) -> Floats | None:
        """Return the shortlist's cosines to the question, NaN elsewhere; None when there was no time or no model."""
        seconds = min(self._dense.seconds, deadline.left() - self._dense.reserve_seconds)
        if self._embedder is None or seconds <= 0 or not passages.size or not self._dense.chunks:
            return None
        best = np.argsort(-first, kind="stable")[: self._dense.chunks]
        texts = [query.text, *(passages.texts[i] for i in best)]
        vectors = self._vectors(self._embedder, texts, Deadline.after(seconds))
        if len(vectors) < 2:
            return None
        cosines, ids = search(vectors[1:], vectors[0], len(vectors) - 1)
        dense = np.full(passages.size, np.nan, dtype=np.float32)
        dense[best[ids]] = cosines
        return dense

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


def _around(passages: Passages, first: Floats) -> Signals:
    """Return the shortlist scores around each chunk: its own, its neighbours', its document's, its heading's."""
    document = np.array([chunk.document for chunk in passages.chunks], dtype=np.int32)
    return {
        "first": first,
        "near": neighbours(first, 1),
        "near2": neighbours(first, 2),
        "document_best": group_best(first, document),
        "heading_best": group_best(first, passages.heading_row),
    }
