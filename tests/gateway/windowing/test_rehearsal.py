import pytest

from gateway.windowing.rehearsal import rehearsed

pytestmark = pytest.mark.model


def test_a_rehearsed_retriever_has_read_ranked_and_embedded() -> None:
    retriever = rehearsed("all-MiniLM-L6-v2", embedding_ms=None)
    assert retriever.prepared.misses > 0
    assert retriever.cache.stats().misses > 0
    assert retriever.warm(lambda: True) == 0


def test_a_model_that_is_not_there_cannot_be_rehearsed() -> None:
    with pytest.raises(Exception, match="nowhere"):
        rehearsed("/nowhere/at/all", embedding_ms=None)
