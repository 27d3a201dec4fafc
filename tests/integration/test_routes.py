"""The routes beside chat that are counted: the SDK reads the same through the gateway, and the usage is the bill's."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from openai import OpenAI

from tests.integration.client import MODEL, eventually
from tests.integration.conftest import Gateway
from tests.integration.test_sdk import client_of
from tests.upstreams import Bill, Upstream

Call = Callable[[OpenAI], Any]
EMBEDDER = "text-embedding-3-small"
TOOLS: Any = [
    {
        "type": "function",
        "name": "get_weather",
        "strict": True,
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    }
]


def response(client: OpenAI) -> Any:
    reply = client.responses.create(model=MODEL, input="Say hello.", instructions="Be brief.")
    assert reply.output_text
    return reply.model_dump()


def response_that_reasons(client: OpenAI) -> Any:
    reply = client.responses.create(
        model=MODEL, input="Say hello.", reasoning={"effort": "low"}, prompt_cache_key="hello"
    )
    assert reply.usage
    assert reply.usage.output_tokens_details.reasoning_tokens > 0
    assert reply.usage.input_tokens_details.cached_tokens > 0
    return reply.model_dump()


def response_cut_short(client: OpenAI) -> Any:
    reply = client.responses.create(model=MODEL, input="Say hello.", max_output_tokens=3)
    assert reply.status == "incomplete"
    return reply.model_dump()


def response_with_a_tool(client: OpenAI) -> Any:
    reply = client.responses.create(model=MODEL, input="The weather in Paris?", tools=TOOLS)
    assert reply.output[0].type == "function_call"
    return reply.model_dump()


def streamed_response(client: OpenAI) -> Any:
    events = list(client.responses.create(model=MODEL, input="Say hello.", stream=True))
    assert events[-1].type == "response.completed"
    return [event.model_dump() for event in events]


def streamed_response_cut_short(client: OpenAI) -> Any:
    events = list(client.responses.create(model=MODEL, input="Say hello.", max_output_tokens=3, stream=True))
    assert events[-1].type == "response.incomplete"
    return [event.model_dump() for event in events]


def streamed_response_with_a_tool(client: OpenAI) -> Any:
    with client.responses.stream(model=MODEL, input="The weather in Paris?", tools=TOOLS) as stream:
        return [event.model_dump() for event in stream]


def completion(client: OpenAI) -> Any:
    reply = client.completions.create(model="gpt-3.5-turbo-instruct", prompt=["Say hello.", "Again."], max_tokens=50)
    assert [choice.finish_reason for choice in reply.choices] == ["stop", "stop"]
    return reply.model_dump()


def streamed_completion(client: OpenAI) -> Any:
    stream = client.completions.create(
        model="gpt-3.5-turbo-instruct",
        prompt="Say hello.",
        max_tokens=5,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    assert chunks[-1].usage
    return [chunk.model_dump() for chunk in chunks]


def embeddings(client: OpenAI) -> Any:
    reply = client.embeddings.create(model=EMBEDDER, input=["a text", "another"])
    assert [found.embedding for found in reply.data] == [[0.25, -0.5, 1.0]] * 2
    return reply.model_dump()


def embeddings_of_tokens(client: OpenAI) -> Any:
    return client.embeddings.create(model=EMBEDDER, input=[5, 6, 7], encoding_format="float").model_dump()


def chat_that_reasons(client: OpenAI) -> Any:
    return client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Say hello."}],
        reasoning_effort="high",
        prompt_cache_key="hello",
    ).model_dump()


CALLS = [
    response,
    response_that_reasons,
    response_cut_short,
    response_with_a_tool,
    streamed_response,
    streamed_response_cut_short,
    streamed_response_with_a_tool,
    completion,
    streamed_completion,
    embeddings,
    embeddings_of_tokens,
    chat_that_reasons,
]


def named(call: Call) -> str:
    return call.__name__


def billed(bill: Bill) -> dict[str, int]:
    """Return the bill's tokens as the gateway's log names them."""
    return {
        "prompt": bill.input,
        "completion": bill.output,
        "cached": bill.cached,
        "reasoning": bill.reasoning,
        "cache_written": bill.cache_written,
        "audio_prompt": 0,
        "audio_completion": 0,
    }


@pytest.mark.parametrize("call", CALLS, ids=named)
def test_same_result_direct_and_through_the_gateway(gateway: Gateway, upstream: Upstream, call: Call) -> None:
    assert call(client_of(gateway.url)) == call(client_of(upstream.url))
    first, second = upstream.wait_bills(2)
    assert first == second
    assert first.completed


@pytest.mark.parametrize("call", CALLS, ids=named)
def test_the_usage_that_is_logged_is_what_the_upstream_bills(gateway: Gateway, upstream: Upstream, call: Call) -> None:
    time.sleep(0.1)  # lines are written some at a time: none of an earlier test's is still to come
    before = len(gateway.log_lines())
    call(client_of(gateway.url))
    (bill,) = upstream.wait_bills()
    logged = wait_usage(gateway, before)
    assert billed(bill) == logged


def wait_usage(gateway: Gateway, before: int) -> dict[str, int]:
    """Return the usage in the only line about a request that was logged since, waiting for it."""

    def found() -> list[dict[str, Any]]:
        return [line for line in gateway.log_lines()[before:] if "usage" in line]

    assert eventually(found)
    (line,) = found()
    usage: dict[str, int] = line["usage"]
    return usage


def test_a_stream_that_its_client_leaves_is_billed_until_then(gateway: Gateway, upstream: Upstream) -> None:
    pace = {"x-answer-tokens": "400", "x-pace-ms": "5"}
    stream = client_of(gateway.url).responses.create(model=MODEL, input="Go on.", stream=True, extra_headers=pace)
    texts = 0
    for event in stream:
        texts += event.type == "response.output_text.delta"
        if texts == 10:
            break
    stream.close()
    (bill,) = upstream.wait_bills()
    assert not bill.completed
    assert 10 <= bill.output < 400
    assert bill.model == MODEL


def test_errors_are_not_billed(gateway: Gateway, upstream: Upstream) -> None:
    client = client_of(gateway.url).with_options(default_headers={"x-behaviour": "error-500"})
    with pytest.raises(Exception, match="500"):
        client.responses.create(model=MODEL, input="Say hello.")
    assert upstream.wait_bills(timeout_s=0.2) == []
