from collections.abc import Sequence
from pydoc_data.topics import topics

import numpy as np
import pytest

from retrieval import (
    Deadline,
    DeadlineExceededError,
    DenseLimits,
    Document,
    Query,
    Ranking,
    Retriever,
    counter_for,
)
from tests.retrieval.letters import LetterEmbedder

COUNTER = counter_for("gpt-4o")
MANUAL = tuple(Document(f"# {name}\n\n{text}", "user", 0) for name, text in sorted(topics.items()))


def kept_text(ranking: Ranking, documents: Sequence[Document], window: int) -> str:
    keep = Retriever(None).select(ranking, window)
    chunks = [c for c, kept in zip(ranking.chunks, keep, strict=True) if kept]
    return "\n".join(documents[c.document].text[c.start : c.end] for c in chunks)


@pytest.mark.parametrize(
    "question, answer",
    [
        ("What is a lambda expression?", "lambda_expr"),
        ("How is the method resolution order computed for __mro_entries__?", "__mro_entries__"),
        ("Which exception is raised when an assert statement fails?", "AssertionError"),
    ],
)
def test_a_question_about_the_manual_keeps_its_passage(question: str, answer: str) -> None:
    ranking = Retriever(None).rank(MANUAL, Query(question), COUNTER, Deadline.after(60))
    assert answer in kept_text(ranking, MANUAL, 2000)


def test_scores_and_signals_belong_to_the_chunks() -> None:
    ranking = Retriever(None).rank(MANUAL[:3], Query("boolean"), COUNTER, Deadline.after(60))
    assert len(ranking.scores) == len(ranking.chunks)
    assert all(len(signal) == len(ranking.chunks) for signal in ranking.signals.values())
    assert np.isfinite(ranking.scores).all()
    assert ranking.skipped == ("dense",)


def test_only_a_shortlist_is_embedded_and_only_once() -> None:
    embedder = LetterEmbedder()
    retriever = Retriever(embedder, dense=DenseLimits(chunks=5, seconds=30, share=1e6))
    first = retriever.rank(MANUAL, Query("What is a lambda?"), COUNTER, Deadline.after(60))
    again = retriever.rank(MANUAL, Query("What is a lambda?"), COUNTER, Deadline.after(60))
    assert len(embedder.asked) == 6
    assert int(np.isfinite(first.signals["dense"]).sum()) == 5
    assert first.skipped == ()
    assert np.array_equal(first.scores, again.scores)


def test_under_pressure_the_dense_stage_is_shed() -> None:
    embedder = LetterEmbedder()
    retriever = Retriever(embedder, dense=DenseLimits(seconds=30, share=1e6, reserve_seconds=120))
    ranking = retriever.rank(MANUAL[:5], Query("What is a lambda?"), COUNTER, Deadline.after(60))
    assert ranking.skipped == ("dense",)
    assert not embedder.asked


def test_what_a_request_had_no_time_to_embed_the_next_turn_finds_done() -> None:
    embedder = LetterEmbedder()
    limits = DenseLimits(seconds=0.0)
    retriever = Retriever(embedder, dense=limits)
    first = retriever.rank(MANUAL, Query("What is a lambda?"), COUNTER, Deadline.after(60))
    assert first.skipped == ("dense",)
    assert not embedder.asked
    assert limits.chunks < retriever.warm(lambda: True) <= limits.warm_chunks
    assert len(set(embedder.asked)) == len(embedder.asked)
    again = retriever.rank(MANUAL, Query("What is a lambda?"), COUNTER, Deadline.after(60))
    assert again.skipped == ()
    assert int(np.isfinite(again.signals["dense"]).sum()) == limits.chunks
    assert retriever.warm(lambda: True) == 0


def test_past_the_deadline_nothing_is_returned() -> None:
    with pytest.raises(DeadlineExceededError):
        Retriever(None).rank(MANUAL, Query("lambda"), COUNTER, Deadline.after(-1))


@pytest.mark.parametrize("documents", [(), (Document("", "user", 0),), (Document(" \n", "tool", 2, "lookup"),)])
def test_nothing_to_rank_is_no_error(documents: tuple[Document, ...]) -> None:
    ranking = Retriever(LetterEmbedder()).rank(documents, Query(""), COUNTER, Deadline.after(60))
    assert not Retriever(None).select(ranking, 100).sum() or ranking.chunks
