"""What windows are made of requests of each kind: body in and body out."""

import json
import re
from typing import Any

import pytest

from gateway.windowing.markers import pattern
from gateway.windowing.measuring import MAX_BYTES
from gateway.windowing.types import Reason, WindowOutcome
from gateway.windowing.window import window
from retrieval.types import Counter as TokenCounter
from retrieval.types import Deadline, Document, Query, Ranking
from tests.gateway.windowing.windows import (
    POLICY,
    QUESTION,
    REFERENCE,
    RETRIEVER,
    WORDS,
    forwarded,
    request,
    run,
    runs_of,
)


def test_document_then_question() -> None:
    outcome = run(request({"role": "user", "content": f"{REFERENCE[:60_000]}\n\nQuestion: {QUESTION}"}))
    (message,) = forwarded(outcome)
    assert message["content"].endswith(f"Question: {QUESTION}")
    assert outcome.tokens_original is not None
    assert outcome.tokens_forwarded is not None
    assert outcome.tokens_forwarded < 1.5 * POLICY.window_tokens + 200 < outcome.tokens_original
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


ABOUT = {"role": "user", "content": f"{REFERENCE[:40_000]}\n\n{QUESTION}"}


@pytest.mark.parametrize("system", [None, "Fill in the schema from the user's document.", "You are a code reviewer."])
def test_material_alone_is_left_whole(system: str | None) -> None:
    first = [{"role": "system", "content": system}] if system else []
    outcome = run(request(*first, {"role": "user", "content": REFERENCE[:40_000]}))
    assert (outcome.reason, outcome.body) == (Reason.WHOLE_DOCUMENT, None)


@pytest.mark.parametrize("answer", ["yes", "Yes, please.", "ok do that", "好的"])
def test_what_a_yes_agrees_to_decides(answer: str) -> None:
    def reason(offer: str) -> Reason:
        said = {"role": "assistant", "content": f"It depends on __exit__.\n\n{offer}"}
        return run(request(ABOUT, said, {"role": "user", "content": answer})).reason

    assert reason("Shall I translate the whole document into French now?") is Reason.WHOLE_DOCUMENT
    assert reason("Shall I look up what __exit__ returns?") is Reason.RELEVANCE


@pytest.mark.parametrize("order", ["Make it twice as long.", "continue", "Now in French."])
def test_an_order_about_a_long_answer_leaves_it_whole(order: str) -> None:
    report = {"role": "assistant", "content": REFERENCE[:40_000]}
    outcome = run(request({"role": "user", "content": "Write a report."}, report, {"role": "user", "content": order}))
    assert (outcome.reason, outcome.body) == (Reason.WHOLE_DOCUMENT, None)
    look_up = {"role": "user", "content": QUESTION}
    assert run(request({"role": "user", "content": "Write a report."}, report, look_up)).reason is Reason.RELEVANCE


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
    assert 0 < sum(c.tokens for c in outcome.report if c.kept) <= 3000
    assert all(c.text in forwarded(outcome)[0]["content"] for c in outcome.report if c.kept)


# Any conversation


def test_ten_thousand_messages() -> None:
    messages = [
        {"role": "user" if n % 2 == 0 else "assistant", "content": f"Message {n} about {WORDS[n % 9]}."}
        for n in range(10_000)
    ]
    outcome = run(request(*messages, {"role": "user", "content": "Which message was about #W42?"}))
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


@pytest.mark.parametrize(
    "asked",
    [
        "Was geschieht, wenn innerhalb eines Blocks eine Ausnahme auftritt?",  # another language of the same script
        "代码块中发生异常时会怎样？",
        "ماذا يحدث عند وقوع استثناء داخل الكتلة؟",
        "Who may captain seaplanes?",  # words that stand nowhere in the document
    ],
)
def test_a_document_without_the_question_s_words_is_forwarded_whole(asked: str) -> None:
    outcome = run(request({"role": "user", "content": f"{REFERENCE[:60_000]}\n\n{asked}"}))
    assert (outcome.reason, outcome.body) == (Reason.LOW_CONFIDENCE, None)
    assert "question's words" in outcome.detail


def test_an_agent_s_last_step_says_in_the_document_s_words_what_is_looked_for() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "read", "arguments": "{}"}}
    step = "The with statement and exceptions raised in its suite are in the manual."
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "代码块中发生异常时会怎样？"},
        {"role": "assistant", "content": step, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": REFERENCE[:60_000]},
    ]
    assert forwarded(run(request(*messages)))[1]["content"] == step
    messages[1]["content"] = "我来看看。"
    assert run(request(*messages)).reason is Reason.LOW_CONFIDENCE
