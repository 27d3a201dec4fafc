import json
from collections.abc import Sequence
from itertools import pairwise
from pydoc_data.topics import topics

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retrieval import Atom, Deadline, DeadlineExceededError, Document, Query, Ranking, Retriever, counter_for
from retrieval.prepared import Passages, Prepared, read_texture
from tests.retrieval.reading import read

COUNTER = counter_for("gpt-4o")
MANUAL = "\n\n".join(f"# {name}\n\n{text}" for name, text in sorted(topics.items()))
TURNS = tuple(Document(f"Turn {n}: " + MANUAL[n * 300 :][:250], "user", n) for n in range(300))
ROWS = [f'{{"id": {n}, "name": "Straße {n}"}}' for n in range(400)]
TABLE = Document(
    f"[{','.join(ROWS)}]",
    "tool",
    7,
    atoms=tuple(
        Atom(1 + start, 1 + start + len(row), f"id {n}")
        for n, (row, start) in enumerate(
            zip(ROWS, np.cumsum([0, *(len(row) + 1 for row in ROWS)]).tolist(), strict=False)
        )
    ),
)
QUERY = Query("When is __init_subclass__ called?", ("Tell me of classes.",))


def ranked(retriever: Retriever, documents: Sequence[Document], query: Query = QUERY) -> Ranking:
    return retriever.rank(documents, query, COUNTER, Deadline.after(60))


def same(one: Ranking, other: Ranking) -> bool:
    signals = one.signals.keys() == other.signals.keys() and all(
        np.array_equal(one.signals[name], other.signals[name], equal_nan=True) for name in one.signals
    )
    return signals and one.chunks == other.chunks and np.array_equal(one.scores, other.scores)


def parts(*sizes: int) -> list[Document]:
    """The manual in parts of so many characters each."""
    ends = np.cumsum([0, *sizes]).tolist()
    return [Document(MANUAL[a:b], "tool", i, f"part {i}") for i, (a, b) in enumerate(pairwise(ends))]


