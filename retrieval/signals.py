"""The named scores of every chunk that the fusion weighs: words, characters, place, neighbours, second hop."""

import re

import numpy as np
import numpy.typing as npt

from retrieval.lexical import (
    Ints,
    explained,
    gram_scores,
    known_share,
    match,
    phrase_scores,
    query_weights,
    weighted_scores,
)
from retrieval.prepared import TEXTURE, Passages
from retrieval.terms import STOPWORDS, words_of
from retrieval.types import Deadline, Floats, Query

ROLES = ("user", "assistant", "tool", "system")
Signals = dict[str, Floats]
Ids = npt.NDArray[np.int64]
_NUMBER = re.compile(
    r"(?i)\b(?:when|how (?:many|much|long|old|big|large|far)|what (?:year|date|time)|which year)\b"
    r"|多少|几|何[年人月日]|いつ"
)
# Set by hand: the neighbours and the best chunks of this picture are what other signals are made of.
_FIRST = {"words": 1.0, "grams": 0.6, "coverage": 0.5, "heading": 0.5, "recent": 0.15}
_FEEDBACK_SOURCES = 8  # chunks whose words make the feedback query
_HOP_SOURCES = 4  # chunks whose rare words start the second hop
_HOP_TERMS = 24
_HOP_MOST = 0.02  # of all chunks: a word in more of them names nothing


def cheap_signals(passages: Passages, query: Query, deadline: Deadline) -> Signals:
    """Return every signal but the dense one, which is there as NaN; raises DeadlineExceededError between stages."""
    signals = {**place_signals(passages), **lexical_signals(passages, query)}
    deadline.check()
    signals["first"] = first = first_score(signals)
    signals["hop"] = hop_signal(passages, query, first)
    signals["bridge"] = bridge_signal(passages, first)
    signals["rest"] = rest_signal(passages, query, signals["heading"])
    signals["feedback"] = feedback_signal(passages, first)
    deadline.check()
    document = np.array([chunk.document for chunk in passages.chunks], dtype=np.int32)
    signals["document_best"] = group_best(first, document)
    signals["heading_best"] = group_best(first, passages.heading_row)
    signals["dense"] = np.full(passages.size, np.nan, dtype=np.float32)
    return signals | dict(zip(TEXTURE, passages.texture, strict=True)) | request_signals(passages, query, signals)


def first_score(signals: Signals) -> Floats:
    """Return the score that draws the first picture, before anything learned is looked at, float32[n]."""
    total = sum((weight * scaled(signals[name]) for name, weight in _FIRST.items()), np.float32(0))
    return np.asarray(total, dtype=np.float32)


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
        "phrases": phrase_scores(passages.words, query.text),
        "grams": gram_scores(passages.grams, query.text),
        "heading": over.bm25()[passages.heading_row],
        "heading_coverage": over.coverage()[passages.heading_row],
        "heading_named": explained(passages.headings, set(weights) - STOPWORDS)[passages.heading_row],
        "recent": recent.bm25(),
        "recent_rarest": recent.rarest(),
    }


def rest_signal(passages: Passages, query: Query, heading: Floats) -> Floats:
    """Return BM25 without the question's words that stand in the best heading.

    "In the transcript of meeting 4: ..." names a document; which of its passages is asked for say the other words.
    """
    weights = query_weights(query.text)
    if heading.max(initial=0.0) > 0:
        best = passages.heading_row[int(np.argmax(heading))]
        inside = set(passages.headings.terms[passages.headings.rows == best].tolist())
        vocabulary = passages.headings.vocabulary
        weights = {term: w for term, w in weights.items() if vocabulary.get(term) not in inside}
    return match(passages.words, weights).bm25()


def bridge_signal(passages: Passages, first: Floats) -> Floats:
    """Return how much of each chunk's heading stands in the text of the best chunks: what they name, it is about."""
    inside = passages.words.inside(_best(first, _HOP_SOURCES))
    ids = set(passages.words.terms[inside].tolist())
    known = {term for term in passages.headings.vocabulary if passages.words.vocabulary.get(term) in ids}
    return explained(passages.headings, known)[passages.heading_row]


