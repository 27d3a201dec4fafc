"""The demo's upstream: it speaks the OpenAI protocol and answers by quoting what it was sent. Not a model.

`python -m demo.upstream PORT`. GET /demo/received/{id} gives back the prompt of the request with that `x-demo-request`.
"""

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from demo.quoting import question_of, quotation, texts_of
from retrieval.tokens import counter_for

Json = dict[str, Any]
_KEPT = 100  # prompts that can be asked for afterwards


def create_app() -> FastAPI:
    """Return the application."""
    app = FastAPI(title="demo upstream")
    received: dict[str, Json] = {}

    @app.get("/v1/models")
    async def models() -> Json:
        return {"object": "list", "data": [{"id": "gpt-4o-mini", "object": "model", "owned_by": "demo", "created": 0}]}

    @app.get("/demo/received/{name}")
    async def prompt(name: str) -> Json:
        return received.get(name, {})

    @app.post("/v1/chat/completions")
    async def chat(http: Request) -> Response:
        request: Json = await http.json()
        if len(received) < _KEPT:
            received[http.headers.get("x-demo-request", "")] = request
        message = _message(request)
        usage = _usage(request, message)
        if request.get("stream"):
            return StreamingResponse(_events(request, message, usage), media_type="text/event-stream")
        finish = "tool_calls" if message.get("tool_calls") else "stop"
        choice = {"index": 0, "message": message, "finish_reason": finish}
        return JSONResponse({**_head(request, "chat.completion"), "choices": [choice], "usage": usage})

    return app


def _head(request: Json, kind: str) -> Json:
    return {"id": "chatcmpl-demo", "object": kind, "created": int(time.time()), "model": request.get("model")}


def _message(request: Json) -> Json:
    """Return the answer: a call of the first tool while no result is there, a quotation otherwise."""
    messages: list[Json] = request["messages"]
    if not request.get("tools") or messages[-1].get("role") == "tool":
        return {"role": "assistant", "content": quotation(messages)}
    arguments = json.dumps({"query": question_of(messages)})
    function = {"name": request["tools"][0]["function"]["name"], "arguments": arguments}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
    }


def _usage(request: Json, message: Json) -> Json:
    """Return the usage, counted from the prompt that arrived; nothing is ever cached here."""
    counter = counter_for(request.get("model"))
    prompt = sum(counter.count_many([text for turn in request["messages"] for text in texts_of(turn)]))
    completion = counter.count(json.dumps(message))
    details = {"prompt_tokens_details": {"cached_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 0}}
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion, **details}


def _events(request: Json, message: Json, usage: Json) -> Iterator[bytes]:
    head = _head(request, "chat.completion.chunk")
    asked = (request.get("stream_options") or {}).get("include_usage")
    more = {"usage": None} if asked else {}
    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": word + " "} for word in (message.get("content") or "").split(" ")]
    for delta in deltas:
        yield _event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}], **more})
    yield _event({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], **more})
    if asked:
        yield _event({**head, "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def _event(value: Json) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


if __name__ == "__main__":
    uvicorn.run(create_app(), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
