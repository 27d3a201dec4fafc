import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retrieval import Chunk, Ranking, select
from retrieval.selection import demote_repeats, surrounded

sized = st.lists(st.tuples(st.integers(0, 200), st.floats(-5, 5, width=32)), max_size=60)


def ranking(items: list[tuple[int, float]]) -> Ranking:
    chunks = tuple(Chunk(0, i, i + 1, tokens) for i, (tokens, _) in enumerate(items))
    return Ranking(chunks, np.array([score for _, score in items], dtype=np.float32))


@given(sized, st.integers(0, 4000))
def test_the_window_is_spent_and_never_exceeded(items: list[tuple[int, float]], window: int) -> None:
    keep = select(ranking(items), window)
    spent = sum(tokens for (tokens, _), kept in zip(items, keep, strict=True) if kept)
    assert spent <= window
    left_out = [tokens for (tokens, _), kept in zip(items, keep, strict=True) if not kept]
    assert not left_out or spent == window or min(left_out) > window - spent


def test_the_best_come_first() -> None:
    assert select(ranking([(10, 0.1), (10, 0.9), (10, 0.5)]), 20).tolist() == [False, True, True]


def test_a_chunk_too_large_makes_room_for_smaller_ones() -> None:
    assert select(ranking([(100, 0.9), (10, 0.1)]), 50).tolist() == [False, True]


def test_of_a_repeated_text_the_best_and_latest_copy_stays() -> None:
    scores = np.array([0.5, 0.9, 0.9, 0.8], dtype=np.float32)
    demoted = demote_repeats(scores, ["result", "result ", "result", "other"], [50, 50, 50, 50])
    assert np.argsort(-demoted)[:2].tolist() == [2, 3]
    assert demoted[2] == scores[2]


def test_short_texts_may_repeat() -> None:
    scores = np.array([0.5, 0.9], dtype=np.float32)
    assert demote_repeats(scores, ["}", "}"], [1, 1]).tolist() == scores.tolist()


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.floats(0, 1, width=32)), max_size=20))
def test_one_copy_of_every_text_keeps_its_score(items: list[tuple[str, float]]) -> None:
    scores = np.array([score for _, score in items], dtype=np.float32)
    demoted = demote_repeats(scores, [text for text, _ in items], [99] * len(items))
    for text in {text for text, _ in items}:
        own = [i for i, (other, _) in enumerate(items) if other == text]
        assert demoted[own].max() == scores[own].max()


@given(sized, st.integers(0, 600), st.integers(0, 300))
def test_a_selection_grows_by_neighbours_alone(items: list[tuple[int, float]], window: int, around: int) -> None:
    ranked = ranking(items)
    keep = select(ranked, window)
    grown = surrounded(ranked, keep, around)
    added = np.flatnonzero(grown & ~keep).tolist()
    assert (grown | keep).tolist() == grown.tolist()
    assert sum(items[i][0] for i in added) <= around
    assert all((i > 0 and grown[i - 1]) or (i + 1 < len(items) and grown[i + 1]) for i in added)


def test_the_best_neighbour_comes_first_and_none_of_another_document() -> None:
    ranked = ranking([(10, 0.3), (10, 0.9), (10, 0.4), (10, 0.5)])
    assert surrounded(ranked, select(ranked, 10), 10).tolist() == [False, True, True, False]
    other = Ranking((Chunk(0, 0, 1, 10), Chunk(1, 0, 1, 10)), np.array([0.9, 0.8], dtype=np.float32))
    assert surrounded(other, select(other, 10), 100).tolist() == [True, False]
