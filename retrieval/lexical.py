"""Scores chunks by their words and characters: BM25, coverage, character 4-grams; vectorised over all chunks."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np
import numpy.typing as npt

from retrieval.terms import STOPWORDS, terms_of, words_of
from retrieval.types import Floats

Ints = npt.NDArray[np.int32]
_K1 = 1.2  # BM25's saturation and length normalisation (Robertson and Zaragoza 2009)
_B = 0.4  # low: chunks are of similar length by construction
_MAX_TERMS = 192  # of a query; a pasted issue has more, its rarest are kept
_GRAM = 4
_GRAM_BITS = 20
_GRAM_QUERY = 600  # characters of the query whose 4-grams are used


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The terms of all chunks: term `terms[i]` stands in row `rows[i]`; `frequency` is how many rows have a term."""

    vocabulary: dict[str, int]
    rows: Ints
    terms: Ints
    frequency: Ints
    lengths: Floats

    @property
    def size(self) -> int:
        """The number of rows."""
        return len(self.lengths)

    def idf(self, ids: Ints) -> Floats:
        """Return the inverse document frequency of terms, float32[len(ids)], never negative."""
        seen = self.frequency[ids].astype(np.float32)
        return np.log1p((self.size - seen + 0.5) / (seen + 0.5)).astype(np.float32)


def build_lexicon(texts: Sequence[str]) -> Lexicon:
    """Index the terms of the texts, one row each."""
    words = [words_of(text) for text in texts]
    surface: defaultdict[str, int] = defaultdict()
    surface.default_factory = surface.__len__  # a new word gets the next number
    ids = np.fromiter(map(surface.__getitem__, chain.from_iterable(words)), dtype=np.int32)
    rows = np.repeat(
        np.arange(len(texts), dtype=np.int32), np.fromiter(map(len, words), dtype=np.int64, count=len(texts))
    )
    vocabulary: defaultdict[str, int] = defaultdict()
    vocabulary.default_factory = vocabulary.__len__
    expanded = [terms_of(word) for word in surface]
    counts = np.fromiter(map(len, expanded), dtype=np.int64, count=len(expanded))
    flat = np.fromiter(map(vocabulary.__getitem__, chain.from_iterable(expanded)), dtype=np.int32)
    starts = np.concatenate(([0], np.cumsum(counts)))[:-1]
    fan = counts[ids]
    rows = np.repeat(rows, fan)
    offsets = np.arange(len(rows)) - np.repeat(np.cumsum(fan) - fan, fan)
    terms = flat[np.repeat(starts[ids], fan) + offsets] if len(rows) else np.empty(0, dtype=np.int32)
    return _finish(dict(vocabulary), rows, terms, len(texts))


def _finish(vocabulary: dict[str, int], rows: Ints, terms: Ints, size: int) -> Lexicon:
    pairs = np.unique(rows.astype(np.int64) * max(1, len(vocabulary)) + terms)
    frequency = np.bincount(pairs % max(1, len(vocabulary)), minlength=len(vocabulary)).astype(np.int32)
    lengths = np.bincount(rows, minlength=size).astype(np.float32)
    return Lexicon(vocabulary, rows, terms, frequency, lengths)


@dataclass(frozen=True, slots=True)
class Matches:
    """How often each query term stands in each row: counts float32[rows, k], with idf and weight float32[k]."""

    counts: Floats
    idf: Floats
    weight: Floats
    lengths: Floats

    def bm25(self) -> Floats:
        """Return BM25 of each row."""
        norm = 1 - _B + _B * self.lengths / max(1.0, float(self.lengths.sum()) / max(1, len(self.lengths)))
        saturated = self.counts * (_K1 + 1) / (self.counts + (_K1 * norm)[:, None])
        return saturated @ (self.idf * self.weight)

    def coverage(self) -> Floats:
        """Return the share of the query's idf that stands in each row, 0 to 1."""
        value = self.idf * self.weight
        total = float(value.sum())
        return (self.counts > 0).astype(np.float32) @ (value / total) if total > 0 else np.zeros_like(self.lengths)

    def rarest(self) -> Floats:
        """Return the highest idf of the terms found in each row."""
        if not len(self.idf):
            return np.zeros_like(self.lengths)
        best: Floats = ((self.counts > 0) * (self.idf * np.minimum(self.weight, 1.0))).max(axis=1)
        return best


def match(lexicon: Lexicon, weights: Mapping[str, float]) -> Matches:
    """Count the weighted query terms in every row."""
    known = {lexicon.vocabulary[term]: weight for term, weight in weights.items() if term in lexicon.vocabulary}
    ids = np.fromiter(known, dtype=np.int32, count=len(known))
    weight = np.fromiter(known.values(), dtype=np.float32, count=len(known))
    if len(ids) > _MAX_TERMS:
        best = np.sort(np.argsort(-lexicon.idf(ids) * weight, kind="stable")[:_MAX_TERMS])
        ids, weight = ids[best], weight[best]
    column = np.full(len(lexicon.vocabulary), -1, dtype=np.int32)
    column[ids] = np.arange(len(ids), dtype=np.int32)
    found = column[lexicon.terms]
    hit = found >= 0
    flat = lexicon.rows[hit].astype(np.int64) * len(ids) + found[hit]
    counts = np.bincount(flat, minlength=lexicon.size * len(ids)).reshape(lexicon.size, len(ids))
    return Matches(counts.astype(np.float32), lexicon.idf(ids), weight, lexicon.lengths)


