from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from retrieval import Atom, Deadline, Document, Query, Retriever, counter_for
from retrieval.lexical import join_terms, read_grams, read_terms
from retrieval.prepared import Passages, Prepared
from retrieval.segments import beginnings, follow
from tests.retrieval.test_prepared import COUNTER, MANUAL, QUERY, parts, ranked, same

ARRAYS = ("rows", "terms", "frequency", "lengths")


def passages(prepared: Prepared, documents: Sequence[Document]) -> Passages:
    return prepared.read(documents, COUNTER, Deadline.after(60))


def keys(*documents: Document) -> list[bytes]:
    return [key for _, key in beginnings(documents, "o200k")]


def test_a_beginning_ends_after_each_large_document() -> None:
    documents = [Document("Hi.", "user", 0), *parts(20_000, 100, 30_000), Document("Bye.", "user", 4)]
    assert [end for end, _ in beginnings(documents, "o200k")] == [2, 4]
    assert beginnings(documents[:1], "o200k") == []


def test_a_key_tells_apart_all_that_is_read() -> None:
    large = Document("boats " * 4000, "user", 0)
    atoms = (Atom(0, 9, "ab"), Atom(9, 20, "c"))
    others = [
        replace(large, text="mills " * 4000),
        replace(large, name="log"),
        replace(large, atoms=()),
        replace(large, atoms=atoms),
        replace(large, atoms=(Atom(0, 9, "a"), Atom(9, 20, "bc"))),
        replace(large, name="\ud800"),
    ]
    found = [*keys(large), *(key for other in others for key in keys(other)), *keys(Document("Hi.", "user", 0), large)]
    assert len(set(found)) == len(others) + 2
    assert beginnings([large], "cl100k")[0][1] not in found
    assert keys(replace(large, role="tool", message=3)) == keys(large)


@pytest.mark.parametrize("tail", [["a"], ["", "b"], ["Boats."], [], ["Straße", "ΣΑΣ ", "x"]])
def test_what_follows_is_read_as_if_at_once(tail: list[str]) -> None:
    first = [*parts(30_000), Document("ß", "user", 1)]
    behind = [Document(text, "user", 2) for text in tail]
    warm = Prepared(64 << 20)
    passages(warm, first)
    found = passages(warm, [*first, *behind])
    grams = read_grams(found.texts)
    words = join_terms([read_terms(found.texts)])
    assert np.array_equal(found.grams.hashes, grams.hashes)
    assert np.array_equal(found.grams.lengths, grams.lengths)
    assert list(found.words.vocabulary.items()) == list(words.vocabulary.items())
    assert all(np.array_equal(getattr(found.words, name), getattr(words, name)) for name in ARRAYS)
    assert "".join(found.texts) == "".join(d.text for d in [*first, *behind])


def test_two_segments_are_one_in_heads_and_rows() -> None:
    prepared = Prepared(64 << 20)
    texts = [*parts(30_000, 30_000), *parts(500)]
    whole = prepared._whole(texts, COUNTER, Deadline.after(60))
    first = prepared._whole(texts[:1], COUNTER, Deadline.after(60))
    assert follow(first, prepared._whole([], COUNTER, Deadline.after(60)), lambda _: join_terms([])) is first
    wanted = [f"{texts[c.document].name} {c.heading}".strip() for c in whole.chunks]
    assert [whole.heads[row] for row in whole.row] == wanted
    assert len(set(whole.heads)) == len(whole.heads)
    headings = join_terms([read_terms(whole.heads)])
    assert all(np.array_equal(getattr(whole.headings, name), getattr(headings, name)) for name in ARRAYS)


def test_ranking_changes_nothing_of_what_is_kept() -> None:
    retriever, documents = Retriever(None), parts(60_000)
    prepared = retriever._prepared
    kept = passages(prepared, documents)
    words = dict(kept.words.vocabulary), dict(kept.headings.vocabulary)
    arrays = [getattr(lexicon, name).copy() for lexicon in (kept.words, kept.headings) for name in ARRAYS]
    for query in (QUERY, Query("What is a lambda?", ("Ann",))):
        assert same(ranked(retriever, documents, query), ranked(Retriever(None), documents, query))
        ranked(retriever, [*documents, *parts(900)], query)
    again = passages(prepared, documents)
    assert again.words is kept.words
    assert again.chunks is kept.chunks
    assert (again.words.vocabulary, again.headings.vocabulary) == words
    after = [getattr(lexicon, name) for lexicon in (again.words, again.headings) for name in ARRAYS]
    assert all(np.array_equal(one, other) for one, other in zip(arrays, after, strict=True))
    with pytest.raises(ValueError, match="read-only"):
        again.words.terms[0] = 1


@pytest.mark.parametrize(("size", "kept"), [(64 << 20, 1), (2 << 20, 0)])
def test_a_segment_counts_as_its_blocks_and_a_huge_one_is_not_kept(size: int, kept: int) -> None:
    prepared, documents = Prepared(size), [Document(MANUAL[:100_000], "user", 0)]
    passages(prepared, documents)
    blocks = prepared.stats().misses
    passages(prepared, documents)
    stats = prepared.stats()
    assert prepared._segments.stats().entries == kept
    assert stats.hits + stats.misses == 2 * blocks
    assert stats.size_bytes <= size
    assert not kept or stats.hits == blocks


def test_another_encoding_is_another_segment() -> None:
    prepared, documents = Prepared(64 << 20), parts(30_000)
    passages(prepared, documents)
    other = counter_for("gpt-4")
    chunks = prepared.read(documents, other, Deadline.after(60)).chunks
    assert all(chunk.tokens == other.count(MANUAL[chunk.start : chunk.end]) for chunk in chunks)
