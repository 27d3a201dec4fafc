import numpy as np

from retrieval.cache import ContentCache, VectorCache, content_key


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


def test_values_of_any_kind_cost_what_they_are_said_to() -> None:
    cache = ContentCache[str](2000)  # with the entries' own bytes, room for two of these
    for key, value in ((b"a", "first"), (b"b", "second"), (b"c", "third")):
        cache.put(key, value, 500)
    assert [cache.get(key) for key in (b"a", b"b", b"c")] == [None, "second", "third"]


def test_what_would_push_out_everything_else_is_not_kept() -> None:
    cache = ContentCache[str](2000)
    cache.put(b"a", "small", 100)
    cache.put(b"b", "huge", 1500)
    assert (cache.get(b"a"), cache.get(b"b")) == ("small", None)


def test_what_stands_beside_a_text_tells_it_apart() -> None:
    assert len({content_key("ab"), content_key("b", b"a"), content_key("", b"ab")}) == 3
