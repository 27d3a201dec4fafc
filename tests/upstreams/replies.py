"""What OpenAI would answer: completions, chunks, errors, with usage counted at four characters a token."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.upstreams.bills import tokens_of

CANNED = "Hello there, this is the upstream’s answer: 42."
CREATED = 1_700_000_000
_EFFORTS = {"low": 16, "medium": 32, "high": 64}
Json = dict[str, Any]


def text_of(content: object) -> str:
    """Return the text of a message's content, of parts too."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(part.get("text") or "" for part in parts if isinstance(part, dict))


@dataclass(frozen=True, slots=True)
class Counted:
    """A reply's tokens; cached and written are part of prompt, reasoning of completion."""

    prompt: int
    completion: int
    cached: int
    written: int
    reasoning: int


def details(request: Json, prompt: int, text: int) -> Counted:
    """Return the tokens: a request with a `prompt_cache_key` uses a cache, one with an effort reasons."""
    keyed = request.get("prompt_cache_key") is not None
    effort = request.get("reasoning_effort") or (request.get("reasoning") or {}).get("effort")
    reasoning = _EFFORTS.get(effort or "", 0)
    return Counted(prompt, text + reasoning, prompt // 2 * keyed, prompt // 4 * keyed, reasoning)


def prompt_tokens(request: Json) -> int:
    """Return the prompt's tokens, whichever of the API's names it has."""
    prompt = next((request[name] for name in ("messages", "input", "prompt") if request.get(name)), None)
    characters = len(json.dumps(prompt)) if prompt else 0
    return max(1, characters // 4)


def usage(request: Json, text_tokens: int) -> Json:
    """Return the usage object of a reply."""
    counted = details(request, prompt_tokens(request), text_tokens)
    return {
        "prompt_tokens": counted.prompt,
        "completion_tokens": counted.completion,
        "total_tokens": counted.prompt + counted.completion,
        "prompt_tokens_details": {
            "cached_tokens": counted.cached,
            "cache_write_tokens": counted.written,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": counted.reasoning,
            "audio_tokens": text_tokens if request.get("modalities") == ["text", "audio"] else 0,
        },
    }


def cut(request: Json, text: str) -> str:
    """Return as much of an answer as the request allows."""
    named = [request.get(name) for name in ("max_completion_tokens", "max_tokens", "max_output_tokens")]
    most = next((number for number in named if isinstance(number, int)), None)
    return text if most is None else text[: 4 * most]


def answer(request: Json, echo: bool = False, text: str | None = None) -> Json:
    """Return the assistant's message: the text, an echo, a tool call, an object of the schema, or canned text."""
    if text is not None:
        return {"role": "assistant", "content": text}
    messages = [m for m in request.get("messages") or [] if isinstance(m, dict)]
    last = messages[-1] if messages else {}
    if echo:
        return {"role": "assistant", "content": text_of(last.get("content"))}
    if request.get("tools") and last.get("role") != "tool":
        return {"role": "assistant", "content": None, "tool_calls": [_tool_call(request["tools"][0])]}
    if (request.get("response_format") or {}).get("type") == "json_schema":
        return {
            "role": "assistant",
            "content": json.dumps(arguments_of(request["response_format"]["json_schema"]["schema"])),
        }
    return {"role": "assistant", "content": said_to({"messages": messages})}


def said_to(request: Json) -> str:
    """Return the canned text, or the number of images in the request."""
    found = request.get("messages") or request.get("input")
    given = found if isinstance(found, list) else []
    images = sum(_images(item.get("content")) for item in given if isinstance(item, dict))
    return f"{images} image(s) received." if images else CANNED


def _images(content: object) -> int:
    parts = content if isinstance(content, list) else []
    return sum(isinstance(part, dict) and part.get("type") in ("image_url", "input_image") for part in parts)


def _tool_call(tool: Json) -> Json:
    function = tool["function"]
    arguments = json.dumps(arguments_of(function.get("parameters") or {}))
    return {"id": "call_1", "type": "function", "function": {"name": function["name"], "arguments": arguments}}


def arguments_of(schema: Json) -> Json:
    """Return an object of the schema."""
    examples = {"string": "Paris", "integer": 7, "number": 0.5, "boolean": True, "array": [], "object": {}}
    return {name: examples.get(kind.get("type")) for name, kind in (schema.get("properties") or {}).items()}


def completion(request: Json, echo: bool = False, text: str | None = None) -> Json:
    """Return a whole chat completion."""
    message, finish = _finished(request, echo, text)
    return {
        "id": "chatcmpl-test",
        "object": "chat.completion",
        "created": CREATED,
        "model": request.get("model"),
        "choices": [{"index": 0, "message": {**message, "refusal": None}, "logprobs": None, "finish_reason": finish}],
        "usage": usage(request, _tokens(message)),
        "system_fingerprint": "fp_test",
    }


def events(request: Json, echo: bool = False, text: str | None = None) -> Iterator[bytes]:
    """Yield the events of a streamed completion; usage is reported as OpenAI does, when asked for."""
    message, finish = _finished(request, echo, text)
    asked = (request.get("stream_options") or {}).get("include_usage") is True
    base: Json = {
        "id": "chatcmpl-test",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": request.get("model"),
    }
    extra: Json = {"usage": None} if asked else {}
    for delta, ended in _deltas(message, finish, 7 if text is None else 4):
        yield event({**base, "choices": [{"index": 0, "delta": delta, "finish_reason": ended}], **extra})
    if asked:
        yield event({**base, "choices": [], "usage": usage(request, _tokens(message))})
    yield b"data: [DONE]\n\n"


def _finished(request: Json, echo: bool, text: str | None) -> tuple[Json, str]:
    message = answer(request, echo, text)
    if message.get("tool_calls"):
        return message, "tool_calls"
    full = text_of(message.get("content"))
    kept = cut(request, full)
    return {**message, "content": kept}, "stop" if kept == full else "length"


def _tokens(message: Json) -> int:
    arguments = [call["function"]["arguments"] for call in message.get("tool_calls") or ()]
    return tokens_of("".join((text_of(message.get("content")), *arguments)))


def _deltas(message: Json, finish: str, piece: int) -> Iterator[tuple[Json, str | None]]:
    yield {"role": "assistant", "content": "" if message.get("content") else None}, None
    for call in message.get("tool_calls") or []:
        arguments = call["function"]["arguments"]
        yield {"tool_calls": [{"index": 0, **call, "function": {**call["function"], "arguments": ""}}]}, None
        for start in range(0, len(arguments), 5):
            yield {"tool_calls": [{"index": 0, "function": {"arguments": arguments[start : start + 5]}}]}, None
    content = text_of(message.get("content"))
    for start in range(0, len(content), piece):
        yield {"content": content[start : start + piece]}, None
    yield {}, finish


def event(value: object) -> bytes:
    """Return one server-sent event."""
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def error(message: str, kind: str, code: str | None = None, param: str | None = None) -> Json:
    """Return an error in OpenAI's shape."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
