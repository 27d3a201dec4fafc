r"""Finds the few thousand tokens of a long text that a question needs. Pure and synchronous: no web, no gateway.

>>> from retrieval import Deadline, Document, Query, Retriever, counter_for
>>> text = "# Opening hours\n\nMonday to Friday, nine to five.\n\n# Parking\n\nThe car park is behind the mill.\n"
>>> retriever, counter = Retriever(embedder=None), counter_for("gpt-4o-mini")
>>> ranking = retriever.rank([Document(text, "user", 0)], Query("Where can I park?"), counter, Deadline.after(1.0))
>>> [text[c.start : c.end] for c, keep in zip(ranking.chunks, retriever.select(ranking, 15)) if keep]
['# Parking\n\nThe car park is behind the mill.\n']

The stages, in order, are `Retriever.rank` and `Retriever.select` (retriever.py); each is a module of its own:

    types.py       the frozen values handed from stage to stage, and the protocols Counter and Embedder
    tokens.py      exact token counts (the only user of bpe_openai)
    blocks.py      cuts long texts where their content says so, for what is kept between requests
    chunking.py    documents -> chunks, spans of the original; headings.py knows what a line begins
    terms.py       words -> index terms: stems, identifiers' parts, character pairs
    lexical.py     chunks + question -> BM25, coverage, character 4-grams
    prepared.py    all of this that no question changes, kept by content in blocks (cache.py) for the next request
    segments.py    all that is read of a request's beginning, kept whole
    signals.py     every named score of a chunk: lexical, place, neighbours, second hop
    embedding.py   texts -> unit vectors (with torch, which is imported where it is needed)
    encoder.py     the model that comes with it; others are sentence_transformers' (embedding.py is its only user)
    index.py       inner-product search (the only user of faiss)
    cache.py       what is kept by content, bounded in bytes
    dense.py       the shortlist's vectors: those that are there now, the others afterwards
    fusion.py      signals -> one score
    selection.py   scores -> the chunks that fill a window
    confidence.py  a window -> how likely the evidence is inside
"""

from importlib import import_module
from typing import TYPE_CHECKING

from retrieval.selection import select
from retrieval.tokens import counter_for
from retrieval.types import (
    Atom,
    Chunk,
    Counter,
    Deadline,
    DeadlineExceededError,
    Document,
    Embedder,
    Floats,
    Mask,
    Query,
    Ranking,
)

if TYPE_CHECKING:
    from retrieval.cache import CacheStats, VectorCache
    from retrieval.dense import DenseLimits
    from retrieval.retriever import Retriever

__all__ = [
    "Atom",
    "CacheStats",
    "Chunk",
    "Counter",
    "Deadline",
    "DeadlineExceededError",
    "DenseLimits",
    "Document",
    "Embedder",
    "Floats",
    "Mask",
    "Query",
    "Ranking",
    "Retriever",
    "VectorCache",
    "counter_for",
    "select",
]


def __getattr__(name: str) -> object:
    """Load what needs scipy and faiss when it is asked for: counting tokens needs neither."""
    if name in ("CacheStats", "VectorCache"):
        return getattr(import_module("retrieval.cache"), name)
    if name == "DenseLimits":
        return getattr(import_module("retrieval.dense"), name)
    if name == "Retriever":
        return getattr(import_module("retrieval.retriever"), name)
    raise AttributeError(f"module 'retrieval' has no attribute {name!r}")
