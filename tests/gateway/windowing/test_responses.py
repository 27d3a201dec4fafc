"""Requests to the Responses API: how they are read, and what must hold of every window of one."""

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from gateway.windowing.conversation import Conversation, places
from gateway.windowing.counting import tally
from gateway.windowing.markers import pattern
from gateway.windowing.responses import read
from gateway.windowing.types import Api, Reason, WindowOutcome
from retrieval.tokens import counter_for
from retrieval.types import Deadline
from tests.gateway.windowing.items import IMAGE, REASONING, SEARCH, Item, call, output, said, user
from tests.gateway.windowing.windows import POLICY, QUESTION, REFERENCE, TINY, run, runs_of

RESPONSES = replace(POLICY, api=Api.RESPONSES)
SMALL = replace(TINY, api=Api.RESPONSES)


def conversation(given: Any, **fields: Any) -> Conversation:
    found = read(json.dumps({"model": "gpt-4o-mini", "input": given, **fields}).encode())
    assert found is not None
    return found


def windowed(given: Any, **fields: Any) -> WindowOutcome:
    return run({"model": "gpt-4o-mini", "input": given, **fields}, RESPONSES)


def forwarded(outcome: WindowOutcome) -> Any:
    assert outcome.reason is Reason.RELEVANCE, (outcome.reason, outcome.detail)
    assert outcome.body is not None
    return json.loads(outcome.body)["input"]


# How it is read


def test_a_text_is_a_message_of_the_users() -> None:
    found = conversation("é", instructions="Be brief.")
    (message,) = found.messages
    assert (message.role, [t.value for t in message.texts], message.understood) == ("user", ["é"], True)
    assert found.text[found.start : found.end] == '"\\u00e9"'
    assert [found.text[p.start : p.end] for p in places(found.text, message)[0]] == ['"\\u00e9"']
    assert (found.instructions, found.linked, found.api) == ("Be brief.", False, Api.RESPONSES)


def test_texts_of_parts_and_outputs_know_where_they_stand() -> None:
    parts = [{"type": "input_text", "text": "a"}, IMAGE, {"type": "input_text", "text": "b"}]
    found = conversation([user(parts), call("c"), output("c", "d"), call("e"), output("e", parts[:1])])
    at = [[found.text[p.start : p.end] for p in places(found.text, m)[0]] for m in found.messages]
    assert at == [['"a"', '"b"'], [], ['"d"'], [], ['"a"']]
    assert found.messages[0].attachments


