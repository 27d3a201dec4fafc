import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from retrieval import Deadline, DeadlineExceededError, DenseLimits, Floats, VectorCache
from retrieval.dense import DenseStage
from tests.retrieval.letters import LetterEmbedder

TEXTS = [f"passage {n} " + "abc"[n % 3] * 20 for n in range(40)]
QUESTION = "aaaa aaaa"
SPENT = 60.0
EVERYTHING = DenseLimits(seconds=30.0, share=1.0)
NOTHING = DenseLimits(seconds=0.0)


def stage(limits: DenseLimits) -> tuple[DenseStage, LetterEmbedder]:
    embedder = LetterEmbedder()
    return DenseStage(embedder, VectorCache(1 << 20), limits), embedder


def test_cosines_belong_to_their_texts() -> None:
    dense, embedder = stage(replace(EVERYTHING, chunks=6))
    found = dense.cosines(QUESTION, TEXTS, SPENT, Deadline.after(60))
    assert found is not None
    which, cosines = found
    assert which.tolist() == [0, 1, 2, 3, 4, 5]
    unit = embedder.embed([QUESTION, *TEXTS[:6]], Deadline.after(60))
    assert np.allclose(cosines, unit[1:] @ unit[0], atol=1e-5)
    assert cosines[0] > cosines[1]


def test_without_time_only_what_is_there_counts() -> None:
    dense, embedder = stage(replace(NOTHING, chunks=6, warm_chunks=3))
    assert dense.cosines(QUESTION, TEXTS, SPENT, Deadline.after(60)) is None
    assert embedder.asked == []
    assert dense.warm(lambda: True) == 3
    found = dense.cosines(QUESTION, TEXTS, SPENT, Deadline.after(60))
    assert found is not None
    assert found[0].tolist() == [0, 1, 2]


def test_warming_stops_when_it_is_told_to_and_goes_on_later() -> None:
    dense, _ = stage(replace(NOTHING, warm_chunks=10))
    dense.cosines(QUESTION, TEXTS, SPENT, Deadline.after(60))
    assert dense.warm(lambda: False) == 0
    steps = iter((True, True, False))
    assert dense.warm(lambda: next(steps)) == 2
    assert dense.warm(lambda: True) == 8
    assert dense.warm(lambda: True) == 0


def test_past_its_own_limit_the_stage_is_left_out_without_a_failure() -> None:
    dense, embedder = stage(replace(EVERYTHING, reserve_seconds=120))
    assert dense.cosines(QUESTION, TEXTS, SPENT, Deadline.after(60)) is None
    assert embedder.asked == []


def test_past_the_callers_deadline_the_question_is_not_embedded() -> None:
    dense, _ = stage(NOTHING)
    dense.cosines(QUESTION, TEXTS, SPENT, Deadline.after(60))
    dense.warm(lambda: True)
    with pytest.raises(DeadlineExceededError):
        dense.cosines(QUESTION, TEXTS, SPENT, Deadline.after(-1))


def test_one_vector_alone_moves_nothing() -> None:
    dense, _ = stage(replace(EVERYTHING, chunks=1))
    assert dense.cosines(QUESTION, TEXTS, SPENT, Deadline.after(60)) is None


class SlowEmbedder(LetterEmbedder):
    """Takes a hundredth of a second a text."""

    def embed(self, texts: Sequence[str], deadline: Deadline) -> Floats:
        time.sleep(0.01 * len(texts))
        return super().embed(texts, deadline)


def test_as_many_are_embedded_as_hardly_show_in_the_time_that_ranking_took() -> None:
    embedder = SlowEmbedder()
    dense = DenseStage(embedder, VectorCache(1 << 20), DenseLimits(share=0.5, seconds=1.0))
    dense.cosines("first", TEXTS[:4], 2.0, Deadline.after(60))  # how long a text takes is known from now on
    before = len(embedder.asked)
    for spent in (0.001, 0.04):
        assert dense.cosines(QUESTION, TEXTS[20:], spent, Deadline.after(60)) is None
    assert len(embedder.asked) == before
    found = dense.cosines(QUESTION, TEXTS[20:], 0.2, Deadline.after(60))
    assert found is not None
    assert 2 <= len(found[0]) <= 9
    assert len(embedder.asked) - before == len(found[0]) + 1


def test_of_a_long_text_the_beginning_is_embedded() -> None:
    dense, embedder = stage(EVERYTHING)
    dense.cosines(QUESTION, ["ab" * 5000, "cd" * 5000], SPENT, Deadline.after(60))
    assert max(map(len, embedder.asked)) < 1000
