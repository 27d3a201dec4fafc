"""Requests to the Responses API: how they are read, and what must hold of every window of one."""

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from gateway.windowing.conversation import Conversation, places
from gateway.windowing.counting import tally
from gateway.windowing.markers import pattern
from gateway.windowing.responses import read
from gateway.windowing.types import Api, Reason, WindowOutcome, WindowPolicy
from retrieval.tokens import counter_for
from retrieval.types import Deadline
from tests.gateway.windowing.test_window_properties import JUNK, parses, prose, result_text
from tests.gateway.windowing.windows import POLICY, QUESTION, REFERENCE, TINY, run, runs_of

RESPONSES = replace(POLICY, api=Api.RESPONSES)
SMALL = replace(TINY, api=Api.RESPONSES)
REASONING = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAAB" * 40}
SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "x"}}
IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto"}
Item = dict[str, Any]


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


def user(content: Any) -> Item:
    return {"role": "user", "content": content}


def said(text: str, **fields: Any) -> Item:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part], **fields}


def call(identifier: str, arguments: str = "{}", **fields: Any) -> Item:
    return {"type": "function_call", "call_id": identifier, "name": "read", "arguments": arguments, **fields}


def output(identifier: str, held: Any, **fields: Any) -> Item:
    return {"type": "function_call_output", "call_id": identifier, "output": held, **fields}


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
    assert windowed(REFERENCE[:60_000]).reason is Reason.RELEVANCE


# Any request


@st.composite
def contents(draw: st.DrawFn, kind: str) -> Any:
    if draw(st.integers(0, 2)):
        return draw(prose())
    extra: Item = draw(st.sampled_from([{}, {"annotations": []}, {"annotations": [], "logprobs": []}, {"x": 1}]))
    parts: list[Any] = [{"type": kind, "text": t, **extra} for t in draw(st.lists(prose(), max_size=3))]
    return [*parts, *([IMAGE] if draw(st.integers(0, 5)) == 0 else [])]


@st.composite
def groups(draw: st.DrawFn) -> list[Item]:
    names = draw(st.lists(st.sampled_from(["a", "b", "a1"]), min_size=1, max_size=3))
    made: list[Item] = [REASONING] if draw(st.integers(0, 2)) == 0 else []
    for number, name in enumerate(names):
        between = draw(st.sampled_from([[], [], [], [said("Let me see.")], [SEARCH]]))
        made += [call(name, draw(prose(8))), *(between if number + 1 < len(names) else [])]
    held = [draw(result_text()) if draw(st.integers(0, 3)) else draw(contents("input_text")) for _ in names]
    return made + [output(name, h) for name, h in zip(draw(st.permutations(names)), held, strict=True)]


@st.composite
def inputs(draw: st.DrawFn) -> Any:
    asked = draw(prose(40)) + "\n\nWhich context manager raises the exception?"
    if draw(st.integers(0, 7)) == 0:
        return f"{draw(prose(2000))}\n\n{asked}"
    items: list[Item] = []
    for _ in range(draw(st.integers(0, 12))):
        kind = draw(st.integers(0, 10))
        if kind <= 3:
            items.append(user(draw(contents("input_text"))))
        elif kind <= 5:
            led = [REASONING] if draw(st.integers(0, 3)) == 0 else []
            items += [*led, {"role": "assistant", "content": draw(contents("output_text"))}]
        elif kind <= 8:
            items += draw(groups())
        else:
            odd = [SEARCH, REASONING, {"type": "item_reference", "id": "x"}, output("z", "lost"), call("y")]
            items.append(draw(st.sampled_from([*odd, {"role": "developer", "content": "Be brief."}])))
    items.append(user(asked))
    return items + (draw(groups()) if draw(st.integers(0, 4)) == 0 else [])


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, str, str]:
    """A request in any style of JSON: what stands before its input, the input, what stands after it."""
    text = json.dumps(
        draw(inputs()),
        indent=draw(st.sampled_from([None, 2])),
        separators=draw(st.sampled_from([None, (" , ", " : ")])),
        ensure_ascii=draw(st.booleans()),
    )
    head = draw(
        st.sampled_from(['{"input": ', '\n{ "instructions":"Be \\u0062rief.", "input" : ', '{"input":7,"input":'])
    )
    return head, text, draw(st.sampled_from(["}", ' , "seed" : 1e999, "model":"gpt-4o-mini", "n":1.50 }\n']))


