"""The official SDK gets through the gateway exactly what it gets from the upstream itself."""

from collections.abc import Callable
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

from tests.integration.client import MODEL
from tests.integration.conftest import Gateway
from tests.upstreams import Upstream

PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
                "required": ["city"],
            },
        },
    }
]
QUESTION: Any = [{"role": "user", "content": "What’s the weather in Paris?"}]
Call = Callable[[OpenAI], Any]


class Place(BaseModel):
    city: str
    days: int


def client_of(base_url: str) -> OpenAI:
    return OpenAI(api_key="sk-caller", base_url=base_url, max_retries=0, timeout=30)


def chat(client: OpenAI) -> Any:
    return client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=0.2, seed=7).model_dump()


def streamed(client: OpenAI) -> Any:
    stream = client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True)
    return [chunk.model_dump() for chunk in stream]


def streamed_with_usage(client: OpenAI) -> Any:
    options: Any = {"include_usage": True}
    stream = client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True, stream_options=options)
    return [chunk.model_dump() for chunk in stream]


def tools(client: OpenAI) -> Any:
    first = client.chat.completions.create(model=MODEL, messages=QUESTION, tools=TOOLS)
    call = first.choices[0].message.tool_calls[0]  # type: ignore[index]
    turn: Any = [
        first.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": '{"degrees": 21}'},
    ]
    second = client.chat.completions.create(model=MODEL, messages=[*QUESTION, *turn], tools=TOOLS)
    return first.model_dump(), second.model_dump()


def streamed_tools(client: OpenAI) -> Any:
    stream = client.chat.completions.create(model=MODEL, messages=QUESTION, tools=TOOLS, stream=True)
    return [chunk.model_dump() for chunk in stream]


def image(client: OpenAI) -> Any:
    parts: Any = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    reply = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": parts}])
    assert reply.choices[0].message.content == "1 image(s) received."
    return reply.model_dump()


def structured(client: OpenAI) -> Any:
    reply = client.chat.completions.parse(model=MODEL, messages=QUESTION, response_format=Place)
    assert reply.choices[0].message.parsed == Place(city="Paris", days=7)
    return reply.model_dump()


def echoed(client: OpenAI) -> Any:
    text = 'Zeile eins\n\tzwei 😀 \u2028 ‘drei’ \\ "vier"'
    reply = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": text}], extra_headers={"x-behaviour": "echo"}
    )
    assert reply.choices[0].message.content == text
    return reply.model_dump()


def models(client: OpenAI) -> Any:
    return [model.model_dump() for model in client.models.list()]


def embeddings(client: OpenAI) -> Any:
    return client.embeddings.create(model="text-embedding-3-small", input=["a", "b"]).model_dump()


def upload(client: OpenAI) -> Any:
    reply = client.files.create(file=("notes.txt", b"some notes\n" * 5000), purpose="user_data")
    return reply.bytes, reply.object


def delete(client: OpenAI) -> Any:
    return client.files.delete("file-1234").model_dump()


def speech(client: OpenAI) -> Any:
    return client.audio.speech.create(model="tts-1", voice="alloy", input="Hello").read()


@pytest.mark.parametrize(
    "call",
    [
        chat,
        streamed,
        streamed_with_usage,
        tools,
        streamed_tools,
        image,
        structured,
        echoed,
        models,
        embeddings,
        upload,
        delete,
        speech,
    ],
    ids=lambda call: call.__name__,
)
def test_same_result_direct_and_through_the_gateway(gateway: Gateway, upstream: Upstream, call: Call) -> None:
    assert call(client_of(gateway.url)) == call(client_of(upstream.url))


@pytest.mark.parametrize("status", [400, 401, 429, 500, 503])
@pytest.mark.parametrize("stream", [False, True])
def test_same_error_direct_and_through_the_gateway(
    gateway: Gateway, upstream: Upstream, status: int, stream: bool
) -> None:
    def failure(base_url: str) -> tuple[Any, ...]:
        with pytest.raises(openai.APIStatusError) as caught:
            client_of(base_url).chat.completions.create(
                model=MODEL, messages=QUESTION, stream=stream, extra_headers={"x-behaviour": f"error-{status}"}
            )
        error = caught.value
        return type(error), error.status_code, error.body, error.request_id, error.response.headers["retry-after"]

    assert failure(gateway.url) == failure(upstream.url)


def test_unchanged_small_prompt_says_so(gateway: Gateway, upstream: Upstream) -> None:
    raw = client_of(gateway.url).chat.completions.with_raw_response.create(model=MODEL, messages=QUESTION)
    assert raw.headers["x-gateway-windowing"] == "bypassed"
    assert raw.headers["x-gateway-reason"] == "small"
    assert raw.headers["x-gateway-request-id"]
    assert float(raw.headers["x-gateway-overhead-ms"]) >= 0


def test_a_cancelled_stream_ends_at_the_upstream_too(gateway: Gateway, upstream: Upstream) -> None:
    stream = client_of(gateway.url).chat.completions.create(
        model=MODEL, messages=QUESTION, stream=True, extra_headers={"x-behaviour": "endless"}
    )
    request_id = stream.response.headers["x-gateway-request-id"]
    for _ in zip(range(3), stream, strict=False):
        pass
    stream.close()
    assert upstream.wait_gone()
    assert gateway.wait_logged(request_id)["client_gone"] is True


def test_a_client_that_leaves_before_the_head_ends_the_upstreams_work(gateway: Gateway, upstream: Upstream) -> None:
    with pytest.raises(openai.APITimeoutError):
        client_of(gateway.url).with_options(timeout=0.5).chat.completions.create(
            model=MODEL, messages=QUESTION, extra_headers={"x-behaviour": "stall-before-head"}
        )
    assert upstream.wait_gone()


def test_what_to_name_to_the_operator_stands_where_the_sdk_looks_for_it(gateway: Gateway, upstream: Upstream) -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        chat(client_of(gateway.root))
    assert gateway.wait_logged(str(raised.value.request_id))["error"] == "unknown_url"


def test_a_websocket_is_refused_in_so_many_words(gateway: Gateway, upstream: Upstream) -> None:
    upgrade = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "eA==",
    }
    reply = httpx.get(f"{gateway.url}/realtime?model=gpt-realtime", headers=upgrade)
    assert (reply.status_code, reply.json()["error"]["code"]) == (501, "websocket_not_supported")
    assert upstream.requests == []
