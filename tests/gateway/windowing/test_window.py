"""What must hold of every window, whatever the conversation: read from outside, body in and body out."""

import json
import random
import re
from collections import Counter
from pydoc_data import topics
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from gateway.windowing.markers import pattern
from gateway.windowing.measuring import MAX_BYTES
from gateway.windowing.types import Reason, WindowOutcome, WindowPolicy
from gateway.windowing.window import window
from retrieval.retriever import Retriever
from retrieval.types import Counter as TokenCounter
from retrieval.types import Deadline, Document, Query, Ranking

RETRIEVER = Retriever(None)
POLICY = WindowPolicy(trigger_tokens=4000, window_tokens=2000, deadline_ms=60_000)
TINY = WindowPolicy(trigger_tokens=300, window_tokens=150, deadline_ms=60_000)
REFERENCE = "\n\n".join(text for _, text in sorted(topics.topics.items()))
QUESTION = "What does the with statement do when an exception is raised in its suite?"


def run(body: Any, policy: WindowPolicy = POLICY, explain: bool = False, **style: Any) -> WindowOutcome:
    data = body if isinstance(body, bytes) else json.dumps(body, **style).encode("utf-8", "surrogatepass")
    return window(data, policy, RETRIEVER, Deadline.after(60), explain)


def request(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"model": "gpt-4o-mini", "messages": list(messages), **fields}


def forwarded(outcome: WindowOutcome) -> list[dict[str, Any]]:
    assert outcome.reason is Reason.RELEVANCE, (outcome.reason, outcome.detail)
    assert outcome.body is not None
    found = json.loads(outcome.body)["messages"]
    assert isinstance(found, list)
    return found


def texts_of(message: dict[str, Any]) -> list[str]:
    content = message.get("content")
    if isinstance(content, str):
        return [content]
    return [part["text"] for part in content or [] if part.get("type") == "text"]


def runs_of(text: str) -> list[str]:
    """The lines of a text without its markers: each must stand in the original."""
    lines = [line.strip() for piece in pattern.split(text) for line in piece.splitlines()]
    return [line for line in lines if len(line) >= 20]


# Shapes


def test_document_then_question() -> None:
    outcome = run(request({"role": "user", "content": f"{REFERENCE[:60_000]}\n\nQuestion: {QUESTION}"}))
    (message,) = forwarded(outcome)
    assert message["content"].endswith(f"Question: {QUESTION}")
    assert outcome.tokens_original is not None
    assert outcome.tokens_forwarded is not None
    assert outcome.tokens_forwarded < 2200 < outcome.tokens_original
    assert all(line in REFERENCE for line in runs_of(message["content"].removesuffix(f"Question: {QUESTION}")))
    assert [name for name, _ in outcome.stages] == ["parse", "count", "plan", "rank", "select", "rewrite", "verify"]


def test_everything_outside_the_texts_stays_as_it_is_written() -> None:
    content = json.dumps(f"{REFERENCE[:40_000]}\n\nQuestion: {QUESTION}")
    head = '{ "temperature" : 0.70, "temperature": 1e400,\n "messages" : [ {"role" :"user", "x":NaN, "content"  : '
    tail = ' , "big": 123456789012345678901234567890 } ] ,"model":"m\\u00e9\\/", "seed": 1.0 }\n'
    outcome = run((head + content + tail).encode())
    assert outcome.body is not None
    assert outcome.body.startswith(head.encode())
    assert outcome.body.endswith(tail.encode())


def test_document_in_an_earlier_turn() -> None:
    outcome = run(
        request(
            {"role": "user", "content": f"Please read this:\n\n{REFERENCE[:40_000]}"},
            {"role": "assistant", "content": "Understood. What would you like to know?"},
            {"role": "user", "content": QUESTION},
        )
    )
    document, answer, question = forwarded(outcome)
    assert "omitted …]" in document["content"]
    assert answer["content"] == "Understood. What would you like to know?"
    assert question["content"] == QUESTION


