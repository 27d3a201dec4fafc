from hypothesis import given
from hypothesis import strategies as st

from demo.quoting import NOTHING, question_of, quotation

DOCUMENT = """The harbour opens at six. Ships wait outside until then.

The keeper of the lighthouse is called Amália. She
has kept it for thirty years.

[… 12 lines omitted …]

Bread is sold at the market."""


def user(content: object) -> dict[str, object]:
    return {"role": "user", "content": content}


def test_the_passage_that_matches_is_quoted_word_for_word() -> None:
    messages = [user(f"{DOCUMENT}\n\nWho is the keeper of the lighthouse?")]
    assert quotation(messages) == "The keeper of the lighthouse is called Amália. She has kept it for thirty years."


def test_the_question_may_come_first() -> None:
    messages = [user(f"When does the harbour open?\n\n{DOCUMENT}")]
    assert question_of(messages) == "When does the harbour open?"
    assert quotation(messages).startswith("The harbour opens at six.")


def test_other_messages_and_parts_are_looked_through() -> None:
    system = {"role": "system", "content": DOCUMENT}
    assert (
        quotation([system, user([{"type": "text", "text": "What is sold at the market?"}])])
        == "Bread is sold at the market."
    )


def test_what_precedes_a_passage_helps_to_choose_it() -> None:
    text = "The red door.\n\nIt opens to the left.\n\nThe blue door.\n\nIt opens to the right."
    assert quotation([user(f"{text}\n\nHow does the blue door open?")]) in {"The blue door.", "It opens to the right."}


def test_nothing_to_quote() -> None:
    assert quotation([user("Is 17 a prime number?")]) == NOTHING
    assert quotation([]) == NOTHING


@given(st.lists(st.text(max_size=60), max_size=4))
def test_what_is_quoted_stands_in_the_prompt(texts: list[str]) -> None:
    messages = [user(text) for text in texts]
    found = quotation(messages)
    assert found == NOTHING or any(found in " ".join(text.split()) for text in texts)
