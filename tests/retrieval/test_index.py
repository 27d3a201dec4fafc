import numpy as np

from retrieval.index import search


def test_search_is_the_exact_inner_product() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    scores, ids = search(vectors, vectors[7], 5)
    expected = vectors @ vectors[7]
    assert ids.tolist() == np.argsort(-expected)[:5].tolist()
    assert np.allclose(scores, np.sort(expected)[::-1][:5], atol=1e-5)


def test_more_than_there_is_gives_all() -> None:
    assert len(search(np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32)[0], 9)[1]) == 3