def test_an_image_stays_with_its_message() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    outcome = run(
        request(
            {"role": "user", "content": [image, {"type": "text", "text": "What is on this picture?"}]},
            {"role": "assistant", "content": "A lighthouse."},
            {"role": "user", "content": [{"type": "text", "text": REFERENCE[:40_000]}]},
            {"role": "assistant", "content": "I have read it."},
            {
                "role": "user",
                "content": [{"type": "text", "text": REFERENCE[40_000:60_000]}, {"type": "text", "text": QUESTION}],
            },
        )
    )
    messages = forwarded(outcome)
    assert messages[0]["content"] == [image, {"type": "text", "text": "What is on this picture?"}]
    assert messages[-1]["content"][1]["text"] == QUESTION


def test_all_up_to_a_cache_mark_stays() -> None:
    marked = {"type": "text", "text": REFERENCE[20_000:30_000], "cache_control": {"type": "ephemeral"}}
    prefix: list[dict[str, Any]] = [
        {"role": "user", "content": REFERENCE[:20_000]},
        {"role": "assistant", "content": "Read."},
        {"role": "user", "content": [marked]},
    ]
    rest: list[dict[str, Any]] = [
        {"role": "assistant", "content": "Read."},
        {"role": "user", "content": f"{REFERENCE[30_000:90_000]}\n\nQuestion: {QUESTION}"},
    ]
    assert forwarded(run(request(*prefix, *rest)))[:3] == prefix


def test_an_agents_steps_go_and_its_latest_stays_whole() -> None:
    steps: list[dict[str, Any]] = []
    for n in range(30):
        call = {"id": "call_1", "type": "function", "function": {"name": "read", "arguments": f'{{"page": {n}}}'}}
        steps += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": REFERENCE[n * 2000 : n * 2000 + 2000]},
        ]
    messages = forwarded(run(request({"role": "user", "content": QUESTION}, *steps)))
    assert messages[0]["content"].startswith(QUESTION)
    assert messages[0]["content"].endswith("omitted …]") or "omitted …]" not in messages[0]["content"]
    assert messages[-2:] == steps[-2:]
    assert len(messages) < len(steps)


def test_json_results_lose_whole_records() -> None:
    records = [
        {"order_id": f"#W{n:04}", "status": "sent", "items": [f"Item {n} {i}" for i in range(12)]} for n in range(300)
    ]
    call = {"id": "c", "type": "function", "function": {"name": "list_orders", "arguments": "{}"}}
    outcome = run(
        request(
            {"role": "user", "content": "Load the orders."},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": json.dumps(records)},
            {"role": "assistant", "content": "Loaded."},
            {"role": "user", "content": "What is in order #W0123?"},
        )
    )
    result = json.loads(forwarded(outcome)[2]["content"])
    assert records[123] in result
    assert all(r in records or pattern.fullmatch(r) for r in result)


