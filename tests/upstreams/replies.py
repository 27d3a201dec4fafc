"""What OpenAI would answer: completions, chunks, errors, with usage counted at four characters a token."""

import json
from collections.abc import Iterator
from typing import Any

CANNED = "Hello there, this is the upstream’s answer: 42."
CREATED = 1_700_000_000
Json = dict[str, Any]


def text_of(content: object) -> str:
    """Return the text of a message's content, of parts too."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(part.get("text") or "" for part in parts if isinstance(part, dict))


def usage(request: Json, completion_tokens: int) -> Json:
    """Return the usage object of a reply."""
    messages = request.get("messages")
    characters = len(json.dumps(messages)) if messages else 0
    prompt = max(1, characters // 4)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def answer(request: Json, echo: bool = False) -> Json:
    """Return the assistant's message: an echo, a tool call, an object of the schema, or canned text."""
    messages = [m for m in request.get("messages") or [] if isinstance(m, dict)]
    last = messages[-1] if messages else {}
    if echo:
        return {"role": "assistant", "content": text_of(last.get("content"))}
    if request.get("tools") and last.get("role") != "tool":
        return {"role": "assistant", "content": None, "tool_calls": [_tool_call(request["tools"][0])]}
    if (request.get("response_format") or {}).get("type") == "json_schema":
        return {
            "role": "assistant",
            "content": json.dumps(_object_of(request["response_format"]["json_schema"]["schema"])),
        }
    images = sum(_images(message.get("content")) for message in messages)
    return {"role": "assistant", "content": f"{images} image(s) received." if images else CANNED}


def _images(content: object) -> int:
    parts = content if isinstance(content, list) else []
    return sum(isinstance(part, dict) and part.get("type") == "image_url" for part in parts)


def _tool_call(tool: Json) -> Json:
    function = tool["function"]
    arguments = json.dumps(_object_of(function.get("parameters") or {}))
    return {"id": "call_1", "type": "function", "function": {"name": function["name"], "arguments": arguments}}


def _object_of(schema: Json) -> Json:
    examples = {"string": "Paris", "integer": 7, "number": 0.5, "boolean": True, "array": [], "object": {}}
    return {name: examples.get(kind.get("type")) for name, kind in (schema.get("properties") or {}).items()}


def completion(request: Json, echo: bool = False) -> Json:
    """Return a whole chat completion."""
    message = answer(request, echo)
    finish = "tool_calls" if message.get("tool_calls") else "stop"
    return {
        "id": "chatcmpl-test",
        "object": "chat.completion",
        "created": CREATED,
        "model": request.get("model"),
        "choices": [{"index": 0, "message": {**message, "refusal": None}, "logprobs": None, "finish_reason": finish}],
        "usage": usage(request, len(text_of(message.get("content"))) // 4 + 1),
        "system_fingerprint": "fp_test",
    }


def events(request: Json, echo: bool = False) -> Iterator[bytes]:
    """Yield the events of a streamed completion; usage is reported as OpenAI does, when asked for."""
    message = answer(request, echo)
    asked = (request.get("stream_options") or {}).get("include_usage") is True
    base: Json = {
        "id": "chatcmpl-test",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": request.get("model"),
    }
    extra: Json = {"usage": None} if asked else {}
    for delta, finish in _deltas(message):
        yield event({**base, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **extra})
    if asked:
        yield event({**base, "choices": [], "usage": usage(request, len(text_of(message.get("content"))) // 4 + 1)})
    yield b"data: [DONE]\n\n"


def _deltas(message: Json) -> Iterator[tuple[Json, str | None]]:
    yield {"role": "assistant", "content": "" if message.get("content") else None}, None
    for call in message.get("tool_calls") or []:
        arguments = call["function"]["arguments"]
        yield {"tool_calls": [{"index": 0, **call, "function": {**call["function"], "arguments": ""}}]}, None
        for start in range(0, len(arguments), 5):
            yield {"tool_calls": [{"index": 0, "function": {"arguments": arguments[start : start + 5]}}]}, None
    content = text_of(message.get("content"))
    for start in range(0, len(content), 7):
        yield {"content": content[start : start + 7]}, None
    yield {}, "tool_calls" if message.get("tool_calls") else "stop"


def event(value: object) -> bytes:
    """Return one server-sent event."""
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def error(message: str, kind: str, code: str | None = None, param: str | None = None) -> Json:
    """Return an error in OpenAI's shape."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
