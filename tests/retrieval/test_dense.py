import numpy as np
import pytest

from retrieval import Deadline, DeadlineExceededError, DenseLimits, VectorCache
from retrieval.dense import DenseStage
from tests.retrieval.letters import LetterEmbedder

TEXTS = [f"passage {n} " + "abc"[n % 3] * 20 for n in range(40)]
QUESTION = "aaaa aaaa"


def stage(limits: DenseLimits) -> tuple[DenseStage, LetterEmbedder]:
    embedder = LetterEmbedder()
    return DenseStage(embedder, VectorCache(1 << 20), limits), embedder


def test_cosines_belong_to_their_texts() -> None:
    dense, embedder = stage(DenseLimits(chunks=6, seconds=30))
    found = dense.cosines(QUESTION, TEXTS, Deadline.after(60))
    assert found is not None
    which, cosines = found
    assert which.tolist() == [0, 1, 2, 3, 4, 5]
    unit = embedder.embed([QUESTION, *TEXTS[:6]], Deadline.after(60))
    assert np.allclose(cosines, unit[1:] @ unit[0], atol=1e-5)
    assert cosines[0] > cosines[1]


def test_without_time_only_what_is_there_counts() -> None:
    dense, embedder = stage(DenseLimits(chunks=6, warm_chunks=3))
    assert dense.cosines(QUESTION, TEXTS, Deadline.after(60)) is None
    assert embedder.asked == []
    assert dense.warm(lambda: True) == 3
    found = dense.cosines(QUESTION, TEXTS, Deadline.after(60))
    assert found is not None
    assert found[0].tolist() == [0, 1, 2]


def test_warming_stops_when_it_is_told_to_and_goes_on_later() -> None:
    dense, _ = stage(DenseLimits(warm_chunks=10))
    dense.cosines(QUESTION, TEXTS, Deadline.after(60))
    assert dense.warm(lambda: False) == 0
    steps = iter((True, True, False))
    assert dense.warm(lambda: next(steps)) == 4
    assert dense.warm(lambda: True) == 6
    assert dense.warm(lambda: True) == 0


def test_past_its_own_limit_the_stage_is_left_out_without_a_failure() -> None:
    dense, embedder = stage(DenseLimits(seconds=30, reserve_seconds=120))
    assert dense.cosines(QUESTION, TEXTS, Deadline.after(60)) is None
    assert embedder.asked == []


def test_past_the_callers_deadline_the_question_is_not_embedded() -> None:
    dense, _ = stage(DenseLimits())
    dense.cosines(QUESTION, TEXTS, Deadline.after(60))
    dense.warm(lambda: True)
    with pytest.raises(DeadlineExceededError):
        dense.cosines(QUESTION, TEXTS, Deadline.after(-1))


def test_one_vector_alone_moves_nothing() -> None:
    dense, _ = stage(DenseLimits(chunks=1, seconds=30))
    assert dense.cosines(QUESTION, TEXTS, Deadline.after(60)) is None
