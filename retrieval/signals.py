"""The named scores of every chunk that the fusion weighs: words, characters, place, neighbours, second hop."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from retrieval.lexical import Ints, Lexicon, Matches, build_lexicon, gram_scores, match, query_weights
from retrieval.types import Chunk, Document, Floats, Query

ROLES = ("user", "assistant", "tool", "system")
Signals = dict[str, Floats]
_HOP_SOURCES = 4  # chunks whose rare words start the second hop
_HOP_TERMS = 24
_HOP_MOST = 0.02  # of all chunks: a word in more of them names nothing


@dataclass(frozen=True, slots=True)
class Passages:
    """The chunks with all that is read of them: texts and headings, indexed once a request."""

    documents: Sequence[Document]
    chunks: tuple[Chunk, ...]
    texts: list[str]
    words: Lexicon
    headings: Lexicon
    heading_row: Ints

    @property
    def size(self) -> int:
        """The number of chunks."""
        return len(self.chunks)


def read_passages(documents: Sequence[Document], chunks: tuple[Chunk, ...]) -> Passages:
    """Index the chunks' texts, and each different heading once."""
    texts = [documents[chunk.document].text[chunk.start : chunk.end] for chunk in chunks]
    rows: dict[str, int] = {}
    heads = (f"{documents[chunk.document].name} {chunk.heading}".strip() for chunk in chunks)
    row = np.fromiter((rows.setdefault(head, len(rows)) for head in heads), dtype=np.int32, count=len(chunks))
    return Passages(documents, chunks, texts, build_lexicon(texts), build_lexicon(list(rows)), row)


def place_signals(passages: Passages) -> Signals:
    """Return where each chunk stands and how long it is."""
    tokens = np.array([chunk.tokens for chunk in passages.chunks], dtype=np.float32)
    document = np.array([chunk.document for chunk in passages.chunks], dtype=np.int32)
    message = np.array([passages.documents[i].message for i in document], dtype=np.float32)
    role = [passages.documents[i].role for i in document]
    before = np.cumsum(tokens) - tokens
    total = max(1.0, float(tokens.sum()))
    signals: Signals = {
        "tokens": np.log1p(tokens),
        "total": np.full_like(tokens, np.log1p(total)),
        "place": before / total,
        "from_end": np.log1p(total - before - tokens),
        "messages_from_end": np.log1p(message.max(initial=0) - message),
        "first_of_document": (np.diff(document, prepend=-1) != 0).astype(np.float32),
    }
    for name in ROLES:
        signals[f"role_{name}"] = np.fromiter((r == name for r in role), dtype=np.float32, count=len(role))
    return signals


def lexical_signals(passages: Passages, query: Query) -> Signals:
    """Return what the words and characters of question and last turns say of each chunk."""
    weights = query_weights(query.text)
    matches = match(passages.words, weights)
    over = match(passages.headings, weights)
    recent = match(passages.words, query_weights("\n".join(query.recent)))
    return {
        "words": matches.bm25(),
        "coverage": matches.coverage(),
        "rarest": matches.rarest(),
        "grams": gram_scores(passages.texts, query.text),
        "heading": over.bm25()[passages.heading_row],
        "heading_coverage": over.coverage()[passages.heading_row],
        "recent": recent.bm25(),
        "recent_rarest": recent.rarest(),
    }


def hop_signal(passages: Passages, query: Query, first: Floats) -> Floats:
    """Return BM25 of each chunk for the rare words of the best chunks that the question did not name.

    Multi-hop questions name the bridge only in the text: what the best chunks mention is asked for next.
    """
    best = np.argsort(-first, kind="stable")[:_HOP_SOURCES]
    inside = np.isin(passages.words.rows, best)
    ids, counts = np.unique(passages.words.terms[inside], return_counts=True)
    known = set(query_weights(query.text))
    frequency = passages.words.frequency[ids]
    fit = (frequency >= 2) & (frequency <= max(3.0, _HOP_MOST * passages.size))
    value = passages.words.idf(ids) * np.sqrt(counts) * fit
    names = list(passages.words.vocabulary)
    chosen = [names[ids[i]] for i in np.argsort(-value, kind="stable")[: 2 * _HOP_TERMS] if value[i] > 0]
    weights = {name: 1.0 for name in chosen if name not in known and len(name) > 2}
    return match(passages.words, dict(list(weights.items())[:_HOP_TERMS])).bm25()


def neighbours(scores: Floats, distance: int) -> Floats:
    """Return the better of the two scores that many chunks away, 0 beyond the ends."""
    padded = np.pad(scores, distance)
    best: Floats = np.maximum(padded[: -2 * distance], padded[2 * distance :])
    return best


def group_best(scores: Floats, groups: Ints) -> Floats:
    """Return the mean of the best three scores in each chunk's group (a document, a heading)."""
    order = np.lexsort((-scores, groups))
    rank = np.arange(len(order)) - np.searchsorted(groups[order], groups[order], side="left")
    top = order[rank < 3]
    total = np.bincount(groups[top], weights=scores[top], minlength=int(groups.max(initial=0)) + 1)
    mean: Floats = (total / 3.0).astype(np.float32)[groups]
    return mean


def scaled(scores: Floats) -> Floats:
    """Return the scores divided by the best of them; all 0 where none is above 0."""
    top = float(scores.max(initial=0.0))
    return scores / top if top > 0 else np.zeros_like(scores)


__all__ = [
    "Matches",
    "Passages",
    "Signals",
    "group_best",
    "hop_signal",
    "lexical_signals",
    "neighbours",
    "place_signals",
]