def test_calls_and_what_answers_them() -> None:
    custom = {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": "*** Begin"}
    answer = {"type": "custom_tool_call_output", "call_id": "c2", "output": "Done."}
    found = conversation([call("c1", '{"q": 1}'), output("c1", "x"), custom, answer])
    head, result, patch, done = found.messages
    assert (head.calls[0].id, head.fixed, head.role, head.leads) == ("c1", ("read", '{"q": 1}'), "assistant", True)
    assert (result.role, result.answers) == ("tool", "c1")
    assert (patch.calls[0].arguments, done.answers) == ("*** Begin", "c2")
    assert all(m.understood for m in found.messages)


@pytest.mark.parametrize(
    "item",
    [
        {}, {"role": 5, "content": "x"}, {"role": "tool", "content": "x"}, user(5), user(None),
        user({"text": "x"}), user(["x"]), user([{"type": "input_text", "text": 7}]), user([{"text": "x"}]),
        {"type": 7, "role": "user", "content": "x"}, REASONING, SEARCH, {"type": "item_reference", "id": "msg_7"},
        {"type": "mcp_call", "id": "m", "name": "f", "arguments": "{}", "output": "x"}, call(""), output("", "x"),
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": {}}, output("c", {"type": "x"}),
        output("c", None), output("c", [{"stdout": "x"}]), call("c", caller={"type": "program", "caller_id": "p"}),
        output("c", "x", caller={"type": "program", "caller_id": "p"}),
        {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot"}},
    ],
)  # fmt: skip
def test_what_is_of_no_known_form_is_not_understood(item: Any) -> None:
    assert not conversation([item]).messages[0].understood


def test_a_text_with_anything_beside_it_is_not_editable() -> None:
    cited = {"type": "url_citation", "start_index": 0, "end_index": 3, "url": "https://example.org", "title": "x"}
    plain, citing = conversation([said("plain"), said("cited")]).messages
    assert (plain.texts[0].editable, citing.texts[0].editable) == (True, True)
    part = {"type": "output_text", "text": "cited", "annotations": [cited]}
    marked = {"type": "input_text", "text": "x", "cache_control": {"type": "ephemeral"}}
    cites, marks = conversation([said("", content=[part]), user([marked])]).messages
    assert (cites.texts[0].editable, marks.texts[0].editable, marks.cached) == (False, False, True)


@pytest.mark.parametrize(
    ("fields", "linked"),
    [({"previous_response_id": "r"}, True), ({"conversation": {"id": "c"}}, True), ({"conversation": None}, False)],
)
def test_what_the_upstream_holds_itself(fields: Item, linked: bool) -> None:
    assert conversation("x", **fields).linked is linked


@pytest.mark.parametrize(
    "body",
    [b"{}", b"[]", b"7", b'{"input": {}}', b'{"input": []}', b'{"input": null}', b'{"input": 7}',
     b'{"input": [7]}', b'{"input": ["x", {"role": "user", "content": "x"}]}',
     b'{"messages": [{"role": "user", "content": "x"}]}', b'{"input": "x", "prompt": {"id": "p"}}'],
)  # fmt: skip
def test_no_conversation(body: bytes) -> None:
    assert read(body) is None


@pytest.mark.parametrize("body", [b"", b"{", b'{"input": [}', b'"\xff"', "{}".encode("utf-16")])
def test_no_json(body: bytes) -> None:
    with pytest.raises(ValueError):
        read(body)


def test_all_that_a_model_reads_is_counted() -> None:
    def total(given: Any, **fields: Any) -> int:
        return tally(conversation(given, **fields), counter_for("gpt-4o-mini"), Deadline.after(5)).total

    words = "word " * 100
    assert total("word") == 8
    assert total("word", instructions=words) > 104
    assert total("word", tools=[{"type": "function", "name": "f", "description": words}]) > 104
    assert total([user("word"), call("c", words), output("c", words)]) > 208
    mcp = {"type": "mcp_call", "id": "m", "name": "f", "arguments": words, "output": words}
    assert total([user("word"), mcp]) > 208
    assert total([user("word"), REASONING]) < 20  # what is encrypted can't be counted
    assert total([user([IMAGE, {"type": "input_text", "text": "word"}])]) < 20


# What windows are made of them


def test_a_text_of_document_and_question() -> None:
    text = f"{REFERENCE[:60_000]}\n\nQuestion: {QUESTION}"
    outcome = windowed(text, instructions="Answer from the document alone.")
    new = forwarded(outcome)
    assert new.endswith(f"Question: {QUESTION}")
    assert pattern.search(new)
    assert all(line in text for line in runs_of(new))
    assert outcome.tokens_forwarded is not None
    assert outcome.tokens_forwarded < 1.5 * POLICY.window_tokens + 200


def test_everything_outside_the_texts_stays_as_it_is_written() -> None:
    content = json.dumps(f"{REFERENCE[:40_000]}\n\nQuestion: {QUESTION}")
    head = '{ "temperature" : 0.70, "input":"x",\n "input" : [ {"role" :"user", "x":NaN, "content"  : '
    tail = ' , "big": 123456789012345678901234567890 } ] ,"model":"m\\u00e9\\/", "seed": 1.0 }\n'
    outcome = run((head + content + tail).encode(), RESPONSES)
    assert outcome.body is not None
    assert outcome.body.startswith(head.encode())
    assert outcome.body.endswith(tail.encode())


def steps(count: int, size: int, *before: Item) -> list[Item]:
    """An agent's steps: calls of one tool after the other, with these items before each."""
    found: list[Item] = []
    for n in range(count):
        text = REFERENCE[n * size : n * size + size]
        found += [*before, call(f"c{n}", f'{{"page": {n}}}', id=f"fc_{n}"), output(f"c{n}", text)]
    return found


def test_an_agents_steps_go_and_its_latest_stays_whole() -> None:
    made = steps(30, 2000)
    items = forwarded(windowed([user(QUESTION), *made]))
    assert items[0]["content"].startswith(QUESTION)
    assert items[-2:] == made[-2:]
    assert len(items) < len(made)


def test_of_steps_that_reasoning_led_to_the_outputs_are_trimmed() -> None:
    made = steps(30, 4000, REASONING)
    outcome = windowed([user(QUESTION), *made])
    items = forwarded(outcome)
    assert [i.get("type") for i in items] == [i.get("type") for i in [user(QUESTION), *made]]
    assert [i for i in items if i.get("type") != "function_call_output"][1:] == [
        i for i in made if i["type"] != "function_call_output"
    ]
    assert outcome.tokens_original is not None
    assert outcome.tokens_forwarded is not None
    assert outcome.tokens_forwarded < outcome.tokens_original / 2
    # What has to stay is beside the window, not instead of what the question needs.
    bare = windowed([user(QUESTION), *steps(30, 4000)])
    assert outcome.tokens_forwarded > (bare.tokens_forwarded or 0)


def test_calls_at_once_stay_with_their_outputs() -> None:
    groups: list[Item] = []
    for n in range(12):
        names = [f"{n}{letter}" for letter in "abc"]
        groups += [call(name) for name in names]
        groups += [output(name, REFERENCE[n * 4000 : n * 4000 + 1300]) for name in reversed(names)]
    items = forwarded(windowed([user(QUESTION), *groups]))
    kept = Counter(i["call_id"] for i in items if "call_id" in i)
    assert set(kept.values()) == {2}
    assert {name[:-1] for name in kept} < {str(n) for n in range(12)}
    assert all({f"{n}{letter}" for letter in "abc"} <= kept.keys() for n in {name[:-1] for name in kept})


def test_json_outputs_lose_whole_records() -> None:
    records = [
        {"order_id": f"#W{n:04}", "status": "sent", "items": [f"Item {n} {i}" for i in range(12)]} for n in range(300)
    ]
    given = [user("Load the orders."), call("c"), output("c", json.dumps(records)), said("Loaded.")]
    items = forwarded(windowed([*given, user("What is in order #W0123?")]))
    result = json.loads(items[2]["output"])
    assert records[123] in result
    assert all(r in records or pattern.fullmatch(r) for r in result)


def test_with_turns_that_the_upstream_holds_only_a_question_that_is_here_makes_a_window() -> None:
    linked = {"previous_response_id": "resp_1"}
    only_text = windowed([user(REFERENCE[:40_000])], **linked)
    assert (only_text.reason, only_text.body) == (Reason.NOT_TEXT, None)
    only_outputs = windowed([output("c", REFERENCE[:40_000])], **linked)
    assert (only_outputs.reason, only_outputs.body) == (Reason.NOT_TEXT, None)
    asked = windowed([user(f"{REFERENCE[:40_000]}\n\n{QUESTION}")], **linked)
    assert forwarded(asked)[0]["content"].endswith(QUESTION)
    # An output whose call is the upstream's stays as it is.
    both = windowed([output("c", REFERENCE[:9000]), user(f"{REFERENCE[9000:60_000]}\n\n{QUESTION}")], **linked)
    assert forwarded(both)[0] == output("c", REFERENCE[:9000])


@pytest.mark.parametrize(
    "body",
    [
        b"x" * 9000,
        b"[" * 9000,
        b'{"input":' + b"[" * 9000,
        b'{"input": [' + b"{}," * 3000 + b"{}]}",
        b'{"input": [' + b'"a",' * 3000 + b'"b"]}',
        b'{"input": [' + b"[]," * 3000 + b"1]}",
        json.dumps({"input": {"a": "x" * 9000}}).encode(),
        json.dumps({"input": [], "x": "x" * 9000}).encode(),
        json.dumps({"messages": [user("word " * 9000)]}).encode(),
        json.dumps({"input": "word " * 9000, "prompt": {"id": "pmpt_1"}}).encode(),
        json.dumps({"input": [said(REFERENCE[:40_000])]}).encode(),
        json.dumps({"input": "x" * 9000}).encode("utf-16"),
    ],
)
def test_what_is_no_conversation_is_not_text(body: bytes) -> None:
    outcome = run(body, RESPONSES)
    assert (outcome.reason, outcome.body) == (Reason.NOT_TEXT, None)


def test_a_summary_is_left_whole() -> None:
    assert windowed(f"Summarise this:\n\n{REFERENCE[:40_000]}").reason is Reason.WHOLE_DOCUMENT
    instructed = windowed(REFERENCE[:60_000], instructions="Summarise in five sentences what the user sends.")
    assert instructed.reason is Reason.WHOLE_DOCUMENT
    assert windowed(REFERENCE[:60_000]).reason is Reason.WHOLE_DOCUMENT  # nobody asks anything
    assert windowed(f"{REFERENCE[:60_000]}\n\n{QUESTION}").reason is Reason.RELEVANCE