lines = st.sampled_from(
    ["# Title", "## Part", "Ann: hello?", "def f(x):", "    return x", "", "```", "Ein Satz. Noch einer! ",
     "我们学习。", "x" * 700, "[Name]", "--- Document 3: Name ---", "Article 4 Wages", "Boats and mills, 12 of them."]
)  # fmt: skip
documents = st.lists(
    st.builds(
        lambda text, times, role, message: Document("\n".join(text * times), role, message),
        st.lists(st.one_of(lines, st.text(max_size=40)), max_size=25),
        st.integers(1, 40),
        st.sampled_from(["user", "assistant", "tool", "system"]),
        st.integers(0, 5),
    ),
    max_size=6,
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(documents, st.text(max_size=60), st.randoms(use_true_random=False))
def test_what_was_read_before_changes_no_ranking(found: list[Document], question: str, random: object) -> None:
    assert hasattr(random, "shuffle")
    warm = Retriever(None)
    others = list(found)
    random.shuffle(others)
    ranked(warm, others, Query("boats?"))
    longer = [*found, Document("One turn more: 我们学习。", "assistant", 6)]
    large = [Document(MANUAL[:13_000], "user", 0), *found, Document(MANUAL[:13_000], "tool", 6)]
    for texts in (
        found,
        longer,
        large,
        [*large, *longer],
        found[1:],
        [Document(f"Why?\n\n{d.text}", d.role, d.message) for d in found],
    ):
        query = Query(question, ("Ann",))
        assert same(ranked(warm, texts, query), ranked(Retriever(None), texts, query))


@pytest.mark.parametrize(
    "texts",
    [
        parts(200_000),
        parts(90_000, 10, 70_000, 3_000),
        list(TURNS),
        [TABLE, *parts(50_000)],
        [*TURNS[:5], TABLE, TURNS[5], *parts(30_000, 5, 40_000), Document("a", "user", 9)],
    ],
)
def test_cold_warm_one_turn_more_and_in_other_order_rank_alike(texts: list[Document]) -> None:
    warm = Retriever(None)
    last = texts[-1]
    longer = [
        *texts[:-1],
        Document(last.text + "\n\nWhat is a lambda?", last.role, last.message),
        Document("No.", "user", 9),
    ]
    assert same(ranked(warm, texts), ranked(warm, texts))
    for other in (
        texts,
        longer,
        texts[::-1],
        [Document(f"First of all, why?\n\n{texts[0].text}", "user", 0), *texts[1:]],
    ):
        assert same(ranked(warm, other), ranked(Retriever(None), other))


def made_anew(first: Sequence[Document], then: Sequence[Document]) -> float:
    """The share of blocks that reading the one after the other made again."""
    prepared = Prepared(64 << 20)
    prepared.read(first, COUNTER, Deadline.after(60))
    before = prepared.stats()
    prepared.read(then, COUNTER, Deadline.after(60))
    after = prepared.stats()
    missed = after.misses - before.misses
    return missed / (missed + after.hits - before.hits)


def test_another_question_makes_nothing_anew() -> None:
    assert made_anew(parts(200_000), parts(200_000)) == 0


def test_one_turn_more_makes_little_anew() -> None:
    text = MANUAL[:300_000]
    asked = [
        Document(f"{text}\n\nWhat is a lambda?", "user", 0),
        Document("A function without a name.", "assistant", 1),
    ]
    assert made_anew([Document(text, "user", 0)], asked) < 0.1
    assert made_anew([Document(text, "user", 0)], [Document(f"What is a lambda?\n\n{text}", "user", 0)]) < 0.2
    assert made_anew(TURNS, [*TURNS, *asked[1:]]) < 0.3
    assert made_anew([TABLE], [TABLE, *asked[1:]]) <= 0.5


def test_a_different_vocabulary_counts_anew() -> None:
    prepared = Prepared(64 << 20)
    for model in ("gpt-4o", "gpt-4"):
        counter = counter_for(model)
        chunks = prepared.read(parts(30_000), counter, Deadline.after(60)).chunks
        assert all(c.tokens == counter.count(MANUAL[c.start : c.end]) for c in chunks)


def test_what_is_kept_stays_within_the_bytes() -> None:
    prepared = Prepared(2 << 20)
    for start in range(0, len(MANUAL), 100_000):
        prepared.read([Document(MANUAL[start : start + 100_000], "user", 0)], COUNTER, Deadline.after(60))
        assert 0 < prepared.stats().size_bytes <= 2 << 20


def test_a_huge_request_leaves_others_their_place() -> None:
    prepared = Prepared(4 << 20)
    small = [Document(json.dumps([f"Entry {n} of the log." for n in range(2000)], indent=1), "user", 0)]
    prepared.read(small, COUNTER, Deadline.after(60))
    prepared.read([Document(MANUAL, "user", 0)], COUNTER, Deadline.after(60))
    before = prepared.stats()
    prepared.read(small, COUNTER, Deadline.after(60))
    assert prepared.stats().misses == before.misses


def test_what_is_said_to_be_kept_is_about_what_is_kept() -> None:
    prepared = Prepared(64 << 20)
    found: Passages = prepared.read([Document(MANUAL, "user", 0)], COUNTER, Deadline.after(60))
    least = found.grams.hashes.nbytes + found.words.terms.nbytes + found.texture.nbytes
    assert least < prepared.stats().size_bytes < 20 * len(MANUAL)


def test_the_deadline_is_looked_at() -> None:
    with pytest.raises(DeadlineExceededError):
        Prepared(1 << 20).read(parts(10_000), COUNTER, Deadline.after(-1))


def test_texture_is_in_shares() -> None:
    texture = read_texture(["123456789", "ABCDEFGHI", "Really?"])
    assert np.allclose(texture[0], [0.9, 0, 0])
    assert np.allclose(texture[1, :2], [0, 0.9])
    assert texture[3].tolist() == [0, 0, 1]


def test_nothing_is_read_of_nothing() -> None:
    assert read().size == 0
    assert read(Document("", "user", 0)).texture.shape == (4, 0)
