"""Whatever is posted as a chat, the gateway itself never fails on it."""

import json
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from demo import texts
from tests.integration.client import MODEL, post_chat
from tests.integration.conftest import Gateway
from tests.upstreams import Upstream

LONG = texts.reference("execmodel")[:9000]
RELAXED = settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**30, max_value=10**60),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["user", "tool", "text", LONG]),
)
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
parts = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url", "input_audio", "refusal"]) | values},
    optional={"text": st.just(LONG) | values, "image_url": values, "cache_control": values},
)
calls = st.fixed_dictionaries({}, optional={"id": st.just("call_1") | values, "type": values, "function": values})
messages = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["system", "developer", "user", "assistant", "tool", "function"]) | values,
        "content": st.just(LONG) | st.lists(parts | values, max_size=3) | values,
        "tool_calls": st.lists(calls | values, max_size=3) | values,
        "tool_call_id": st.just("call_1") | values,
        "name": values,
    },
)
requests = st.fixed_dictionaries(
    {"messages": st.lists(messages | values, max_size=6) | values},
    optional={
        "model": st.just(MODEL) | values,
        "stream": st.booleans() | values,
        "stream_options": st.fixed_dictionaries({}, optional={"include_usage": values}) | values,
        "tools": values,
        "response_format": values,
    },
)


def assert_not_ours(gateway: Gateway, upstream: Upstream, body: bytes) -> None:
    """Assert that the reply is the upstream's, or a 400 where Python's json refuses the body too."""
    upstream.clear()
    status = post_chat(gateway.url, body).status
    try:
        json.loads(body)
    except (json.JSONDecodeError, UnicodeDecodeError):
        assert status == 400
        assert upstream.requests == []
    except (RecursionError, ValueError):  # JSON all the same; only Python's limits are in the way
        assert status < 500
    else:
        assert status in {200, 400}
        assert upstream.requests


@RELAXED
@given(request=requests)
@example(request={"messages": []})
@example(request={"messages": [{"role": "user", "content": None}], "stream": True})
def test_requests_of_any_types(warm_gateway: Gateway, upstream: Upstream, request: object) -> None:
    assert_not_ours(warm_gateway, upstream, json.dumps(request).encode())


@RELAXED
@given(data=st.data())
def test_bytes_changed_anywhere(warm_gateway: Gateway, upstream: Upstream, data: st.DataObject) -> None:
    message = [{"role": "user", "content": LONG + " \U0001f600é"}, {"role": "user", "content": "What is a frame?"}]
    body = bytearray(json.dumps({"model": MODEL, "messages": message * 3}, ensure_ascii=False).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    assert_not_ours(warm_gateway, upstream, bytes(body))


BODIES = {
    "deep arrays": b'{"model":"gpt-4o-mini","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "deep in content": b'{"messages":[{"role":"user","content":' + b"[" * 5000 + b"]" * 5000 + b"}]}",
    "huge number": b'{"messages":[],"seed":' + b"9" * 100_000 + b"}",
    "huge exponent": b'{"messages":[{"role":"user","content":"hi"}],"temperature":1e999999999}',
    "lone surrogates": json.dumps({"messages": [{"role": "user", "content": "\ud800 " * 20_000}]}).encode(),
    "surrogate in a key": b'{"\\ud800":1,"messages":[{"role":"user","content":"hi"}],"stream":true}',
    "nul": json.dumps({"messages": [{"role": "user", "content": "\x00" * 30_000 + " why?"}]}).encode(),
    "no spaces": json.dumps({"messages": [{"role": "user", "content": "x" * 400_000}]}).encode(),
    "no letters": json.dumps({"messages": [{"role": "user", "content": "\n \t" * 50_000}]}).encode(),
    "one line of numbers": json.dumps(
        {"messages": [{"role": "user", "content": "1234567890 " * 30_000 + "?"}]}
    ).encode(),
    "ten thousand messages": json.dumps(
        {
            "messages": [
                {"role": "user" if n % 2 else "assistant", "content": f"message {n} says so"} for n in range(10_000)
            ]
        }
    ).encode(),
    "ten thousand empty messages": b'{"messages":[' + b",".join([b"{}"] * 10_000) + b"]}",
    "ten thousand parts": json.dumps(
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "part of it"}] * 10_000}]}
    ).encode(),
    "ten thousand orphans": json.dumps(
        {"messages": [{"role": "tool", "tool_call_id": "call_1", "content": "an answer to nobody"}] * 10_000}
    ).encode(),
    "utf-16": json.dumps({"messages": [{"role": "user", "content": "hi"}]}).encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf" + json.dumps({"messages": [{"role": "user", "content": LONG * 4}]}).encode(),
    "invalid utf-8": b'{"messages":[{"role":"user","content":"' + b"\xff\xfe" * 9000 + b'"}]}',
    "duplicate messages": b'{"messages":[],"messages":[{"role":"user","content":"' + b"word " * 9000 + b'"}]}',
    "null": b"null",
    "number": b"7",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_bodies_that_are_hard(warm_gateway: Gateway, upstream: Upstream, body: bytes) -> None:
    assert_not_ours(warm_gateway, upstream, body)


def test_the_gateway_is_still_there(warm_gateway: Gateway, upstream: Upstream) -> None:
    """Runs last in this file: nothing above may have cost the windowing process its life."""
    assert post_chat(warm_gateway.url, json.dumps({"model": MODEL, "messages": []}).encode()).status == 400
    assert warm_gateway.server.process.poll() is None
    time.sleep(0.1)  # lines are written some at a time
    assert not [line for line in warm_gateway.log_lines() if line.get("event") == "request_failed"]
