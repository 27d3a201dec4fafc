from pydoc_data.topics import topics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval import Atom, Document, counter_for
from retrieval.chunking import LIMIT
from tests.retrieval.reading import read

COUNTER = counter_for("gpt-4o")


def pieces(text: str) -> list[str]:
    return [text[c.start : c.end] for c in read(Document(text, "user", 0)).chunks]


def headings(text: str) -> list[str]:
    return [c.heading for c in read(Document(text, "user", 0)).chunks]


lines = st.sampled_from(
    [
        "# Title",
        "Ann: hello there",
        "def f(x):",
        "    return x",
        "",
        "```",
        "Ein Satz. Noch einer! ",
        "我们学习。",
        "x" * 700,
    ]
)


@given(st.lists(st.one_of(lines, st.text()), max_size=40).map("\n".join))
def test_chunks_cover_any_text_exactly_once(text: str) -> None:
    assert "".join(pieces(text)) == text


@given(st.lists(lines, min_size=1, max_size=40).map("\n".join))
def test_no_chunk_is_empty(text: str) -> None:
    assert all(pieces(text))


def test_tokens_are_exact_and_of_moderate_size() -> None:
    text = "\n".join(topics.values())
    chunks = read(Document(text, "user", 0)).chunks
    assert all(c.tokens == COUNTER.count(text[c.start : c.end]) for c in chunks)
    assert max(c.tokens for c in chunks) < 2 * LIMIT
    assert 50 < sum(c.tokens for c in chunks) / len(chunks) < LIMIT


def test_scripts_without_spaces_are_cut_at_sentence_ends() -> None:
    assert all(piece.endswith("。") for piece in pieces("今天天气很好，我们去公园散步。" * 200))


def test_a_text_without_any_boundary_is_cut_all_the_same() -> None:
    assert len(pieces("x" * 20_000)) > 10


@pytest.mark.parametrize(
    "piece", [" \n", "\n", "x", ".", "-", "#", "[", "- ", "A: b\n", "1.", "=", '"a", ', "\t", "!?"]
)
def test_monotonous_texts_take_no_longer_than_others(piece: str) -> None:
    # 200,000 of each: anything that is not linear would take minutes here, and the run would be stopped.
    text = piece * 200_000
    assert "".join(pieces(text)) == text


def test_speaker_turns_stand_alone_under_their_speaker() -> None:
    turn = (
        "I think that we should order the larger boat, because the smaller one has leaked twice since the spring fair."
    )
    text = f"Ann Lee: {turn} {turn}\nBob: {turn} {turn}\n"
    assert len(pieces(text)) == 2
    assert headings(text) == ["Ann Lee", "Bob"]


def test_sections_carry_title_and_heading() -> None:
    body = "Boats are tied to the pier with two ropes. " * 12
    text = f"--- Document 2: Harbour ---\n# Mooring\n\n{body}\n\n## At night\n\n{body}\n"
    assert headings(text)[0] == "Document 2: Harbour › Mooring"
    assert headings(text)[-1] == "Document 2: Harbour › Mooring › At night"
    assert pieces(text)[0].startswith("--- Document 2: Harbour ---\n# Mooring\n\nBoats")


def test_functions_stand_alone_under_their_class() -> None:
    body = "".join(f"        total = total + weights[{i}] * values[{i}]\n" for i in range(6))
    text = "```python\nclass Sum:\n" + "".join(f"    def part_{i}(self, total):\n{body}\n" for i in range(4)) + "```\n"
    assert [piece.lstrip()[:10] for piece in pieces(text)[1:]] == ["def part_1", "def part_2", "def part_3"]
    assert headings(text)[2] == "class Sum › def part_2(self, total)"


def test_a_comment_in_code_is_no_heading() -> None:
    text = "```\n# not a heading\nx = 1\n```\n"
    assert headings(text) == [""]


def test_atoms_are_the_chunks() -> None:
    text = '[{"id": 1}, {"id": 2}]'
    document = Document(text, "tool", 3, atoms=(Atom(1, 10, "first"), Atom(12, 21, "second")))
    chunks = read(Document("", "user", 0), document).chunks
    assert [(c.document, text[c.start : c.end], c.heading) for c in chunks] == [
        (1, '{"id": 1}', "first"),
        (1, '{"id": 2}', "second"),
    ]