def phrase_scores(lexicon: Lexicon, text: str) -> Floats:
    """Return for each row the idf of the query's pairs of neighbouring terms that stand side by side in it."""
    words = [terms_of(word)[0] for word in words_of(text) if word.casefold() not in STOPWORDS]
    ids = [lexicon.vocabulary.get(term, -1) for term in words]
    size = np.int64(max(1, len(lexicon.vocabulary)))
    pairs = np.unique([a * size + b for a, b in pairwise(ids) if a >= 0 and b >= 0])[:_MAX_TERMS]
    if not len(pairs) or len(lexicon.terms) < 2:
        return np.zeros(lexicon.size, dtype=np.float32)
    here = lexicon.terms[:-1] * size + lexicon.terms[1:]
    first = np.zeros(int(size), dtype=np.bool_)
    first[pairs // size] = True
    spots = np.flatnonzero(first[lexicon.terms[:-1]])
    spots = spots[np.isin(here[spots], pairs) & (lexicon.rows[spots] == lexicon.rows[spots + 1])]
    found = np.unique(lexicon.rows[spots] * np.int64(len(pairs)) + np.searchsorted(pairs, here[spots]))
    value = lexicon.idf((pairs // size).astype(np.int32)) + lexicon.idf((pairs % size).astype(np.int32))
    rows, columns = found // len(pairs), found % len(pairs)
    return np.bincount(rows, weights=value[columns], minlength=lexicon.size).astype(np.float32)


def explained(lexicon: Lexicon, known: Collection[str]) -> Floats:
    """Return the share of each row's own idf that stands in a set of terms, 0 to 1."""
    value = lexicon.idf(np.arange(len(lexicon.vocabulary), dtype=np.int32)) + np.float32(1e-6)
    inside = np.fromiter((term in known for term in lexicon.vocabulary), dtype=np.bool_, count=len(value))
    total = np.bincount(lexicon.rows, weights=value[lexicon.terms], minlength=lexicon.size)
    found = np.bincount(lexicon.rows, weights=(value * inside)[lexicon.terms], minlength=lexicon.size)
    return (found / np.maximum(total, 1e-6)).astype(np.float32)


def weighted_scores(lexicon: Lexicon, weights: Floats) -> Floats:
    """Return the sum of term weights, float32[vocabulary], over each row, by the square root of its length."""
    total = np.bincount(lexicon.rows, weights=weights[lexicon.terms], minlength=lexicon.size)
    return (total / np.sqrt(np.maximum(lexicon.lengths, 8.0))).astype(np.float32)


def query_weights(text: str) -> dict[str, float]:
    """Return the terms of a question with their weights: repeated ones more, function words hardly at all."""
    weights: dict[str, float] = {}
    for word in words_of(text):
        base = 0.05 if word.casefold() in STOPWORDS else 1.0
        for term in terms_of(word):
            weights[term] = min(weights.get(term, 0.0) + base, 3.0 * base)
    return weights


def _codes(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def _gram_hashes(codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Return a hash of _GRAM_BITS bits for every run of _GRAM characters."""
    hashes = np.zeros(max(0, len(codes) - _GRAM + 1), dtype=np.uint32)
    for offset in range(_GRAM):
        hashes = hashes * np.uint32(0x01000193) + codes[offset : offset + len(hashes)]
    mixed: npt.NDArray[np.uint32] = (hashes * np.uint32(0x9E3779B1)) >> np.uint32(32 - _GRAM_BITS)
    return mixed


def gram_scores(texts: Sequence[str], query: str) -> Floats:
    """Return for each text the idf-weighted share of the query's character 4-grams in it, 0 to 1."""
    wanted = np.unique(_gram_hashes(_codes(query[:_GRAM_QUERY].casefold())))
    if not len(wanted) or not texts:
        return np.zeros(len(texts), dtype=np.float32)
    folded = [text.casefold() + "\n" for text in texts]
    hashes = _gram_hashes(_codes("".join(folded)))
    rows = np.repeat(np.arange(len(texts)), [len(text) for text in folded])[: len(hashes)]
    column = np.full(1 << _GRAM_BITS, -1, dtype=np.int32)
    column[wanted] = np.arange(len(wanted), dtype=np.int32)
    found = column[hashes]
    hit = np.flatnonzero(found >= 0)
    present = np.zeros((len(texts), len(wanted)), dtype=np.float32)
    present[rows[hit], found[hit]] = 1.0
    seen = present.sum(axis=0)
    idf = np.log1p((len(texts) - seen + 0.5) / (seen + 0.5)).astype(np.float32) * (seen > 0)
    total = float(idf.sum())
    return present @ (idf / total) if total > 0 else np.zeros(len(texts), dtype=np.float32)
