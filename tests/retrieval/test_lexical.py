import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retrieval.lexical import Lexicon, gram_scores, join_terms, match, query_weights, read_grams, read_terms

TEXTS = [
    "The harbour master checks every boat in the morning.",
    "Boats pay a fee of forty crowns a night.",
    "The mill grinds wheat and rye.",
    "",
]


def lexicon(texts: list[str]) -> Lexicon:
    return join_terms([read_terms(texts)])


def test_bm25_prefers_the_text_with_the_rare_words() -> None:
    scores = match(lexicon(TEXTS), query_weights("What is the fee for a boat?")).bm25()
    assert list(np.argsort(-scores)[:2]) == [1, 0]
    assert scores[3] == 0


def test_coverage_is_a_share() -> None:
    coverage = match(lexicon(TEXTS), query_weights("wheat rye")).coverage()
    assert coverage[2] == 1.0
    assert coverage[0] == 0.0


def test_counts_are_those_of_the_text() -> None:
    found = lexicon(["red red sky", "sky sun"])
    counted = match(found, {"red": 1.0, "sky": 1.0, "absent": 1.0})
    assert counted.counts.tolist() == [[2.0, 1.0], [0.0, 1.0]]
    assert found.lengths.tolist() == [3.0, 2.0]


def test_unknown_and_empty_questions_score_nothing() -> None:
    for question in ("", "xylophone", "?!"):
        found = match(lexicon(TEXTS), query_weights(question))
        assert not found.bm25().any()
        assert not found.coverage().any()
        assert not found.rarest().any()


def test_grams_find_inflected_and_unspaced_words() -> None:
    texts = ["Die Hafenmeisterei öffnet um acht.", "Das Mehl kommt aus der Mühle.", "船在港口停泊一夜要付四十克朗。"]
    assert np.argmax(gram_scores(read_grams(texts), "Hafenmeister")) == 0
    assert np.argmax(gram_scores(read_grams(texts), "港口停泊费")) == 2


@given(st.lists(st.text(), max_size=8), st.text())
def test_any_text_gives_finite_scores(texts: list[str], question: str) -> None:
    found = match(lexicon(texts), query_weights(question))
    for scores in (found.bm25(), found.coverage(), found.rarest(), gram_scores(read_grams(texts), question)):
        assert len(scores) == len(texts)
        assert np.isfinite(scores).all()
