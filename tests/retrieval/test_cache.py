import numpy as np

from retrieval.cache import VectorCache, content_key


def rows(n: int) -> np.ndarray:
    return np.arange(n * 4, dtype=np.float32).reshape(n, 4)


def test_vectors_come_back_by_content() -> None:
    cache = VectorCache(10_000)
    cache.put_many([content_key("a"), content_key("b")], rows(2))
    found = cache.get_many([content_key("b"), content_key("c")])
    assert found[0] is not None
    assert found[0].tolist() == [4, 5, 6, 7]
    assert found[1] is None
    assert (cache.stats().hits, cache.stats().misses) == (1, 1)


def test_the_least_recently_used_go_first() -> None:
    cache = VectorCache(600)  # room for two
    keys = [content_key(text) for text in "abc"]
    cache.put_many(keys[:2], rows(2))
    cache.get_many(keys[:1])
    cache.put_many(keys[2:], rows(1))
    assert [vector is None for vector in cache.get_many(keys)] == [False, True, False]
    assert cache.stats().size_bytes <= 600


def test_the_same_content_is_held_once() -> None:
    cache = VectorCache(10_000)
    cache.put_many([content_key("a")] * 3, rows(3))
    assert cache.stats().entries == 1


def test_lone_surrogates_have_keys_too() -> None:
    assert len(content_key("\udc80")) == 16
