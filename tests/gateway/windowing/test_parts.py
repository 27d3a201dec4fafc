import json
from typing import Any

from gateway.windowing.conversation import Conversation, read
from gateway.windowing.counting import tally
from gateway.windowing.parts import Values, merged
from gateway.windowing.protect import Plan, plan
from retrieval.tokens import counter_for
from retrieval.types import Deadline

# Protected as the message before the question, and so large that none before it is.
LATEST = {"role": "assistant", "content": "Verstanden 文字 " * 140}
QUESTION = {"role": "user", "content": "What does the with statement do?"}
GONE = "[… 40 lines omitted …]"
TEXT = "\n".join(f"Line {n} of this part." for n in range(40))
CALL = {"id": "c", "type": "function", "function": {"name": "find", "arguments": "{}"}}


def part(text: str = TEXT, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": text, **fields}


def planned(*messages: dict[str, Any]) -> Plan:
    conversation = read(json.dumps({"messages": messages}).encode())
    assert isinstance(conversation, Conversation)
    found = plan(conversation, tally(conversation, counter_for(""), Deadline.after(10)), 0)
    assert found is not None
    return found


def merge(found: Plan, message: int, *shown: str) -> tuple[list[str], list[int]]:
    """Return the texts that stay of a message whose texts are to be shown so, and the places of those that go."""
    texts = found.conversation.messages[message].texts
    values: Values = {t.key: (t, value) for t, value in zip(texts, shown, strict=True)}
    kept, removed = merged(found, values)
    return [value for _, value in kept.values()], sorted(place for _, place in removed)


def test_texts_that_go_are_announced_once_in_the_text_before_them() -> None:
    found = planned({"role": "user", "content": [part(), part(), part()]}, LATEST, QUESTION)
    assert merge(found, 0, TEXT, GONE, GONE) == ([TEXT + "\n[… 80 lines omitted …]"], [1, 2])


def test_texts_that_go_at_the_beginning_are_announced_in_the_text_after_them() -> None:
    found = planned({"role": "user", "content": [part(), part(), part()]}, LATEST, QUESTION)
    assert merge(found, 0, GONE, GONE, TEXT) == (["[… 80 lines omitted …]\n" + TEXT], [0, 1])


def test_a_message_of_one_text_keeps_it() -> None:
    found = planned({"role": "user", "content": [part()]}, LATEST, QUESTION)
    assert merge(found, 0, GONE) == ([GONE], [])


def test_a_json_result_carries_no_marker_and_stays_where_nothing_else_can() -> None:
    records = json.dumps([{"id": n, "text": "word " * 30} for n in range(30)])
    content = [part(records), part(records), part()]
    step: list[dict[str, Any]] = [
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c", "content": content},
    ]
    found = planned(QUESTION, *step, LATEST, QUESTION)
    assert merge(found, 2, "", records, GONE) == ([records, records, GONE], [])
    kept, removed = merge(found, 2, records, "", TEXT)
    assert removed == [1]
    assert kept[0] == records
    assert kept[1].endswith(" omitted …]\n" + TEXT)


def test_the_questions_own_text_carries_the_marker_of_the_parts_before_it() -> None:
    content = [part("Sentence. " * 1000), part(QUESTION["content"])]
    found = planned({"role": "user", "content": content})
    first, second = found.conversation.messages[0].texts
    kept, removed = merged(found, {first.key: (first, GONE)})
    assert removed == {first.key}
    assert [v for _, v in kept.values()] == ["[… 1000 words omitted …]\n" + QUESTION["content"]]
    assert second.key in kept