def _best(scores: Floats, count: int) -> Ids:
    return np.argsort(-scores, kind="stable")[:count]


def feedback_signal(passages: Passages, first: Floats) -> Floats:
    """Return how much each chunk shares the vocabulary of the best ones (Rocchio's pseudo-relevance feedback)."""
    best = _best(first, _FEEDBACK_SOURCES)
    lexicon = passages.words
    inside = lexicon.inside(best)
    counts = np.bincount(lexicon.terms[inside], minlength=len(lexicon.vocabulary))
    idf = lexicon.idf(np.arange(len(lexicon.vocabulary), dtype=np.int32))
    weights = np.sqrt(counts).astype(np.float32) * idf * (lexicon.frequency > 1)
    return weighted_scores(lexicon, weights)


def request_signals(passages: Passages, query: Query, signals: Signals) -> Signals:
    """Return what holds for the request as a whole, the same number for every chunk."""
    roles = [document.role for document in passages.documents]
    content = [word for word in words_of(query.text) if word.casefold() not in STOPWORDS]
    values = {
        "query_words": np.log1p(len(content)),
        "query_found": float(signals["coverage"].max(initial=0.0)),
        "query_heading": float(signals["heading_coverage"].max(initial=0.0)),
        "query_known": query_known(passages, query),
        "tool_share": roles.count("tool") / max(1, len(roles)),
        "documents": np.log1p(len(roles)),
        "asks_number": float(bool(_NUMBER.search(query.text))),
    }
    return {name: np.full(passages.size, value, dtype=np.float32) for name, value in values.items()}


def query_known(passages: Passages, query: Query) -> float:
    """Return how much of the question the material has words for, 0 to 1: with next to none, any ranking is a guess.

    What the assistant said in the question's own language is no material, unless most of the texts are its own. Of an
    agent's steps the last ones say what is looked for as well: they count where the material has more words for them.
    """
    roles = [document.role for document in passages.documents]
    rows = np.array([roles[chunk.document] != "assistant" for chunk in passages.chunks], dtype=np.bool_)
    if 2 * np.count_nonzero(rows) < len(rows):
        rows[:] = True
    asked = [query.text, "\n".join(query.recent)] if "tool" in roles else [query.text]
    return max(known_share(query_weights(text), passages.words, rows, passages.headings) for text in asked)


def hop_signal(passages: Passages, query: Query, first: Floats) -> Floats:
    """Return BM25 of each chunk for the rare words of the best chunks that the question did not name.

    Multi-hop questions name the bridge only in the text: what the best chunks mention is asked for next.
    """
    best = _best(first, _HOP_SOURCES)
    inside = passages.words.inside(best)
    ids, counts = np.unique(passages.words.terms[inside], return_counts=True)
    known = set(query_weights(query.text))
    frequency = passages.words.frequency[ids]
    fit = (frequency >= 2) & (frequency <= max(3.0, _HOP_MOST * passages.size))
    value = passages.words.idf(ids) * np.sqrt(counts) * fit
    names = list(passages.words.vocabulary)
    chosen = [names[ids[i]] for i in np.argsort(-value, kind="stable")[: 2 * _HOP_TERMS] if value[i] > 0]
    weights = {name: 1.0 for name in chosen if name not in known and len(name) > 2}
    return match(passages.words, dict(list(weights.items())[:_HOP_TERMS])).bm25()


def shifted(scores: Floats, distance: int) -> Floats:
    """Return for each chunk the score of the one that many places before it (after it, where negative), else 0."""
    moved = np.zeros_like(scores)
    if distance > 0:
        moved[distance:] = scores[:-distance]
    else:
        moved[:distance] = scores[-distance:]
    return moved


def neighbours(scores: Floats) -> Floats:
    """Return the better of the scores before and after each chunk, 0 beyond the ends."""
    return np.maximum(shifted(scores, 1), shifted(scores, -1))


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
