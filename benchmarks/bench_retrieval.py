"""How much evidence retrieval keeps, and how long it takes: python -m benchmarks.bench_retrieval [--limit 8].

One table: mean recall over the sources of ../shared/eval at three windows for the simplest methods, for the textbook
one (every chunk through MiniLM and FAISS, on a few short cases), and for ours, with each part switched off in turn.
Ours is trained anew and cross-validated by document, so no case is scored by trees that saw its document; a part is
switched off before training. Then the time of Retriever.rank by length. Without ../shared only the times are printed.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pydoc_data.topics import topics

import numpy as np

from benchmarks.retrieval_data import DATA
from benchmarks.retrieval_train import (
    WINDOWS,
    Example,
    by_document,
    by_source,
    held_out_odds,
    read_examples,
    recall,
    smoothed,
)
from retrieval import Deadline, DenseLimits, Document, Embedder, Floats, Query, Retriever, counter_for
from retrieval.embedding import load_embedder
from retrieval.fusion import FEATURES, with_dense
from retrieval.index import search

LENGTHS = (8, 32, 128, 512)  # thousand tokens
_QUESTION = "How is the method resolution order computed for a class with several bases?"
_REHEARSAL = Document("\n".join(f"Line {n} of a text that only rehearses." for n in range(1000)), "user", 0)
_FOLDS = 2
_ALL = DenseLimits(share=1e6, seconds=60.0)
_DENSE_MOST_TOKENS = 16_000  # cases longer than this are not embedded whole: a minute each
_TEXTURE = ("digits", "capitals", "marks", "asks", "tool_share", "documents", "asks_number", "total")
PARTS: dict[str, Callable[[str], bool]] = {
    "words": lambda name: name.split()[-1] in ("words", "coverage", "rarest"),
    "4-grams and phrases": lambda name: name.endswith(("grams", "phrases")),
    "headings": lambda name: "heading" in name or "rest" in name.split(),
    "second hop and feedback": lambda name: name.endswith("hop") or name == "bridge" or "feedback" in name,
    "neighbours and document": lambda name: " around " in name or name.startswith("first ") or "document_best" in name,
    "last turns": lambda name: "recent" in name,
    "place and role": lambda name: name in ("place", "from_end", "messages_from_end") or name.startswith("role_"),
    "texture and request": lambda name: name in _TEXTURE or name.startswith("query_"),
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--limit", type=int, default=8, help="cases a source (0: all)")
    options.add_argument("--dense-cases", type=int, default=1, help="short cases a source for the textbook method")
    options.add_argument("--no-parts", action="store_true", help="leave out the table's switched-off parts")
    chosen = options.parse_args()
    embedder = load_embedder(threads=1)
    if DATA.exists():
        _quality(chosen.limit, chosen.dense_cases, not chosen.no_parts, embedder)
    else:
        print(f"no evaluation cases at {DATA}: times only")
    _times(embedder)


def _quality(limit: int, dense_cases: int, parts: bool, embedder: Embedder) -> None:
    examples = list(read_examples(limit))
    print(f"{len(examples)} cases; recall at " + ", ".join(f"{w} tokens" for w in WINDOWS))
    order = np.arange
    _row("head", examples, [-order(len(e.chunks), dtype=np.float32) for e in examples])
    _row("tail", examples, [order(len(e.chunks), dtype=np.float32) for e in examples])
    _row("BM25", examples, [_bm25(e) for e in examples])
    folds = by_document(examples, _FOLDS)
    ours = held_out_odds(examples, folds)
    _row("ours without MiniLM", examples, [smoothed(o) for o in ours])
    _row("ours", examples, [smoothed(_shortlisted(e, o, embedder)) for e, o in zip(examples, ours, strict=True)])
    for title, off in PARTS.items() if parts else ():
        blind = [replace(e, features=_without(e.features, off)) for e in examples]
        _row(f"  without MiniLM and {title}", examples, [smoothed(o) for o in held_out_odds(blind, folds)])
    few = list(_short(examples, dense_cases))
    if few:
        ids = {e.case.id for e in few}
        print(f"{len(few)} cases short enough to embed whole")
        _row("all-dense MiniLM", few, [_all_dense(e, embedder) for e in few])
        _row("BM25", few, [_bm25(e) for e in few])
        _row("ours without MiniLM", few, [smoothed(o) for e, o in zip(examples, ours, strict=True) if e.case.id in ids])


def _short(examples: Sequence[Example], count: int) -> Iterator[Example]:
    for source in dict.fromkeys(e.case.source for e in examples):
        yield from [e for e in examples if e.case.source == source and e.case.tokens <= _DENSE_MOST_TOKENS][:count]


def _bm25(example: Example) -> Floats:
    return example.features[:, FEATURES.index("scaled words")]


def _shortlisted(example: Example, odds: Floats, embedder: Embedder) -> Floats:
    """Return the log-odds as the retriever's dense stage would move them, had it all the time it wants."""
    best = np.argsort(-odds, kind="stable")[: DenseLimits().chunks]
    texts = [example.case.documents[c.document].text[c.start : c.end] for c in (example.chunks[i] for i in best)]
    vectors = embedder.embed([example.case.query.text, *texts], Deadline.after(3600))
    return with_dense(odds, best, vectors[1:] @ vectors[0])


def _all_dense(example: Example, embedder: Embedder) -> Floats:
    texts = [example.case.documents[c.document].text[c.start : c.end] for c in example.chunks]
    vectors = embedder.embed([example.case.query.text, *texts], Deadline.after(3600))
    cosines, ids = search(vectors[1:], vectors[0], len(texts))
    scores = np.empty(len(texts), dtype=np.float32)
    scores[ids] = cosines
    return scores


def _without(features: Floats, off: Callable[[str], bool]) -> Floats:
    """Return the features with some of them made constant, so that no tree can split on them."""
    hidden = features.copy()
    hidden[:, [i for i, name in enumerate(FEATURES) if off(name)]] = 0.0
    return hidden


def _row(title: str, examples: Sequence[Example], scores: Sequence[Floats]) -> None:
    means = by_source(examples, [recall(e, s) for e, s in zip(examples, scores, strict=True)])
    values = np.mean(list(means.values()), axis=0)
    print(f"{title:60}" + "".join(f"{value:8.3f}" for value in values), flush=True)


def _times(embedder: Embedder) -> None:
    print("\nms of Retriever.rank, median of 3" + "".join(f"{k:>7}K" for k in LENGTHS))
    text = "\n".join(topics.values()) * 6
    for title, limits in (
        ("without MiniLM", DenseLimits(chunks=0)),
        ("as shipped, nothing cached", DenseLimits()),
        ("24 chunks embedded", _ALL),
    ):
        print(f"{title:34}" + "".join(f"{_median_ms(text, k, embedder, limits):8.0f}" for k in LENGTHS), flush=True)


def _median_ms(text: str, thousands: int, embedder: Embedder, limits: DenseLimits) -> float:
    document = Document(text[: int(thousands * 4380)], "user", 0)  # characters of this text a thousand tokens has
    spent = []
    for _ in range(3):
        retriever = Retriever(embedder, dense=limits)
        # As a windowing process does before its first request: how long a text takes to embed is then known.
        retriever.rank([_REHEARSAL], Query(_QUESTION), counter_for(None), Deadline.after(60))
        retriever.warm(lambda: True)
        start = time.perf_counter()
        retriever.rank([document], Query(_QUESTION), counter_for(None), Deadline.after(60))
        spent.append((time.perf_counter() - start) * 1e3)
    return statistics.median(spent)


if __name__ == "__main__":
    main()
