import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retrieval import Chunk, Ranking, select

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
