from pydoc_data import topics

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.peers_pieces import Messages, cut, joined

TEXT = "\n\n".join(text for _, text in sorted(topics.topics.items())[:20])
QUESTION = "What does the with statement do?"
SIZE = 400
ASKED: Messages = [
    {"role": "system", "content": "Answer briefly."},
    {"role": "user", "content": TEXT},
    {"role": "assistant", "content": None, "tool_calls": []},
    {"role": "user", "content": f"Read this.\n{QUESTION}\nThank you."},
]
TEXTS = st.text(max_size=3000) | st.text(alphabet="ab。.\n ", max_size=3000)


@given(TEXTS)
def test_pieces_joined_are_the_message_again(text: str) -> None:
    pieces = cut([{"role": "user", "content": text}], QUESTION, SIZE)
    assert "".join(p.text for p in pieces) == text
    assert all(p.text and len(p.text.encode()) <= SIZE for p in pieces)


def test_pieces_are_small_and_end_behind_sentences() -> None:
    pieces = [p for p in cut(ASKED, QUESTION, SIZE) if p.message == 1]
    assert len(pieces) > 50
    assert max(len(p.text.encode()) for p in pieces) <= SIZE
    assert all(p.text.endswith(("\n", ". ", "! ", "? ")) for p in pieces[:-1])


def test_a_piece_without_any_end_is_cut_anyway() -> None:
    pieces = cut([{"role": "tool", "content": "[" + "1," * 5000 + "1]"}], QUESTION, SIZE)
    assert max(len(p.text) for p in pieces) <= SIZE


def test_the_question_and_a_short_system_message_are_fixed() -> None:
    fixed = [(p.message, p.text) for p in cut(ASKED, QUESTION, SIZE) if p.fixed]
    assert fixed == [(0, "Answer briefly."), (3, QUESTION)]


def test_everything_kept_is_the_request_again() -> None:
    pieces = cut(ASKED, QUESTION, SIZE)
    assert joined(ASKED, pieces, {i: p.text for i, p in enumerate(pieces)}) == ASKED


def test_adjacent_pieces_join_and_gaps_are_marked() -> None:
    pieces = cut(ASKED, QUESTION, SIZE)
    kept = {i: pieces[i].text for i in (3, 4, 9)}
    assert joined(ASKED, pieces, kept)[1]["content"] == f"{pieces[3].text}{pieces[4].text}\n[…]\n{pieces[9].text}"


def test_nothing_kept_leaves_what_is_fixed_and_the_order_of_roles() -> None:
    left = joined(ASKED, cut(ASKED, QUESTION, SIZE), {})
    assert [m["role"] for m in left] == [m["role"] for m in ASKED]
    assert [m["content"] for m in left] == ["Answer briefly.", "", None, QUESTION]