def test_removed_messages_are_announced_once_a_gap() -> None:
    turns = []
    for n in range(60):
        turns += [
            {"role": "user", "content": f"Tell me about topic {n}: " + REFERENCE[n * 700 : n * 700 + 500]},
            {"role": "assistant", "content": f"Topic {n} is this. " + REFERENCE[n * 700 + 500 : n * 700 + 700]},
        ]
    messages = forwarded(run(request(*turns, {"role": "user", "content": QUESTION})))
    announced = sum(int(n) for t in messages for n in re.findall(r"\[… (\d+) messages? omitted", t["content"]))
    assert announced == len(turns) + 1 - len(messages)
    assert [m["role"] for m in messages] == ["user", "assistant"] * (len(messages) // 2) + ["user"]
    assert messages[-2] == turns[-1]


# Left alone


def test_small_by_length_is_not_even_read() -> None:
    assert run(b"not json at all") == WindowOutcome(Reason.SMALL)


def test_small_by_count() -> None:
    outcome = run(request({"role": "user", "content": "word " * 2000}))
    assert (outcome.reason, outcome.body) == (Reason.SMALL, None)
    assert outcome.tokens_original == outcome.tokens_forwarded


@pytest.mark.parametrize(
    "messages, reason",
    [
        ([{"role": "user", "content": f"Summarise this:\n\n{REFERENCE[:40_000]}"}], Reason.WHOLE_DOCUMENT),
        ([{"role": "user", "content": (QUESTION + " ") * 60 + REFERENCE[:19_000]}], None),
        (
            [{"role": "system", "content": "Always answer politely. " * 1500}, {"role": "user", "content": QUESTION}],
            None,
        ),
        ([{"role": "assistant", "content": REFERENCE[:40_000]}], Reason.NOT_TEXT),
    ],
)
def test_left_whole(messages: list[dict[str, Any]], reason: Reason | None) -> None:
    outcome = run(request(*messages))
    if reason is None:
        assert outcome.reason in (Reason.NOTHING_TO_TRIM, Reason.RELEVANCE)
    else:
        assert (outcome.reason, outcome.body) == (reason, None)


@pytest.mark.parametrize(
    "body",
    [
        b"x" * 9000,
        b'"' + b"x" * 9000 + b'"',
        b"[" * 9000,
        b'{"messages":' + b"[" * 9000,
        b'{"messages": [' + b"{}," * 3000 + b"{}]}",
        b'{"messages": [' + b"[]," * 3000 + b"1]}",
        b"\xff" * 9000,
        b"\xef\xbb\xbf" + b'{"messages": []}' + b" " * 9000,
        json.dumps({"messages": {"a": "x" * 9000}}).encode(),
        json.dumps({"messages": [], "x": "x" * 9000}).encode(),
        json.dumps({"messages": [{"role": "user", "content": "x" * 9000}]}).encode("utf-16"),
    ],
)
def test_what_is_no_conversation_is_not_text(body: bytes) -> None:
    outcome = run(body)
    assert (outcome.reason, outcome.body) == (Reason.NOT_TEXT, None)


def test_a_body_beyond_counting() -> None:
    outcome = run(b" " * (MAX_BYTES + 1))
    assert (outcome.reason, outcome.body) == (Reason.DEADLINE, None)


def test_past_its_deadline() -> None:
    body = json.dumps(request({"role": "user", "content": REFERENCE[:40_000] + QUESTION})).encode()
    assert window(body, POLICY, RETRIEVER, Deadline.after(-1)).reason is Reason.DEADLINE


def test_without_a_retriever_it_is_warming() -> None:
    body = json.dumps(request({"role": "user", "content": REFERENCE[:40_000] + QUESTION})).encode()
    outcome = window(body, POLICY, None, Deadline.after(10))
    assert outcome.reason is Reason.WARMING
    assert outcome.tokens_original is not None


class Failing:
    def rank(self, *_: Any) -> Ranking:
        raise KeyError("a secret of the prompt")


def test_whatever_goes_wrong_the_request_is_left_and_nothing_of_it_is_told() -> None:
    body = json.dumps(request({"role": "user", "content": REFERENCE[:40_000] + QUESTION})).encode()
    outcome = window(body, POLICY, Failing(), Deadline.after(10))
    assert (outcome.reason, outcome.body) == (Reason.ERROR, None)
    assert outcome.detail.startswith("KeyError at ")
    assert "secret" not in outcome.detail


def test_explained_chunk_by_chunk() -> None:
    body = request({"role": "user", "content": f"{REFERENCE[:40_000]}\n\nQuestion: {QUESTION}"})
    outcome = run(body, explain=True)
    content = body["messages"][0]["content"]
    assert outcome.report
    assert all(content[c.start : c.end] == c.text for c in outcome.report)
    assert 0 < sum(c.tokens for c in outcome.report if c.kept) <= 2000
    assert all(c.text in forwarded(outcome)[0]["content"] for c in outcome.report if c.kept)


# Any conversation

WORDS = [*REFERENCE[:2000].split(), "#W42", "näht", "文字", "😀"]
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
SURROGATE = "\ud83d"


@st.composite
def prose(draw: st.DrawFn, most: int = 500) -> str:
    dice = random.Random(draw(st.integers(0, 10**6)))
    size = draw(st.integers(0, most))
    glue = draw(st.sampled_from([" ", " ", "\n", ". ", "\r\n\r\n", ""]))
    extra = draw(st.sampled_from(["", "", '"\\/', "\x00\t", SURROGATE, "[… 3 lines omitted …]"]))
    return glue.join(dice.choice(WORDS) for _ in range(size)) + extra


@st.composite
def result_text(draw: st.DrawFn) -> str:
    if draw(st.booleans()):
        return draw(prose())
    record = {
        "id": draw(st.integers(0, 10**30)),
        "note": draw(prose(20)),
        "deep": {"list": list(range(draw(st.integers(0, 40))))},
    }
    value = draw(
        st.sampled_from([[record] * 12, {"orders": [record] * 9, "n": 1.50}, record, 12.5, None, [draw(prose(400))]])
    )
    return json.dumps(value, indent=draw(st.sampled_from([None, 2])), ensure_ascii=draw(st.booleans()))


@st.composite
def contents(draw: st.DrawFn) -> Any:
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return None
    if kind <= 2:
        parts: list[Any] = [{"type": "text", "text": t} for t in draw(st.lists(prose(), max_size=3))]
        return [*parts, *([IMAGE] if draw(st.integers(0, 5)) == 0 else [])]
    return draw(prose())


@st.composite
def group(draw: st.DrawFn) -> list[dict[str, Any]]:
    ids = draw(st.lists(st.sampled_from(["a", "b", "a1"]), min_size=1, max_size=3))
    calls = [{"id": i, "type": "function", "function": {"name": "find", "arguments": draw(prose(8))}} for i in ids]
    head = {"role": "assistant", "content": draw(st.none() | prose(30)), "tool_calls": calls}
    return [head, *({"role": "tool", "tool_call_id": i, "content": draw(results())} for i in ids)]


@st.composite
def results(draw: st.DrawFn) -> Any:
    if draw(st.integers(0, 3)):
        return draw(result_text())
    return [{"type": "text", "text": t} for t in draw(st.lists(result_text(), max_size=3))]


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    if draw(st.booleans()):
        messages.append({"role": draw(st.sampled_from(["system", "developer"])), "content": draw(prose(60))})
    for _ in range(draw(st.integers(0, 12))):
        kind = draw(st.integers(0, 9))
        if kind <= 3:
            messages.append({"role": "user", "content": draw(contents())})
        elif kind <= 6:
            messages.append({"role": "assistant", "content": draw(contents())})
        elif kind <= 8:
            messages += draw(group())
        else:
            messages.append({"role": "system", "content": draw(prose(30))})
    messages.append({"role": "user", "content": draw(prose(40)) + "\n\nWhich context manager raises the exception?"})
    return messages + (draw(group()) if draw(st.integers(0, 4)) == 0 else [])


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A request written in any style of JSON."""
    body = {"model": "gpt-4o-mini", "messages": draw(conversations()), "n": 10**25, "temperature": 0.70}
    text = json.dumps(
        body,
        indent=draw(st.sampled_from([None, 2, "\t"])),
        separators=draw(st.sampled_from([None, (",", ":"), (" , ", " : ")])),
        ensure_ascii=draw(st.booleans()),
    )
    head = draw(
        st.sampled_from(["", '"messages": 7, ', '"messages": [{"role": "user", "content": "other"}], "n": 1e999,'])
    )
    return ("\n{" + head + text[1:] + " ").encode("utf-8", "surrogatepass")


def tool_pairs_hold(messages: list[dict[str, Any]]) -> bool:
    called: Counter[str] = Counter()
    for message in messages:
        if message["role"] == "tool":
            if called[message["tool_call_id"]] <= 0:
                return False
            called[message["tool_call_id"]] -= 1
        elif +called:
            return False
        else:
            called = Counter(c["id"] for c in message.get("tool_calls") or [])
    return not +called


def adjacent_roles(messages: list[dict[str, Any]]) -> set[tuple[str, str]]:
    roles = [m["role"] for m in messages if m["role"] not in ("system", "developer")]
    return set(zip(["start", *roles], [*roles, "end"], strict=True))


def parses(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def match(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Pair each forwarded message with the first original after the last pair that it can have come from."""
    rest = iter(old)
    return [(next(o for o in rest if could_be(o, n)), n) for n in new]


def could_be(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether the forwarded message is the original one with less text in it, whole text parts left out at most."""
    if without_texts(old) != without_texts(new):
        return False
    rest = iter(texts_of(old))
    return all(any(less(before, after) for before in rest) for after in texts_of(new))


def less(before: str, after: str) -> bool:
    return bool(before) == bool(after) and all(line in before for line in runs_of(after))


def without_texts(message: dict[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    parts = [p for p in content if p["type"] != "text"] if isinstance(content, list) else ""
    return {**message, "content": content if content is None else parts}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(bodies())
def test_any_conversation(body: bytes) -> None:
    outcome = run(body, TINY)
    event(outcome.reason)
    assert outcome.reason in (Reason.RELEVANCE, Reason.NOTHING_TO_TRIM, Reason.SMALL, Reason.WHOLE_DOCUMENT), (
        outcome.detail
    )
    if outcome.body is None:
        assert outcome.reason is not Reason.RELEVANCE
        return
    assert outcome.reason is Reason.RELEVANCE
    assert outcome.tokens_original is not None
    assert outcome.tokens_forwarded is not None
    assert outcome.tokens_forwarded <= 0.9 * outcome.tokens_original
    before, after = json.loads(body), json.loads(outcome.body)
    old, new = before.pop("messages"), after.pop("messages")
    assert before == after
    pairs = match(old, new)
    assert tool_pairs_hold(new) or not tool_pairs_hold(old)
    assert adjacent_roles(new) <= adjacent_roles(old) | {
        ("start", "user"),
        ("tool", "assistant"),
        ("user", "assistant"),
    } | {("assistant", "user") for _ in old}
    for was, now in pairs:
        if was["role"] in ("system", "developer"):
            assert was["content"] in now["content"]
        if was["role"] == "tool" and all(map(parses, texts_of(was))):
            assert all(map(parses, texts_of(now)))
        assert any(t.strip() for t in texts_of(now)) or not any(t.strip() for t in texts_of(was))
    question = max(i for i, m in enumerate(old) if m["role"] == "user")
    asked = [now for was, now in pairs if was is old[question]]
    assert asked
    assert old[question]["content"] in asked[0]["content"]
    if question and question == len(old) - 1 and old[-2]["role"] in ("user", "assistant"):
        assert old[-2] in new or not texts_of(old[-2]) or len("".join(texts_of(old[-2]))) > 2000


# Anything else

JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=40)
    | st.sampled_from(["user", "tool", "text", "x" * 500]),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "type", "text", "tool_calls", "function", "name", "arguments", "id", "tool_call_id"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=30,
)


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["messages", "model", "tools", "functions", "stream"]), JUNK), JUNK, st.booleans()
)
def test_wrong_types_everywhere(body: dict[str, Any], messages: Any, ask: bool) -> None:
    last = [{"role": "user", "content": "word " * 300 + QUESTION}] if ask and isinstance(messages, list) else []
    body["messages"] = [*messages, *last] if isinstance(messages, list) else messages
    outcome = run(body, WindowPolicy(10, 10, 1000))
    assert outcome.reason is not Reason.ERROR, outcome.detail
    assert (outcome.body is not None) == (outcome.reason is Reason.RELEVANCE)


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=11, max_size=200))
def test_any_bytes(body: bytes) -> None:
    assert run(body, WindowPolicy(10, 10, 1000)).reason in (Reason.NOT_TEXT, Reason.SMALL)


def test_ten_thousand_messages() -> None:
    messages = [
        {"role": "user" if n % 2 == 0 else "assistant", "content": f"Message {n} about {WORDS[n % 9]}."}
        for n in range(10_000)
    ]
    outcome = run(request(*messages, {"role": "user", "content": QUESTION}))
    assert len(forwarded(outcome)) < 1000


def test_a_document_is_named_for_the_scorer() -> None:
    seen: list[Document] = []

    class Listening:
        def rank(self, documents: Any, query: Query, counter: TokenCounter, deadline: Deadline) -> Ranking:
            seen.extend(documents)
            return RETRIEVER.rank(documents, query, counter, deadline)

    call = {"id": "c", "type": "function", "function": {"name": "read_page", "arguments": '{"page": 7}'}}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "Load it."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": REFERENCE[:40_000]},
        {"role": "assistant", "content": "Loaded."},
        {"role": "user", "content": QUESTION},
    ]
    window(json.dumps(request(*messages)).encode(), POLICY, Listening(), Deadline.after(60))
    assert [d.name for d in seen if d.role == "tool"] == ['read_page {"page": 7}']
