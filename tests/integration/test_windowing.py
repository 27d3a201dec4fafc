"""An oversized prompt end to end: what is forwarded, and what is said of it."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from demo import texts
from retrieval.tokens import counter_for
from tests.integration.client import MODEL, Headers, Reply, chat_body, eventually, post_chat, raw
from tests.integration.conftest import Gateway
from tests.upstreams import Upstream
from tests.upstreams.replies import text_of

MARKER = re.compile(r"\[… [\d,.]+ [a-z ]+ omitted …\]")
DOCUMENT = texts.reference("compound", "execmodel", "debugger")
QUESTION = "When is the else clause of a while loop executed?"
ANSWER = "if the expression is false"
SYSTEM = "You are a careful assistant. Answer from the document alone."
MESSAGES = [
    {"role": "system", "content": SYSTEM},
    {"role": "user", "content": f"{DOCUMENT}\n\n{QUESTION}"},
]


def body_of(messages: list[dict[str, Any]], **fields: object) -> bytes:
    return json.dumps({"model": MODEL, "messages": messages, **fields}, ensure_ascii=False).encode()


def tokens(reply: Reply) -> tuple[int, int, int]:
    """Return the tokens that the headers name: original, forwarded, saved."""
    original, forwarded, saved = (int(reply.get(f"x-gateway-tokens-{n}")) for n in ("original", "forwarded", "saved"))
    return original, forwarded, saved


def forwarded(upstream: Upstream) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = upstream.last.json()["messages"]
    return messages


def all_text(messages: list[dict[str, Any]]) -> str:
    return "\n".join(text_of(message.get("content")) for message in messages)


def assert_decided(reply: Reply, decision: str, reason: str) -> None:
    assert (reply.status, reply.get("x-gateway-windowing"), reply.get("x-gateway-reason")) == (200, decision, reason)


def assert_verbatim(text: str, original: str) -> None:
    """Assert that every run between markers stands in the original."""
    for run in MARKER.split(text):
        assert run.strip() in original


def test_an_oversized_prompt_is_trimmed(warm_gateway: Gateway, upstream: Upstream) -> None:
    reply = post_chat(warm_gateway.url, body_of(MESSAGES, temperature=0.5))
    assert_decided(reply, "applied", "relevance")
    system, user = forwarded(upstream)
    assert system == MESSAGES[0]
    assert user["role"] == "user"
    assert user["content"].endswith(QUESTION)
    assert ANSWER in " ".join(user["content"].split())
    assert MARKER.search(user["content"])
    assert_verbatim(user["content"], MESSAGES[1]["content"])
    assert upstream.last.json()["temperature"] == 0.5
    assert upstream.last.get("content-length") == str(len(upstream.last.body))
    original, kept, saved = tokens(reply)
    count = counter_for(MODEL).count
    assert original == pytest.approx(count(all_text(MESSAGES)), rel=0.02)
    assert kept == pytest.approx(count(all_text(forwarded(upstream))), rel=0.02, abs=60)
    assert kept < 3200
    assert saved == original - kept
    assert float(reply.get("x-gateway-cost-saved-usd")) > 0
    logged = warm_gateway.wait_logged(reply.get("x-gateway-request-id"))
    assert (logged["decision"], logged["reason"]) == ("applied", "relevance")
    assert (logged["tokens_original"], logged["tokens_forwarded"], logged["tokens_saved"]) == (original, kept, saved)


def test_bytes_outside_the_changed_messages_stay(warm_gateway: Gateway, upstream: Upstream) -> None:
    before = b'{ "seed":1e400, "temperature" : 0.70,"n":1,"n":1, "model":"gpt-4o-mini",\n "messages":[ '
    first = b'{"role":"system","content":"Be \\u0062rief."} , {"role":"user", "content":'
    after = b', "name":"x"}\t],"user" :"caf\xc3\xa9" }\n'
    changed = json.dumps(MESSAGES[1]["content"]).encode()
    reply = post_chat(warm_gateway.url, before + first + changed + after)
    assert_decided(reply, "applied", "relevance")
    assert upstream.last.body.startswith(before + first)
    assert upstream.last.body.endswith(after)
    assert len(upstream.last.body) < len(changed) / 2


def test_a_stream_is_trimmed_and_accounted(warm_gateway: Gateway, upstream: Upstream) -> None:
    reply = post_chat(warm_gateway.url, body_of(MESSAGES, stream=True))
    assert_decided(reply, "applied", "relevance")
    assert upstream.last.json()["stream_options"] == {"include_usage": True}
    assert all(event["choices"] for event in reply.events())
    assert all_text(forwarded(upstream)).endswith(QUESTION)
    logged = warm_gateway.wait_logged(reply.get("x-gateway-request-id"))
    assert logged["usage"]["prompt"] > 0
    assert logged["cost_saved_usd"] > 0


@pytest.mark.parametrize("wish", ["off", "OFF"])
def test_the_caller_can_opt_out(warm_gateway: Gateway, upstream: Upstream, wish: str) -> None:
    sent = body_of(MESSAGES)
    reply = post_chat(warm_gateway.url, sent, headers=[("x-gateway-windowing", wish)])
    assert_decided(reply, "bypassed", "opted_out")
    assert upstream.last.body == sent


def test_the_caller_chooses_the_windows_size_within_bounds(warm_gateway: Gateway, upstream: Upstream) -> None:
    def kept(headers: Headers) -> int:
        return tokens(post_chat(warm_gateway.url, body_of(MESSAGES), headers=headers))[1]

    usual, small, large = (
        kept([]),
        kept([("x-gateway-window-tokens", "700")]),
        kept([("x-gateway-window-tokens", "5000")]),
    )
    assert small < usual < large
    assert small < 1500
    assert kept([("x-gateway-window-tokens", "1")]) > 300
    assert kept([("x-gateway-window-tokens", "many")]) == pytest.approx(usual, rel=0.3)  # vectors may be there by now


@pytest.mark.parametrize(
    "wish",
    [
        "Summarise the document above in five sentences.",
        "Translate the text above into French.",
        "把上面的文档总结一下。",
    ],
)
def test_a_request_that_needs_everything_is_left_whole(warm_gateway: Gateway, upstream: Upstream, wish: str) -> None:
    sent = body_of([{"role": "user", "content": f"{DOCUMENT}\n\n{wish}"}])
    reply = post_chat(warm_gateway.url, sent)
    assert_decided(reply, "bypassed", "whole_document")
    assert upstream.last.body == sent


@pytest.mark.parametrize("layout", ["question first", "system", "earlier turn"])
def test_other_layouts(warm_gateway: Gateway, upstream: Upstream, layout: str) -> None:
    layouts: dict[str, list[dict[str, Any]]] = {
        "question first": [{"role": "user", "content": f"{QUESTION}\n\n{DOCUMENT}"}],
        "system": [
            {"role": "system", "content": f"{SYSTEM}\n\n<document>\n{DOCUMENT}\n</document>\n\nAlways be polite."},
            {"role": "user", "content": QUESTION},
        ],
        "earlier turn": [
            {"role": "user", "content": f"Here is the manual:\n\n{DOCUMENT}"},
            {"role": "assistant", "content": "Thank you, I have read it. What would you like to know?"},
            {"role": "user", "content": QUESTION},
        ],
    }
    messages = layouts[layout]
    assert_decided(post_chat(warm_gateway.url, body_of(messages)), "applied", "relevance")
    kept = forwarded(upstream)
    assert [m["role"] for m in kept] == [m["role"] for m in messages]
    assert QUESTION in kept[-1]["content"]
    assert ANSWER in " ".join(all_text(kept).split())
    for message, original in zip(kept, messages, strict=True):
        assert_verbatim(message["content"], original["content"])


def test_a_tool_history_keeps_its_pairs_and_its_json(warm_gateway: Gateway, upstream: Upstream) -> None:
    records = [
        {"id": f"order-{n}", "status": "open", "note": f"box {n}. " + "packed with care, " * 12} for n in range(300)
    ]
    records[187]["note"] = "the customer asked for delivery to the lighthouse at Rua Marginal 12"
    call = {"id": "call_1", "type": "function", "function": {"name": "list_orders", "arguments": '{"customer": "c-9"}'}}
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": "Where does the customer want order-187 delivered?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": json.dumps(records)},
    ]
    assert_decided(post_chat(warm_gateway.url, body_of(messages)), "applied", "relevance")
    kept = forwarded(upstream)
    assert kept[:3] == messages[:3]
    assert kept[3]["tool_call_id"] == "call_1"
    left = json.loads(MARKER.sub("", kept[3]["content"]))
    assert records[187] in left
    assert all(item in records for item in left if isinstance(item, dict) and "id" in item)


def test_images_and_marked_parts_stay(warm_gateway: Gateway, upstream: Upstream) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "iVBORw0KGgo" * 50}}
    marked = {"type": "text", "text": "Rules: " + "be exact. " * 20, "cache_control": {"type": "ephemeral"}}
    parts = [image, {"type": "text", "text": DOCUMENT}, {"type": "text", "text": QUESTION}]
    messages: list[dict[str, Any]] = [{"role": "user", "content": [marked]}, {"role": "user", "content": parts}]
    assert_decided(post_chat(warm_gateway.url, body_of(messages)), "applied", "relevance")
    first, last = forwarded(upstream)
    assert first["content"] == [marked]
    assert image in last["content"]
    assert last["content"][-1] == parts[-1]


def test_nothing_to_trim(warm_gateway: Gateway, upstream: Upstream) -> None:
    sent = body_of(
        [{"role": "user", "content": "hi"}],
        tools=[{"type": "function", "function": {"name": "f", "description": DOCUMENT}}],
    )
    reply = post_chat(warm_gateway.url, sent)
    assert reply.get("x-gateway-windowing") == "bypassed"
    assert reply.get("x-gateway-reason") in {"nothing_to_trim", "small"}
    assert upstream.last.body == sent


def test_an_unknown_models_saving_is_unknown(warm_gateway: Gateway, upstream: Upstream) -> None:
    body = json.dumps({"model": "made-up-model-9", "messages": MESSAGES}).encode()
    reply = post_chat(warm_gateway.url, body)
    assert_decided(reply, "applied", "relevance")
    assert reply.get("x-gateway-cost-saved-usd") == ""
    assert warm_gateway.wait_logged(reply.get("x-gateway-request-id"))["cost_saved_usd"] is None


def test_many_at_once_are_all_answered(warm_gateway: Gateway, upstream: Upstream) -> None:
    def one(number: int) -> Reply:
        content = (
            f"{number} {texts.reference('customization', 'debugger')}\n\nWhat does the {number}th debugger command do?"
        )
        return post_chat(warm_gateway.url, chat_body(content))

    with ThreadPoolExecutor(12) as pool:
        replies = list(pool.map(one, range(12)))
    assert {reply.status for reply in replies} == {200}
    assert {reply.get("x-gateway-reason") for reply in replies} <= {"relevance", "overloaded", "deadline"}
    assert any(reply.get("x-gateway-reason") == "relevance" for reply in replies)


def test_a_client_that_leaves_during_windowing_ends_it(warm_gateway: Gateway, upstream: Upstream) -> None:
    body = chat_body(f"{texts.reference()}\n\n{QUESTION}", model="left-early")
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    with pytest.raises(TimeoutError):
        raw(warm_gateway.url, head + body, timeout=0.03)

    def lines() -> list[dict[str, Any]]:
        return [line for line in warm_gateway.log_lines() if line.get("model") == "left-early"]

    assert eventually(lines)
    assert lines()[0]["client_gone"] is True
    assert upstream.requests == []
    assert_decided(post_chat(warm_gateway.url, body_of(MESSAGES)), "applied", "relevance")
