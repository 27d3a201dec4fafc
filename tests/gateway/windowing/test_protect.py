import json
from pydoc_data import topics
from typing import Any

import pytest

from gateway.windowing.conversation import read
from gateway.windowing.counting import tally
from gateway.windowing.protect import Plan, plan
from retrieval.tokens import counter_for
from retrieval.types import Deadline

REFERENCE = "\n\n".join(text for _, text in sorted(topics.topics.items()))
QUESTION = {"role": "user", "content": "What does the with statement do?"}
LONG = {"role": "user", "content": REFERENCE[:20_000]}
READ = {"role": "assistant", "content": "Read."}
CALL = {"id": "c", "type": "function", "function": {"name": "read_page", "arguments": '{"page": 7}'}}
STEP = {"role": "assistant", "content": None, "tool_calls": [CALL]}


def result(text: str, identifier: str = "c") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identifier, "content": text}


def planned(*messages: dict[str, Any]) -> Plan:
    conversation = read(json.dumps({"model": "gpt-4o-mini", "messages": messages}).encode())
    assert conversation is not None
    found = plan(conversation, tally(conversation, counter_for("gpt-4o-mini"), Deadline.after(10)), 2000)
    assert found is not None
    return found


def trimmable(*messages: dict[str, Any]) -> list[int]:
    return [r.text.message for r in planned(*messages).regions]


def test_the_question_and_the_message_before_it_are_protected() -> None:
    assert trimmable(LONG, READ, LONG, {"role": "assistant", "content": "x" * 2000}, QUESTION) == [0, 1, 2]


def test_a_long_message_before_the_question_is_not_protected_by_being_recent() -> None:
    assert trimmable(LONG, {"role": "assistant", "content": REFERENCE[:3000]}, QUESTION) == [0, 1]


def test_the_last_turns_are_protected_up_to_a_size() -> None:
    short = [{"role": r, "content": f"{r} says a little"} for r in ("user", "assistant")]
    assert trimmable(LONG, READ, *short, *short, QUESTION) == [0]


def test_a_pasted_document_in_the_question_is_trimmable_and_its_question_is_not() -> None:
    text = f"{REFERENCE[:20_000]}\n\nQuestion: What does the with statement do?"
    found = planned({"role": "user", "content": text})
    assert found.query.text == "What does the with statement do?"
    assert all(r.end <= text.rindex("Question:") for r in found.regions)


def test_an_earlier_document_is_the_text_that_it_was_when_it_was_asked_about() -> None:
    asked = {"role": "user", "content": f"{REFERENCE[:20_000]}\n\nWhat does the with statement do?"}
    first, then = planned(asked), planned(asked, READ, {"role": "user", "content": "And what does del do?"})
    assert [d.text for d in then.documents] == [d.text for d in first.documents]
    assert not any("What does the with statement do?" in r.value for r in then.regions)


def test_an_earlier_document_that_only_seems_to_ask_a_lot_may_be_trimmed_as_a_whole() -> None:
    asks = "\n".join(f"{n}. Please explain to me in detail what line {n} of the file does." for n in range(60))
    then = planned({"role": "user", "content": f"{REFERENCE[:20_000]}\n\n{asks}"}, READ, QUESTION)
    assert any("line 59 of the file" in r.value for r in then.regions)


def test_parts_of_the_question_are_told_apart() -> None:
    parts = [{"type": "text", "text": REFERENCE[:20_000]}, {"type": "text", "text": "What does the with statement do?"}]
    found = planned(LONG, READ, {"role": "user", "content": parts})
    assert found.query.text == "What does the with statement do?"
    assert {r.text.value for r in found.regions if r.text.message == 2} == {REFERENCE[:20_000]}


def test_reference_material_in_a_system_message_is_trimmable_between_its_ends() -> None:
    text = f"Answer from the following material only.\n\n# Manual\n\n{REFERENCE[:20_000]}"
    found = planned({"role": "system", "content": text}, QUESTION)
    assert {r.text.message for r in found.regions} == {0}
    assert found.regions[0].start >= len("Answer from the following material only.")
    assert 0 in found.pinned
    assert found.instructions.startswith("Answer from the following material only.")
    assert len(found.instructions) < 1000


def test_instructions_are_not_trimmable() -> None:
    rules = "\n".join(f"- You must always follow rule {n}, and never do anything else." for n in range(300))
    assert trimmable({"role": "developer", "content": rules}, LONG, READ, QUESTION) == [1]


