"""What OpenAI's Responses API would answer: one message or one function call, whole or as its events."""

import json
from collections.abc import Iterator

from tests.upstreams.bills import tokens_of
from tests.upstreams.replies import CREATED, Json, arguments_of, cut, details, event, prompt_tokens, said_to

_PIECE = 4


def response(request: Json, text: str | None = None) -> Json:
    """Return a whole response; incomplete where the request allows fewer tokens than it has."""
    item, whole = _item(request, text)
    return _filled(request, [item], usage_of(request, item), "completed" if whole else "incomplete")


def events(request: Json, text: str | None = None) -> Iterator[bytes]:
    """Yield the events of a streamed response."""
    item, whole = _item(request, text)
    usage, status = usage_of(request, item), "completed" if whole else "incomplete"
    begun = _filled(request, [], None, "in_progress")
    found: list[tuple[str, Json]] = [("response.created", {"response": begun})]
    found += [("response.in_progress", {"response": begun})]
    found += _of_call(item) if item["type"] == "function_call" else _of_message(item)
    found += [(f"response.{status}", {"response": _filled(request, [item], usage, status)})]
    for number, (kind, fields) in enumerate(found):
        yield b"event: " + kind.encode() + b"\n" + event({"type": kind, "sequence_number": number, **fields})


def usage_of(request: Json, item: Json) -> Json:
    """Return the usage of a response with this output."""
    counted = details(request, prompt_tokens(request), tokens_of(_text_of(item)))
    return {
        "input_tokens": counted.prompt,
        "input_tokens_details": {"cached_tokens": counted.cached, "cache_write_tokens": counted.written},
        "output_tokens": counted.completion,
        "output_tokens_details": {"reasoning_tokens": counted.reasoning},
        "total_tokens": counted.prompt + counted.completion,
    }


def _text_of(item: Json) -> str:
    return str(item["arguments"] if item["type"] == "function_call" else item["content"][0]["text"])


def _item(request: Json, text: str | None) -> tuple[Json, bool]:
    tools = [tool for tool in request.get("tools") or [] if tool.get("type") == "function"]
    if tools and not _has_output(request):
        arguments = json.dumps(arguments_of(tools[0].get("parameters") or {}))
        call = {"call_id": "call_1", "name": tools[0]["name"], "arguments": arguments}
        return {"id": "fc_test", "type": "function_call", "status": "completed", **call}, True
    full = _said(request) if text is None else text
    kept = cut(request, full)
    content = [{"type": "output_text", "annotations": [], "logprobs": [], "text": kept}]
    whole = len(kept) == len(full)
    message = {"id": "msg_test", "type": "message", "status": "completed" if whole else "incomplete"}
    return {**message, "role": "assistant", "content": content}, whole


def _has_output(request: Json) -> bool:
    given = request.get("input")
    last = given[-1] if isinstance(given, list) and given else None
    return isinstance(last, dict) and last.get("type") == "function_call_output"


def _said(request: Json) -> str:
    wanted = (request.get("text") or {}).get("format") or {}
    return json.dumps(arguments_of(wanted["schema"])) if wanted.get("type") == "json_schema" else said_to(request)


def _of_message(item: Json) -> list[tuple[str, Json]]:
    place: Json = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    (part,) = item["content"]
    text = part["text"]
    pieces = [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]
    return [
        ("response.output_item.added", {"output_index": 0, "item": {**item, "status": "in_progress", "content": []}}),
        ("response.content_part.added", {**place, "part": {**part, "text": ""}}),
        *(("response.output_text.delta", {**place, "delta": piece, "logprobs": []}) for piece in pieces),
        ("response.output_text.done", {**place, "text": text, "logprobs": []}),
        ("response.content_part.done", {**place, "part": part}),
        ("response.output_item.done", {"output_index": 0, "item": item}),
    ]


def _of_call(item: Json) -> list[tuple[str, Json]]:
    place: Json = {"item_id": item["id"], "output_index": 0}
    arguments = item["arguments"]
    pieces = [arguments[start : start + _PIECE] for start in range(0, len(arguments), _PIECE)]
    return [
        ("response.output_item.added", {"output_index": 0, "item": {**item, "status": "in_progress", "arguments": ""}}),
        *(("response.function_call_arguments.delta", {**place, "delta": piece}) for piece in pieces),
        ("response.function_call_arguments.done", {**place, "name": item["name"], "arguments": arguments}),
        ("response.output_item.done", {"output_index": 0, "item": item}),
    ]


def _filled(request: Json, output: list[Json], usage: Json | None, status: str) -> Json:
    return {
        "id": "resp_test",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": request.get("instructions"),
        "max_output_tokens": request.get("max_output_tokens"),
        "model": request.get("model"),
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": request.get("previous_response_id"),
        "reasoning": {"effort": (request.get("reasoning") or {}).get("effort"), "summary": None},
        "store": True,
        "temperature": 1.0,
        "text": request.get("text") or {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": request.get("tools") or [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage,
        "user": request.get("user"),
        "metadata": {},
    }
