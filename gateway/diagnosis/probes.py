"""The requests that an upstream is tried with: each costs a few tokens at most."""

from dataclasses import dataclass, field

import orjson

_SAY = [{"role": "user", "content": "Reply with the single word: hello"}]
_WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
_SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "word",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"word": {"type": "string"}},
            "required": ["word"],
            "additionalProperties": False,
        },
    },
}
JSON = (b"content-type", b"application/json")


@dataclass(frozen=True, slots=True)
class Probe:
    """One request; `body` is None for a GET."""

    name: str
    path: str
    body: bytes | None = None
    headers: tuple[tuple[bytes, bytes], ...] = field(default=(JSON,))

    @property
    def method(self) -> str:
        """GET without a body, else POST."""
        return "GET" if self.body is None else "POST"


def probes(model: str) -> tuple[Probe, ...]:
    """Return the requests, for that model."""

    def chat(name: str, **fields: object) -> Probe:
        asked = {"model": model, "messages": _SAY, "max_tokens": 16, "temperature": 0, **fields}
        return Probe(name, "/chat/completions", orjson.dumps(asked))

    called = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Rome"}'}}
    turns = [
        {"role": "user", "content": "What is the weather in Rome?"},
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "call_1", "content": '{"celsius": 21}'},
    ]
    whole = {"type": "function", "function": {"name": "get_weather"}}
    return (
        Probe("models", "/models", None, ()),
        chat("chat"),
        chat("stream", stream=True),
        chat("stream with usage", stream=True, stream_options={"include_usage": True}),
        chat("tool call", tools=[_WEATHER], tool_choice=whole, max_tokens=64),
        chat("tool result", tools=[_WEATHER], messages=turns, max_tokens=32),
        chat("structured output", response_format=_SCHEMA, max_tokens=32),
        chat("several answers", n=2),
        chat("an unknown parameter", x_unknown_parameter={"a": [1, None, "é"]}),
        chat("a value out of range", temperature=99),
        chat("no messages", messages=[]),
        Probe("an unknown model", "/chat/completions", orjson.dumps({"model": "no-such-model-0", "messages": _SAY})),
        Probe("an unknown path", "/no/such/path", b"{}"),
        Probe("embeddings", "/embeddings", orjson.dumps({"model": model, "input": "hello"})),
        Probe("responses", "/responses", orjson.dumps({"model": model, "input": "Say hello", "max_output_tokens": 16})),
    )
