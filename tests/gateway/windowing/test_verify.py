import json
from dataclasses import replace
from pydoc_data import topics
from typing import Any

import pytest

from gateway.windowing.counting import tally
from gateway.windowing.keep import Keeper
from gateway.windowing.protect import Plan, plan
from gateway.windowing.reading import read
from gateway.windowing.rewrite import Rewritten, rewrite
from gateway.windowing.types import Api
from gateway.windowing.verify import BrokenRequestError, verify
from retrieval.retriever import Retriever
from retrieval.selection import select
from retrieval.tokens import counter_for
from retrieval.types import Deadline

REFERENCE = "\n\n".join(text for _, text in sorted(topics.topics.items()))
CALL = {"id": "c", "type": "function", "function": {"name": "list_orders", "arguments": "{}"}}
MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Answer in one sentence."},
    {"role": "user", "content": REFERENCE[:20_000]},
    {"role": "assistant", "content": "I have read it, with the chapter on assignments."},
    {"role": "user", "content": "Load the orders."},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c", "content": json.dumps([{"id": n, "note": "word " * 40} for n in range(99)])},
    {"role": "assistant", "content": "Loaded."},
    {"role": "user", "content": "What does the with statement do with order 17?"},
]

ITEMS: list[dict[str, Any]] = [
    {"role": "developer", "content": "Answer in one sentence."},
    {"role": "user", "content": [{"type": "input_text", "text": REFERENCE[:20_000]}]},
    {"role": "assistant", "content": "I have read it."},
    {"role": "user", "content": "Load the orders."},
    {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"},
    {"type": "function_call", "call_id": "c", "name": "list_orders", "arguments": "{}"},
    {"type": "function_call", "call_id": "d", "name": "list_orders", "arguments": "[]"},
    {"type": "function_call", "call_id": "e", "name": "list_orders", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c", "output": MESSAGES[5]["content"]},
    {"type": "function_call_output", "call_id": "d", "output": "None."},
    {"type": "function_call_output", "call_id": "e", "output": "None."},
    {"type": "reasoning", "id": "rs_2", "summary": []},
    {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": "Loaded."}]},
    {"role": "user", "content": "What does the with statement do with order 17?"},
]


def rewritten(body: dict[str, Any], api: Api) -> tuple[Plan, Rewritten]:
    conversation = read(json.dumps(body, ensure_ascii=False).encode(), api)
    assert conversation is not None
    counter = counter_for("gpt-4o-mini")
    tokens = tally(conversation, counter, Deadline.after(10))
    planned = plan(conversation, tokens, 2000)
    assert planned is not None
    ranking = Retriever(None).rank(planned.documents, planned.query, counter, Deadline.after(60))
    keeper = Keeper(planned, ranking, tokens.fixed)
    kept = keeper.close(select(ranking, 2000))
    return planned, rewrite(planned, ranking.chunks, keeper.spans, kept)


@pytest.fixture(scope="module")
def made() -> tuple[Plan, Rewritten]:
    return rewritten({"model": "gpt-4o-mini", "messages": MESSAGES, "n": 1}, Api.CHAT)


@pytest.fixture(scope="module")
def responded() -> tuple[Plan, Rewritten]:
    return rewritten({"model": "gpt-4o-mini", "input": ITEMS, "instructions": "Be brief.", "n": 1}, Api.RESPONSES)


def test_what_rewriting_makes_is_accepted(made: tuple[Plan, Rewritten]) -> None:
    planned, new = made
    assert json.loads(verify(planned, new)) == json.loads(new.body)


@pytest.mark.parametrize(
    "old, new",
    [
        ('"n": 1', '"n": 2'),
        ('"gpt-4o-mini"', '"gpt-4o"'),
        ("Answer in one sentence.", "Answer in two sentences."),
        ("What does the with", "What did the with"),
        ('"tool_call_id": "c"', '"tool_call_id": "d"'),
        ('"arguments": "{}"', '"arguments": "[]"'),
        ('"role": "assistant", "content": "Loaded."', '"role": "user", "content": "Loaded."'),
        (' omitted \\u2026]\\"', " omitted \\u2026]"),
        ("word word word", "word, word word"),
        ('{"role": "assistant", "content": "Loaded."}, ', ""),
        ('"messages"', '"message"'),
        ('"content": "Loaded."', '"content": "Loaded.", "extra": 1'),
        ('"content": null', '"content": ""'),
    ],
)
def test_any_other_change_is_refused(made: tuple[Plan, Rewritten], old: str, new: str) -> None:
    planned, right = made
    assert old in right.body
    with pytest.raises((BrokenRequestError, ValueError)):
        verify(planned, replace(right, body=right.body.replace(old, new, 1)))


@pytest.mark.parametrize(
    "old, new",
    [
        ('"n": 1', '"n": 2'),
        ('"Be brief."', '"Be long."'),
        ("What does the with", "What did the with"),
        ('"gAAAA"', '"gAAAB"'),
        ('"call_id": "c"', '"call_id": "d"'),
        ('"arguments": "{}"', '"arguments": "[]"'),
        ('"output_text"', '"input_text"'),
        ('"type": "input_text", ', ""),
        ("word word word", "word, word word"),
        (' omitted \\u2026]\\"', " omitted \\u2026]"),
        ('{"type": "reasoning", "id": "rs_2", "summary": []}, ', ""),
        ('"id": "m", ', ""),
    ],
)
def test_nor_any_of_a_request_to_the_responses_api(responded: tuple[Plan, Rewritten], old: str, new: str) -> None:
    planned, right = responded
    assert json.loads(verify(planned, right)) == json.loads(right.body)
    assert old in right.body
    with pytest.raises((BrokenRequestError, ValueError)):
        verify(planned, replace(right, body=right.body.replace(old, new, 1)))


@pytest.mark.parametrize("gone", [{6, 9}, {9}, {10}, {5, 8}, {12}, {11}, {4}])
def test_what_leads_and_what_follows_stay_together(responded: tuple[Plan, Rewritten], gone: set[int]) -> None:
    planned, right = responded
    careless = replace(planned, pinned=planned.pinned - gone)  # as if planning had not seen what belongs together
    value = json.loads(right.body)
    kept = [(at, item) for at, item in zip(right.messages, value["input"], strict=True) if at not in gone]
    value["input"] = [item for _, item in kept]
    wrong = Rewritten(json.dumps(value, ensure_ascii=False), tuple(at for at, _ in kept), right.changed, right.removed)
    with pytest.raises(BrokenRequestError):
        verify(careless, wrong)


def test_a_missing_protected_message_is_refused(made: tuple[Plan, Rewritten]) -> None:
    planned, right = made
    value = json.loads(right.body)
    value["messages"] = value["messages"][1:]
    wrong = Rewritten(json.dumps(value, ensure_ascii=False), right.messages[1:], right.changed)
    with pytest.raises(BrokenRequestError):
        verify(planned, wrong)


def test_a_body_that_is_no_smaller_is_refused(made: tuple[Plan, Rewritten]) -> None:
    planned, right = made
    same = Rewritten(planned.conversation.text, tuple(range(len(MESSAGES))), ())
    with pytest.raises(BrokenRequestError, match="not smaller"):
        verify(planned, same)
    assert right.body != same.body