def skeleton(item: Any) -> Any:
    """The item without its texts."""
    name = "output" if item.get("type") == "function_call_output" else "content"
    held = item.get(name)
    parts = [{**p, "text": ""} for p in held if p["type"] == "input_image"] if isinstance(held, list) else ""
    return {**item, name: parts} if name in item else item


def texts_of(item: Any) -> list[str]:
    held = item.get("content") or item.get("output") or ""
    return [held] if isinstance(held, str) else [p["text"] for p in held if "text" in p]


def could_be(old: Any, new: Any) -> bool:
    if skeleton(old) != skeleton(new) or any(map(str.strip, texts_of(old))) != any(map(str.strip, texts_of(new))):
        return False
    rest = iter(texts_of(old))
    return all(any(all(line in before for line in runs_of(after)) for before in rest) for after in texts_of(new))


def pairs_of(items: list[Any]) -> Counter[tuple[str, str]]:
    return Counter((i["type"], i["call_id"]) for i in items if "call_id" in i)


def is_odd(item: Any) -> bool:
    return item.get("type") in ("reasoning", "web_search_call", "item_reference")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(bodies())
def test_any_request(body: tuple[str, str, str]) -> None:
    head, given, tail = body
    outcome = run("".join(body).encode("utf-8", "surrogatepass"), SMALL)
    event(outcome.reason)
    assert outcome.reason in (Reason.RELEVANCE, Reason.NOTHING_TO_TRIM, Reason.SMALL, Reason.WHOLE_DOCUMENT), (
        outcome.detail
    )
    assert (outcome.body is not None) == (outcome.reason is Reason.RELEVANCE)
    if outcome.body is None:
        return
    text = outcome.body.decode("utf-8", "surrogatepass")
    assert text.startswith(head)
    assert text.endswith(tail)
    old, new = json.loads(given), json.loads(text[len(head) : -len(tail)])
    if isinstance(old, str):
        assert all(line in old for line in runs_of(new))
        assert new.endswith("Which context manager raises the exception?")
        return
    assert_less(old, new)


def assert_less(old: list[Any], new: list[Any]) -> None:
    """Assert that the new items are the old ones with whole items and parts of texts left out, rightly."""
    rest = iter(enumerate(old))
    sources = [next(i for i, o in rest if could_be(o, n)) for n in new]
    assert [i for i in old if is_odd(i)] == [i for i in new if is_odd(i)]
    gone = pairs_of(old) - pairs_of(new)
    assert {(kind, name): n for (kind, name), n in gone.items() if kind == "function_call"} == {
        ("function_call", name): n for (kind, name), n in gone.items() if kind == "function_call_output"
    }
    for at, source in zip(range(len(new) - 1), sources, strict=False):
        follower = old[source + 1]
        if is_odd(old[source]) and follower.get("type") in ("function_call", "message"):
            assert could_be(follower, new[at + 1])
    for source, item in zip(sources, new, strict=True):
        if "output" in item and all(map(parses, texts_of(old[source]))):
            assert all(map(parses, texts_of(item)))
    question = max(i for i, item in enumerate(old) if item.get("role") == "user")
    asked = next(item for i, item in zip(sources, new, strict=True) if i == question)
    assert old[question]["content"] in asked["content"]
    assert all(item in new for item in old if item.get("role") == "developer")


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["input", "model", "tools", "instructions", "conversation", "prompt"]), JUNK),
    JUNK,
    st.booleans(),
)
def test_wrong_types_everywhere(body: Item, held: Any, ask: bool) -> None:
    last = [user("word " * 300 + QUESTION)] if ask and isinstance(held, list) else []
    kinds = ["message", "reasoning", "function_call", "function_call_output"]
    items = [{**i, "type": kinds[n % 4]} if isinstance(i, dict) else i for n, i in enumerate(held)] if last else held
    body["input"] = [*items, *last] if isinstance(items, list) else items
    outcome = run(body, WindowPolicy(10, 10, 1000, api=Api.RESPONSES))
    assert outcome.reason is not Reason.ERROR, outcome.detail
    assert (outcome.body is not None) == (outcome.reason is Reason.RELEVANCE)


@settings(max_examples=50, deadline=None)
@given(st.binary(min_size=11, max_size=200))
def test_any_bytes(body: bytes) -> None:
    policy = WindowPolicy(10, 10, 1000, api=Api.RESPONSES)
    assert run(body, policy).reason in (Reason.NOT_TEXT, Reason.SMALL)
