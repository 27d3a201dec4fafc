"""Scores chunks by their words and characters: BM25, coverage, character 4-grams; vectorised over all chunks."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from math import log1p
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval.terms import STOPWORDS, codes_of, terms_of, words_of
from retrieval.types import Floats

Ints = npt.NDArray[np.int32]
_K1 = 1.2  # BM25's saturation and length normalisation (Robertson and Zaragoza 2009)
_B = 0.4  # low: chunks are of similar length by construction
_MAX_TERMS = 192  # of a query; a pasted issue has more, its rarest are kept
GRAM = 4  # characters
UNKNOWN = "\0" * GRAM  # stands for what follows a text while that is not known
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

    def inside(self, chosen: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Return which of the terms stand in the chosen rows."""
        row = np.zeros(self.size, dtype=np.bool_)
        row[chosen] = True
        return row[self.rows]

    def idf(self, ids: Ints) -> Floats:
        """Return the inverse document frequency of terms, float32[len(ids)], never negative."""
        seen = self.frequency[ids].astype(np.float32)
        return np.log1p((self.size - seen + 0.5) / (seen + 0.5)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of some texts, in numbers of their own: `lengths` and `frequency` are by text and by number."""

    vocabulary: tuple[str, ...]
    terms: Ints
    lengths: Ints
    frequency: Ints


def read_terms(texts: Sequence[str]) -> Terms:
    """Read the terms of the texts."""
    words = [words_of(text) for text in texts]
    surface: defaultdict[str, int] = defaultdict()
    surface.default_factory = surface.__len__  # a new word gets the next number
    ids = np.fromiter(map(surface.__getitem__, chain.from_iterable(words)), dtype=np.int32)
    vocabulary: defaultdict[str, int] = defaultdict()
    vocabulary.default_factory = vocabulary.__len__
    expanded = [terms_of(word) for word in surface]
    fans = np.fromiter(map(len, expanded), dtype=np.int64, count=len(expanded))
    flat = np.fromiter(map(vocabulary.__getitem__, chain.from_iterable(expanded)), dtype=np.int32)
    fan = fans[ids]
    total = np.concatenate(([0], np.cumsum(fan)))
    places = np.arange(total[-1]) + np.repeat((np.cumsum(fans) - fans)[ids] - total[:-1], fan)
    edges = total[np.cumsum([0, *map(len, words)])]
    terms, lengths = flat[places], np.diff(edges).astype(np.int32)
    return Terms(tuple(vocabulary), terms, lengths, _frequency(terms, lengths, len(vocabulary)))


def _frequency(terms: Ints, lengths: Ints, size: int) -> Ints:
    """Return in how many rows each term stands."""
    rows = np.repeat(np.arange(len(lengths)), lengths)
    pairs = np.sort(rows * max(1, size) + terms)
    once = np.concatenate((pairs[:1], pairs[1:][pairs[1:] != pairs[:-1]]))
    return np.bincount(once % max(1, size), minlength=size).astype(np.int32)


def join_terms(parts: Sequence[Terms]) -> Lexicon:
    """Index the texts of all parts, one row each; numbers are by first appearance, however texts are parted."""
    vocabulary: defaultdict[str, int] = defaultdict()
    vocabulary.default_factory = vocabulary.__len__
    numbers = [
        np.fromiter(map(vocabulary.__getitem__, part.vocabulary), dtype=np.int32, count=len(part.vocabulary))
        for part in parts
    ]
    frequency = np.zeros(len(vocabulary), dtype=np.int32)
    for number, part in zip(numbers, parts, strict=True):
        frequency[number] += part.frequency
    lengths = joined([part.lengths for part in parts], np.int32)
    terms = joined([number[part.terms] for number, part in zip(numbers, parts, strict=True)], np.int32)
    rows = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    return Lexicon(dict(vocabulary), rows, terms, frequency, lengths.astype(np.float32))


def follow_terms(first: Lexicon, then: Lexicon) -> Lexicon:
    """Index the rows of both, numbered as `join_terms` does: the first one's numbers stay as they are."""
    vocabulary: defaultdict[str, int] = defaultdict(None, first.vocabulary)
    vocabulary.default_factory = vocabulary.__len__
    number = np.fromiter(map(vocabulary.__getitem__, then.vocabulary), dtype=np.int32, count=len(then.vocabulary))
    frequency = np.zeros(len(vocabulary), dtype=np.int32)
    frequency[: len(first.frequency)] = first.frequency
    frequency[number] += then.frequency
    terms = np.concatenate([first.terms, number[then.terms]])
    rows = np.concatenate([first.rows, then.rows + np.int32(first.size)])
    return Lexicon(dict(vocabulary), rows, terms, frequency, np.concatenate([first.lengths, then.lengths]))


def joined(parts: Sequence[npt.NDArray[Any]], kind: type[np.generic]) -> npt.NDArray[Any]:
    """Return the parts behind each other; an empty array of the kind where there are none."""
    return np.concatenate(parts) if parts else np.empty(0, dtype=kind)


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
    first = np.zeros(int(size), dtype=np.bool_)
    first[pairs // size] = True
    spots = np.flatnonzero(first[lexicon.terms[:-1]])
    here = lexicon.terms[spots] * size + lexicon.terms[spots + 1]
    beside = np.isin(here, pairs) & (lexicon.rows[spots] == lexicon.rows[spots + 1])
    spots, here = spots[beside], here[beside]
    found = np.unique(lexicon.rows[spots] * np.int64(len(pairs)) + np.searchsorted(pairs, here))
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


def known_share(weights: Mapping[str, float], lexicon: Lexicon, rows: npt.NDArray[np.bool_], also: Lexicon) -> float:
    """Return the share of the query's weight, by idf, of the terms in those rows or anywhere in `also`, 0 to 1."""
    there = np.zeros(len(lexicon.vocabulary), dtype=np.bool_)
    there[lexicon.terms[rows[lexicon.rows]]] = True
    known = total = 0.0
    for term, weight in weights.items():
        number = lexicon.vocabulary.get(term, -1)
        seen = int(lexicon.frequency[number]) if number >= 0 else 0
        value = weight * log1p((lexicon.size - seen + 0.5) / (seen + 0.5))
        total += value
        known += value if (number >= 0 and there[number]) or term in also.vocabulary else 0.0
    return known / total if total > 0 else 0.0


def _gram_hashes(text: str) -> npt.NDArray[np.uint32]:
    """Return a hash of _GRAM_BITS bits for every run of GRAM characters."""
    codes = codes_of(text)
    hashes = np.zeros(max(0, len(codes) - GRAM + 1), dtype=np.uint32)
    for offset in range(GRAM):
        hashes = hashes * np.uint32(0x01000193) + codes[offset : offset + len(hashes)]
    mixed: npt.NDArray[np.uint32] = (hashes * np.uint32(0x9E3779B1)) >> np.uint32(32 - _GRAM_BITS)
    return mixed


@dataclass(frozen=True, slots=True)
class Grams:
    """The hashes of all runs of GRAM characters of some texts, and how many of them begin in each text."""

    hashes: npt.NDArray[np.uint32]
    lengths: Ints


def read_grams(texts: Sequence[str], following: str = "") -> Grams:
    """Hash the texts' runs of characters; those at a text's end go on into what follows it."""
    folded = [text.casefold() + "\n" for text in texts]
    hashes = _gram_hashes("".join(folded) + following.casefold()[: GRAM - 1])
    ends = np.minimum(np.cumsum([len(text) for text in folded]), len(hashes))
    return Grams(hashes[: ends[-1] if len(ends) else 0], np.diff(ends, prepend=0).astype(np.int32))


def join_grams(parts: Sequence[Grams]) -> Grams:
    """Return the runs of all parts' texts."""
    return Grams(joined([part.hashes for part in parts], np.uint32), joined([part.lengths for part in parts], np.int32))


def follow_grams(first: Grams, texts: Sequence[str], then: Grams, following: Sequence[str]) -> Grams:
    """Return the runs of the texts of both, each read with UNKNOWN after it, as if they had been read at once."""
    last = _folded(texts[1 - GRAM :])[1 - GRAM :]
    border = _gram_hashes(last + (_folded(following[: GRAM - 1]) + UNKNOWN)[: GRAM - 1])
    before = first.hashes[: len(first.hashes) - len(border)]
    return Grams(np.concatenate([before, border, then.hashes]), np.concatenate([first.lengths, then.lengths]))


def end_grams(grams: Grams) -> Grams:
    """Return the runs of texts that were read with UNKNOWN after them, now that nothing follows."""
    size = max(0, len(grams.hashes) - GRAM + 1)
    ends = np.minimum(np.cumsum(grams.lengths), size)
    return Grams(grams.hashes[:size], np.diff(ends, prepend=0).astype(np.int32))


def _folded(texts: Sequence[str]) -> str:
    return "".join(f"{text.casefold()}\n" for text in texts)


def gram_scores(grams: Grams, query: str) -> Floats:
    """Return for each text the idf-weighted share of the query's character 4-grams in it, 0 to 1."""
    size = len(grams.lengths)
    wanted = np.unique(_gram_hashes(query[:_GRAM_QUERY].casefold()))
    if not len(wanted) or not size:
        return np.zeros(size, dtype=np.float32)
    inside = np.zeros(1 << _GRAM_BITS, dtype=np.bool_)
    inside[wanted] = True
    hit = np.flatnonzero(inside[grams.hashes])
    rows = np.repeat(np.arange(size, dtype=np.int32), grams.lengths)[hit]
    present = np.zeros((size, len(wanted)), dtype=np.float32)
    present[rows, np.searchsorted(wanted, grams.hashes[hit])] = 1.0
    seen = present.sum(axis=0)
    idf = np.log1p((size - seen + 0.5) / (seen + 0.5)).astype(np.float32) * (seen > 0)
    total = float(idf.sum())
    return present @ (idf / total) if total > 0 else np.zeros(size, dtype=np.float32)
