import numpy as np
import pytest

from retrieval import Deadline, DeadlineExceededError, Embedder
from retrieval.embedding import load_embedder, model_source


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return load_embedder(device="cpu")


def test_the_default_model_comes_from_the_installed_package() -> None:
    assert model_source("all-MiniLM-L6-v2").endswith("model")
    assert model_source("sentence-transformers/all-MiniLM-L6-v2") == model_source("all-MiniLM-L6-v2")
    assert model_source("acme/other-model") == "acme/other-model"


@pytest.mark.model
def test_vectors_are_unit_and_near_for_like_meanings(embedder: Embedder) -> None:
    texts = ["A cat sleeps on the sofa.", "A kitten naps on the couch.", "Interest rates rose in March."]
    vectors = embedder.embed(texts, Deadline.after(60))
    assert vectors.shape == (3, embedder.dimension)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    assert vectors[0] @ vectors[1] > 0.6 > vectors[0] @ vectors[2]


@pytest.mark.model
def test_a_vector_is_its_texts_alone(embedder: Embedder) -> None:
    words = ("ferry", "interest", "violin", "kernel", "bread", "glacier", "verdict", "orchid", "goal", "satellite")
    texts = [f"{word} " * n for word, n in zip(words, (40, 1, 25, 3, 30, 2, 35, 4, 20, 5), strict=True)]
    vectors = embedder.embed(texts, Deadline.after(60))
    alone = np.concatenate([embedder.embed([text], Deadline.after(60)) for text in texts])
    assert np.array_equal(vectors, alone)


@pytest.mark.model
def test_past_the_deadline_nothing_is_embedded(embedder: Embedder) -> None:
    with pytest.raises(DeadlineExceededError):
        embedder.embed(["text"], Deadline.after(-1))
    assert len(embedder.embed([], Deadline.after(60))) == 0
