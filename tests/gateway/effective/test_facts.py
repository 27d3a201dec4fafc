from itertools import islice
from pathlib import Path

import pytest

from gateway.effective.facts import Fact, FactsError, in_turns, is_right, made_up, read


def test_the_same_facts_come_each_time_and_no_two_are_of_the_same_name() -> None:
    first, again = (list(islice(made_up(1), 60)) for _ in range(2))
    assert first == again
    questions = [fact.question for fact, _ in first]
    assert len(set(questions)) == 60
    assert [fact for fact, _ in islice(made_up(2), 60)] != [fact for fact, _ in first]


def test_a_fact_answers_its_question_and_those_beside_it_do_not() -> None:
    for fact, others in islice(made_up(1), 40):
        assert is_right(fact, fact.passage)
        assert len(others) == 3
        assert all(other.question != fact.question for other in others)
        assert not any(name in other.passage for other in others for name in set(_names(fact)))


def _names(fact: Fact) -> list[str]:
    """Return the capitalised words that question and passage share: the name that both are about."""
    words = {word.strip("?.,") for word in fact.question.split()[1:]}
    return [word for word in (w.strip("?.,") for w in fact.passage.split()[1:]) if word in words and word[0].isupper()]


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ("1250", True),
        ("It is 1,250 tonnes.", True),
        ("**1250**", True),
        ("12500", False),
        ("1", False),
        ("", False),
    ],
)
def test_a_reply_is_right_that_has_the_answer_as_a_word(reply: str, right: bool) -> None:
    assert is_right(Fact("The bridge carries 1250 tonnes.", "How much?", ("1250",)), reply) is right


def test_all_the_answers_must_be_in_the_reply_in_whatever_case() -> None:
    fact = Fact("Anna and Bert", "Who?", ("Anna", "Bert  Meier"))
    assert is_right(fact, "bert meier and ANNA")
    assert not is_right(fact, "Anna and Bert")


def test_own_facts_are_read_a_line_each(tmp_path: Path) -> None:
    file = tmp_path / "facts.jsonl"
    file.write_text(
        '{"passage": "A is 1.", "question": "What is A?", "answers": "1"}\n\n'
        '{"passage": "B is 2 and 3.", "question": "What is B?", "answers": ["2", "3"]}\n'
    )
    facts = read(file)
    assert [fact.answers for fact in facts] == [("1",), ("2", "3")]
    first, second, third = islice(in_turns(facts), 3)
    assert (first, second) == ((facts[0], (facts[1], facts[1])), (facts[1], (facts[0], facts[0])))
    assert third == first


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there is nothing in it"),
        ("{", ":1: Input data was truncated"),
        ('{"passage": "A", "question": "B"}', "missing required field `answers`"),
        ('{"passage": "A", "question": "B", "answers": []}', "need a text each"),
        ('{"passage": "A", "question": " ", "answers": "C"}', "need a text each"),
    ],
)
def test_what_is_wrong_with_them_is_said_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "facts.jsonl"
    file.write_text(text)
    with pytest.raises(FactsError) as error:
        read(file)
    assert str(file) in str(error.value)
    assert said in str(error.value)


def test_a_file_that_is_not_there_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(FactsError, match="No such file"):
        read(tmp_path / "none")
