"""The search text of a message: the question, and nothing of the document next to it."""

import re

import pytest

from gateway.windowing.asking import (
    LABEL_LINE,
    asking_end,
    asks_by_itself,
    bare,
    is_decisive,
    is_personal,
    orders_more,
    search_text,
)
from gateway.windowing.lexicon import ASK_LABEL, BOILERPLATE
from tests.gateway.windowing import sentences


def _search(text: str, *spans: str, loose: bool = True) -> str:
    return search_text(text, tuple((text.index(s), text.index(s) + len(s)) for s in spans), loose=loose)


def test_a_label_wins_over_all_else() -> None:
    text = "Use the text.\n\nLong text. Is it? Yes.\n\nQuestion: who came?"
    assert _search(text, "Use the text.", "Question: who came?") == "who came?"


def test_a_refining_prompt_is_searched_for_its_question_not_for_what_to_do_with_the_answer() -> None:
    head = "The original question is as follows: who came?\nWe have provided an existing answer: nobody."
    tail = "Given the new context, refine the original answer."
    found = _search(f"{head}\n\nLong text.\n\n{tail}", head, tail)
    assert found.startswith("who came?\n")
    assert "nobody" in found
    assert _search(f"Use the text.\n\nLong.\n\n{tail}", "Use the text.", tail) == "refine the original answer."


def test_keys_of_code_are_no_labels() -> None:
    text = "query: str = Field()\n\nWho calls this?"
    assert _search(text, text) == "Who calls this?"


@pytest.mark.parametrize(
    "text", ["Q: who came?", "**Question:** who came?", "问题：who came?", "Based on the text above: who came?"]
)
def test_bare_drops_labels_and_phrases(text: str) -> None:
    assert bare(text) == "who came?"


def test_paragraphs_of_the_document_are_left_out() -> None:
    text = "Who paid the bill?\n\nThe bill came late. Was it high? It was.\n\nThey left at noon."
    assert _search(text, text) == "Who paid the bill?"


def test_lines_of_the_document_above_the_question_are_left_out() -> None:
    text = "    return value\n}\nWhat does it return?"
    assert _search(text, text) == "What does it return?"


def test_lists_stay_with_what_they_belong_to() -> None:
    text = "Which is right?\n\nA) one\nB) two"
    assert _search(text, text) == text


def test_a_terse_question_takes_what_leads_to_it() -> None:
    text = "My build stops at the linker.\n\nWhy?"
    assert _search(text, text) == text


def test_a_span_beside_marked_documents_is_taken_whole() -> None:
    text = "It fails on load\n\nThe trace is long.\n\nWhich function is wrong?"
    assert _search(text, text, loose=False) == text


def test_turns_of_a_chat_are_decisive_only_with_a_question() -> None:
    assert not is_decisive("Ana: please come")
    assert is_decisive("Ana: can you come?")


@pytest.mark.parametrize("language", sentences.WHOLE)
def test_questions_and_requests_of_every_language_are_decisive(language: str) -> None:
    assert [s for s in sentences.WHOLE[language] + sentences.LOOKUP[language] if not is_decisive(s)] == []


def test_a_greek_question_above_the_last_is_no_line_of_code() -> None:
    text = "Πότε υπογράφηκε;\nΠοιος υπέγραψε;"
    assert _search(text, text) == text


def test_personal_paragraphs_are_short() -> None:
    assert is_personal("I tried it twice.")
    assert not is_personal("It was tried twice.")
    assert not is_personal("I tried it. " * 100)


def test_nothing_to_search_with() -> None:
    assert search_text("", (), loose=True) == ""
    assert search_text("\n\n", ((0, 2),), loose=True) == ""


@pytest.mark.parametrize(
    "pattern, rest", [(ASK_LABEL, ":"), (BOILERPLATE, " the text above:"), (BOILERPLATE, " on this text,")]
)
def test_no_label_is_passed_over_for_its_first_letters(pattern: re.Pattern[str], rest: str) -> None:
    words = {
        form
        for word in re.findall(r"[^\W\d_]+(?: [^\W\d_]+)*", pattern.pattern)
        for form in (word, word.title(), word.upper())
    }
    labels = [
        f"{before}{word}{rest}"
        for word in words
        for before in ("", "My ", "THE ", "Your ", "Final ", "User ", "## ", "**")
        if pattern.match(word + rest)
    ]
    assert labels
    assert [label for label in labels if pattern.match(label) and not LABEL_LINE.matches(label, 0)] == []


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("Where is the answer", True),
        ("where is it?", True),
        ("请告诉我保修期是多久。", True),
        ("return value from it is ignored, and execution proceeds", False),
        ("The bill came late.", False),
        ("", False),
    ],
)
def test_the_rest_of_a_sentence_asks_nothing_by_itself(text: str, asks: bool) -> None:
    assert asks_by_itself(text) is asks


def test_what_an_answer_offers_are_its_last_questions() -> None:
    text = "It is in office 4417. Is that all?\n\nHere it is. Shall I translate the whole document? Just say so."
    assert asking_end(text) == "Shall I translate the whole document? Just say so."
    assert asking_end("It is in office 4417.") == ""


@pytest.mark.parametrize("order", ["Make it twice as long.", "Now in French.", "continue", "Noch kürzer bitte", "继续"])
def test_short_orders_about_what_was_said_last(order: str) -> None:
    assert orders_more(order)


@pytest.mark.parametrize("other", ["python closing db connection", "Is it red now?", "The ferry of the Tanaka family"])
def test_key_words_and_questions_are_no_such_orders(other: str) -> None:
    assert not orders_more(other)
