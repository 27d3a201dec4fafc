import time
from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest

from retrieval.tokens import counter_for
from retrieval.types import (
    Atom,
    Chunk,
    Counter,
    Deadline,
    DeadlineExceededError,
    Document,
    Embedder,
    Query,
    Ranking,
)
from tests.retrieval.letters import LetterEmbedder

SCORES = np.zeros(1, dtype=np.float32)
VALUES = [
    Deadline(0.0),
    Atom(0, 1),
    Document("text", "user", 0),
    Query("?"),
    Chunk(0, 0, 4, 1),
    Ranking((Chunk(0, 0, 4, 1),), SCORES),
]


def test_a_deadline_has_the_seconds_left_that_it_was_given() -> None:
    deadline = Deadline.after(60.0)
    first, second = deadline.left(), deadline.left()
    assert 50.0 < second <= first <= 60.0
    deadline.check()


def test_a_deadline_passes_with_time() -> None:
    deadline = Deadline.after(0.02)
    time.sleep(0.03)
    assert deadline.left() < 0
    with pytest.raises(DeadlineExceededError):
        deadline.check()


@pytest.mark.parametrize("seconds", [0.0, -5.0])
def test_no_time_at_all_is_past_at_once(seconds: float) -> None:
    deadline = Deadline.after(seconds)
    assert deadline.left() <= seconds
    with pytest.raises(DeadlineExceededError):
        deadline.check()


def test_a_deadline_is_a_moment_of_the_monotonic_clock() -> None:
    before = time.monotonic()
    deadline = Deadline.after(7.0)
    assert before + 7.0 <= deadline.at <= time.monotonic() + 7.0


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_values_cannot_change_between_the_stages(value: object) -> None:
    for field in fields(value):  # type: ignore[arg-type]
        with pytest.raises(FrozenInstanceError):
            setattr(value, field.name, None)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_values_are_small_there_are_thousands_of_them(value: object) -> None:
    assert not hasattr(value, "__dict__")


def test_a_text_without_atoms_is_told_from_one_with_none() -> None:
    assert Document("text", "tool", 0).atoms is None
    assert Document("text", "tool", 0, atoms=()) != Document("text", "tool", 0)


def test_rankings_share_no_signals() -> None:
    first, second = Ranking((), SCORES), Ranking((), SCORES)
    first.signals["lexical"] = SCORES
    assert second.signals == {}
    assert second.skipped == ()


def test_a_counter_counts_many_texts_as_it_counts_each() -> None:
    counter: Counter = counter_for("gpt-4o-mini")
    texts = ["The boat is moored.", "", "船は桟橋につなぎます。"]
    assert counter.count_many(texts) == [counter.count(text) for text in texts]


def test_the_embedder_that_these_tests_use_keeps_the_protocol() -> None:
    embedder: Embedder = LetterEmbedder()
    vectors = embedder.embed(["boat", "pier"], Deadline.after(60.0))
    assert vectors.shape == (2, embedder.dimension)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0)
    with pytest.raises(DeadlineExceededError):
        embedder.embed(["boat"], Deadline.after(-1.0))