def test_unpaired_calls_and_what_is_not_understood_are_left_as_they_are() -> None:
    strange = {"role": "robot", "content": REFERENCE[:5000]}
    found = planned(LONG, STEP, result(REFERENCE[:5000], "other"), strange, LONG, READ, LONG, READ, QUESTION)
    assert [r.text.message for r in found.regions] == [0, 4, 5, 6]
    assert {1, 2, 3} <= found.pinned


def test_all_before_a_cache_mark_is_left_as_it_is() -> None:
    marked = {"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]}
    found = planned(LONG, READ, marked, READ, LONG, READ, QUESTION)
    assert [r.text.message for r in found.regions] == [3, 4]
    assert {0, 1, 2} <= found.pinned


def test_an_agents_latest_step_stays_whole_unless_it_is_huge() -> None:
    assert trimmable(QUESTION, STEP, result(REFERENCE[:20_000]), STEP, result(REFERENCE[:5000])) == [2]
    huge = planned(QUESTION, STEP, result(REFERENCE[:20_000]), STEP, result(REFERENCE[:50_000]))
    assert [r.text.message for r in huge.regions] == [2, 4]
    assert {3, 4} <= huge.pinned


def test_an_agents_last_steps_stay_at_the_windows_expense() -> None:
    steps = [m for n in range(8) for m in (STEP, result(REFERENCE[n * 2000 : n * 2000 + 2000]))]
    found = planned(LONG, READ, *steps, READ, QUESTION)
    whole = set(range(len(steps) + 4)) - {r.text.message for r in found.regions}
    assert {r.text.message for r in found.regions if r.text.message > 1} == set(range(3, 3 + 2 * (8 - 4), 2))
    assert len(whole) > 8
    assert 500 <= found.window_tokens < 2000
    assert planned(LONG, READ, LONG, READ, QUESTION).window_tokens == 2000


def test_json_results_come_as_atoms_and_are_named_after_their_call() -> None:
    records = json.dumps([{"id": n, "text": "word " * 30} for n in range(50)])
    found = planned(QUESTION, STEP, result(records), READ, LONG, READ, QUESTION)
    document = next(d for d in found.documents if d.role == "tool")
    assert document.atoms is not None
    assert len(document.atoms) == 50
    assert document.name == 'read_page {"page": 7}'


def test_the_last_things_said_are_told_latest_last() -> None:
    found = planned(LONG, {"role": "assistant", "content": "first"}, {"role": "user", "content": "second"}, QUESTION)
    assert found.query.recent[-2:] == ("first", "second")


def test_without_a_question_there_is_no_plan() -> None:
    conversation = read(json.dumps({"messages": [READ, {"role": "user", "content": " "}]}).encode())
    assert conversation is not None
    assert plan(conversation, tally(conversation, counter_for(""), Deadline.after(10)), 2000) is None


def test_a_question_in_a_pasted_document_is_searched_for_where_what_stands_beside_it_is_none() -> None:
    def searched(document: str, beside: str) -> str:
        parts = [{"type": "text", "text": text} for text in (document, beside)]
        return planned({"role": "user", "content": parts}).query.text

    asking = f"{REFERENCE[:20_000]}\n\nQuestion: What does yield do?"
    assert searched(asking, "Answer in Finnish.") == "What does yield do?\nAnswer in Finnish."
    assert searched(asking, "What does the with statement do?") == "What does the with statement do?"
    assert searched(REFERENCE[:20_000], "Explain yield.") == "Explain yield."


@pytest.mark.parametrize(
    ("said", "holds"),
    [
        ("From now on always answer in exactly three bullet points.", True),
        ("Please never mention prices in your replies.", True),
        ("Antworte ab jetzt auf Englisch.", True),
        ("从现在开始用英文回答。", True),
        ("What does the with statement do?", False),
        ("We always had fish on Fridays.", False),
        ("From now on answer in French. " + "I have a long story to tell. " * 30, False),
    ],
)
def test_what_a_user_ordered_for_all_that_follows_stays(said: str, holds: bool) -> None:
    talk = [m for n in range(20) for m in ({"role": "user", "content": f"Tale {n}. " + REFERENCE[:900]}, READ)]
    order = {"role": "user", "content": said}
    assert (0 in planned(order, READ, *talk, QUESTION).pinned) is holds


def test_only_the_latest_of_many_orders_stay() -> None:
    orders = [{"role": "user", "content": f"From now on call me {n}. " + "Please. " * 50} for n in range(20)]
    pinned = planned(*(m for order in orders for m in (order, READ)), LONG, READ, QUESTION).pinned
    assert {32, 34, 36} <= pinned
    assert pinned.isdisjoint(range(31))
