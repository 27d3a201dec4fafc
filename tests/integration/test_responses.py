"""Requests to the Responses API end to end, by the official SDK: what is forwarded, and what comes back."""

import json
from typing import Any

import pytest
from openai import OpenAI

from tests.integration.client import MODEL, Reply, send
from tests.integration.conftest import Gateway
from tests.integration.test_sdk import client_of
from tests.integration.test_windowing import (
    ANSWER,
    DOCUMENT,
    MARKER,
    QUESTION,
    SYSTEM,
    assert_decided,
    assert_verbatim,
    tokens,
)
from tests.upstreams import Upstream

JSON = [("Content-Type", "application/json"), ("Authorization", "Bearer sk-caller")]
PROMPT = f"{DOCUMENT}\n\n{QUESTION}"
REASONING: Any = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAABm" * 30}
TOOLS: Any = [
    {
        "type": "function",
        "name": "list_orders",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"customer": {"type": "string"}},
            "required": ["customer"],
            "additionalProperties": False,
        },
    }
]
FORMAT: Any = {
    "format": {
        "type": "json_schema",
        "name": "answer",
        "strict": True,
        "schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    }
}


def post(base: str, body: bytes, headers: list[tuple[str, str]] | None = None) -> Reply:
    return send(base, "POST", "/responses", [*JSON, *(headers or [])], body)


def body_of(given: Any, **fields: Any) -> bytes:
    return json.dumps({"model": MODEL, "input": given, **fields}, ensure_ascii=False).encode()


def user(content: Any) -> Any:
    return {"role": "user", "content": content}


def evident(client: OpenAI) -> OpenAI:
    """Return a client whose answers are the evidence, where the upstream finds it in what it is sent."""
    return client.with_options(default_headers={"x-answer-matching": ANSWER.replace(" ", r"(?:\s|\\n)+")})


def test_a_text_is_trimmed_and_all_else_stays_as_it_is_written(warm_gateway: Gateway, upstream: Upstream) -> None:
    before = (
        b'{ "temperature" : 0.70,"seed":1e400, "instructions":"Be \\u0062rief.",\n "model":"gpt-4o-mini", "input" : '
    )
    after = b',"text":{"format" : {"type":"text"}} ,"tool_choice":"auto","store":false }\n'
    reply = post(warm_gateway.url, before + json.dumps(PROMPT).encode() + after)
    assert_decided(reply, "applied", "relevance")
    sent = upstream.last.body
    assert sent.startswith(before)
    assert sent.endswith(after)
    text = json.loads(sent[len(before) : -len(after)])
    assert text.endswith(QUESTION)
    assert ANSWER in " ".join(text.split())
    assert MARKER.search(text)
    assert_verbatim(text, PROMPT)
    original, kept, saved = tokens(reply)
    assert kept < 3200 < original == kept + saved
    assert float(reply.get("x-gateway-cost-saved-usd")) > 0
    logged = warm_gateway.wait_logged(reply.get("x-gateway-request-id"))
    assert (logged["route"], logged["decision"], logged["tokens_saved"]) == ("responses", "applied", saved)
    (bill,) = upstream.wait_bills()
    assert logged["usage"]["prompt"] == bill.input < original


@pytest.mark.parametrize("stream", [False, True])
def test_the_answer_is_byte_for_byte_what_the_upstream_says_of_the_window(
    warm_gateway: Gateway, upstream: Upstream, stream: bool
) -> None:
    reply = post(warm_gateway.url, body_of([user(PROMPT)], stream=stream, instructions=SYSTEM))
    assert_decided(reply, "applied", "relevance")
    window = upstream.last.body
    assert b"stream_options" not in window
    direct = post(upstream.url, window)
    assert (reply.status, reply.body, reply.passed()) == (direct.status, direct.body, direct.passed())
    through, beside = upstream.wait_bills(2)
    assert through == beside
    logged = warm_gateway.wait_logged(reply.get("x-gateway-request-id"))
    assert (logged["usage"]["prompt"], logged["usage"]["completion"]) == (through.input, through.output)
    assert logged["cost_saved_usd"] > 0


def test_the_sdk_finds_the_evidence_whole_and_in_a_stream(warm_gateway: Gateway, upstream: Upstream) -> None:
    parts: Any = [{"type": "input_text", "text": DOCUMENT}, {"type": "input_text", "text": QUESTION}]
    client = evident(client_of(warm_gateway.url))
    reply = client.responses.create(model=MODEL, input=[user(parts)], instructions=SYSTEM)
    assert " ".join(reply.output_text.replace("\\n", " ").split()) == ANSWER
    assert reply.usage
    assert reply.usage.input_tokens < 4000
    events = list(client.responses.create(model=MODEL, input=[user(parts)], instructions=SYSTEM, stream=True))
    assert events[0].type == "response.created"
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == reply.output_text
    assert last.response.usage
    bills = upstream.wait_bills(2)
    assert [bill.input for bill in bills] == [reply.usage.input_tokens, last.response.usage.input_tokens]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert len(upstream.last.body) < len(DOCUMENT) / 2


def test_a_tools_loop_keeps_its_pairs_its_reasoning_and_its_json(warm_gateway: Gateway, upstream: Upstream) -> None:
    client = client_of(warm_gateway.url)
    asked = user("Where does the customer want order-187 delivered?")
    first = client.responses.create(model=MODEL, input=[asked], tools=TOOLS)
    (call,) = first.output
    assert call.type == "function_call"
    records = [{"id": f"order-{n}", "note": f"box {n}. " + "packed with care, " * 12} for n in range(300)]
    records[187]["note"] = "the customer asked for delivery to the lighthouse at Rua Marginal 12"
    output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": json.dumps(records)}
    items: Any = [asked, REASONING, call.model_dump(exclude_none=True), output]
    fields: Any = {"tools": TOOLS, "tool_choice": "auto", "text": FORMAT, "parallel_tool_calls": False}
    with client.responses.stream(model=MODEL, input=items, **fields) as stream:
        done = stream.get_final_response()
    assert json.loads(done.output_text) == {"city": "Paris"}
    sent = upstream.last.json()
    assert {name: sent[name] for name in fields} == fields
    assert sent["input"][:3] == items[:3]
    assert sent["input"][3]["call_id"] == call.call_id
    left = json.loads(MARKER.sub("", sent["input"][3]["output"]))
    assert records[187] in left
    assert all(item in records for item in left if isinstance(item, dict) and "id" in item)
    assert len(upstream.last.body) < len(json.dumps(items)) / 2


def test_with_a_previous_response_only_what_is_asked_here_is_windowed(
    warm_gateway: Gateway, upstream: Upstream
) -> None:
    client = client_of(warm_gateway.url)
    link = {"previous_response_id": "resp_before"}
    client.responses.create(model=MODEL, input=PROMPT, **link)  # type: ignore[call-overload]
    assert upstream.last.json()["previous_response_id"] == "resp_before"
    assert upstream.last.json()["input"].endswith(QUESTION)
    assert len(upstream.last.body) < len(PROMPT) / 2
    for given in ([{"type": "function_call_output", "call_id": "c", "output": DOCUMENT}], [user(DOCUMENT)]):
        sent = body_of(given, **link)
        assert_decided(post(warm_gateway.url, sent), "bypassed", "not_text")
        assert upstream.last.body == sent


@pytest.mark.parametrize(
    "given",
    [
        {"text": DOCUMENT},
        [DOCUMENT, QUESTION],
        [[user(PROMPT)]],
        [{"role": "user", "content": {"text": PROMPT}}],
        [{"role": "robot", "content": PROMPT}],
        [{"type": "input_text", "text": PROMPT}],
        [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": PROMPT}]}],
        [user([{"type": "input_text", "text": 7, "more": PROMPT}])],
    ],
)
@pytest.mark.parametrize("fields", [{}, {"messages": [user(PROMPT)]}])
def test_odd_shapes_are_relayed_as_they_are(
    warm_gateway: Gateway, upstream: Upstream, given: Any, fields: dict[str, Any]
) -> None:
    sent = body_of(given, **fields)
    reply = post(warm_gateway.url, sent)
    assert (reply.get("x-gateway-windowing"), reply.get("x-gateway-reason")) == ("bypassed", "not_text")
    assert upstream.last.body == sent


@pytest.mark.parametrize(
    "sent",
    [
        b'{"model": ' + b"x" * 20_000,
        b"\xff" * 20_000,
        json.dumps({"model": MODEL, "messages": [user(PROMPT)]}).encode(),
        body_of(PROMPT, prompt={"id": "pmpt_1"}),
        json.dumps({"model": MODEL, "input": PROMPT}).encode("utf-16"),
    ],
    ids=["no json", "no text", "a chat body", "a template", "utf-16"],
)
def test_what_can_not_be_read_is_the_upstreams_to_judge(warm_gateway: Gateway, upstream: Upstream, sent: bytes) -> None:
    direct = post(upstream.url, sent)
    reply = post(warm_gateway.url, sent)
    assert (reply.status, reply.body) == (direct.status, direct.body)
    assert (reply.get("x-gateway-windowing"), reply.get("x-gateway-reason")) == ("bypassed", "not_text")
    assert upstream.last.body == sent


def test_summaries_small_prompts_and_who_opts_out_are_left_alone(warm_gateway: Gateway, upstream: Upstream) -> None:
    for sent, headers, reason in (
        (body_of(f"{DOCUMENT}\n\nSummarise the document above in five sentences."), [], "whole_document"),
        (body_of("Say hello."), [], "small"),
        (body_of(PROMPT), [("x-gateway-windowing", "off")], "opted_out"),
    ):
        assert_decided(post(warm_gateway.url, sent, headers), "bypassed", reason)
        assert upstream.last.body == sent
