"""The official SDK for Python."""

from collections.abc import Callable, Mapping
from typing import Any

import openai
from openai import OpenAI
from pydantic import BaseModel

from tests.sdks.scripts.jobs import WEATHER, Answer, Job, serve

_PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
_CHAT_TOOLS: Any = [{"type": "function", "function": {"name": "get_weather", "parameters": _PARAMETERS}}]
_TOOLS: Any = [{"type": "function", "name": "get_weather", "parameters": _PARAMETERS, "strict": True}]


class Place(BaseModel):
    city: str
    days: int


def _client(job: Job) -> OpenAI:
    return OpenAI(api_key="sk-caller", base_url=job.base_url, default_headers=job.headers, max_retries=0, timeout=60)


def _messages(job: Job) -> Any:
    return [{"role": "user", "content": job.prompt}]


def _of_completion(reply: Any) -> Answer:
    choice = reply.choices[0]
    return {"text": choice.message.content, "finish": choice.finish_reason, "whole": reply.model_dump(warnings=False)}


def _chat(job: Job) -> Answer:
    return _of_completion(_client(job).chat.completions.create(model=job.model, messages=_messages(job)))


def _chat_stream(job: Job) -> Answer:
    options: Any = {"include_usage": True}
    stream = _client(job).chat.completions.create(
        model=job.model, messages=_messages(job), stream=True, stream_options=options
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    return {"text": text, "whole": [chunk.model_dump(warnings=False) for chunk in chunks]}


def _chat_tools(job: Job) -> Answer:
    client, messages = _client(job), _messages(job)
    first = client.chat.completions.create(model=job.model, messages=messages, tools=_CHAT_TOOLS)
    call: Any = first.choices[0].message.tool_calls[0]  # type: ignore[index]
    messages += [first.choices[0].message.model_dump(exclude_none=True)]
    messages += [{"role": "tool", "tool_call_id": call.id, "content": WEATHER}]
    second = client.chat.completions.create(model=job.model, messages=messages, tools=_CHAT_TOOLS)
    return {"calls": [[call.function.name, call.function.arguments]], **_of_completion(second)}


def _chat_image(job: Job) -> Answer:
    parts: Any = [{"type": "text", "text": job.prompt}, {"type": "image_url", "image_url": {"url": job.image}}]
    messages: Any = [{"role": "user", "content": parts}]
    return _of_completion(_client(job).chat.completions.create(model=job.model, messages=messages))


def _chat_structured(job: Job) -> Answer:
    reply = _client(job).chat.completions.parse(model=job.model, messages=_messages(job), response_format=Place)
    place = reply.choices[0].message.parsed
    return {"parsed": place and place.model_dump(), **_of_completion(reply)}


def _chat_cancel(job: Job) -> Answer:
    stream = _client(job).chat.completions.create(model=job.model, messages=_messages(job), stream=True)
    taken = [chunk.choices[0].delta.content for chunk, _ in zip(stream, range(3), strict=False)]
    stream.close()
    return {"taken": taken}


def _of_response(reply: Any) -> Answer:
    return {"text": reply.output_text, "finish": reply.status, "whole": reply.model_dump(warnings=False)}


def _response(job: Job) -> Answer:
    return _of_response(_client(job).responses.create(model=job.model, input=job.prompt))


def _response_stream(job: Job) -> Answer:
    events: list[Any] = list(_client(job).responses.create(model=job.model, input=job.prompt, stream=True))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    return {"text": text, "whole": [event.model_dump(warnings=False) for event in events]}


def _response_tools(job: Job) -> Answer:
    client, given = _client(job), _messages(job)
    first = client.responses.create(model=job.model, input=given, tools=_TOOLS)
    call: Any = first.output[0]
    given += [*first.output, {"type": "function_call_output", "call_id": call.call_id, "output": WEATHER}]
    second = client.responses.create(model=job.model, input=given, tools=_TOOLS)
    return {"calls": [[call.name, call.arguments]], **_of_response(second)}


def _response_image(job: Job) -> Answer:
    parts: Any = [{"type": "input_text", "text": job.prompt}, {"type": "input_image", "image_url": job.image}]
    given: Any = [{"role": "user", "content": parts}]
    return _of_response(_client(job).responses.create(model=job.model, input=given))


def _response_structured(job: Job) -> Answer:
    reply = _client(job).responses.parse(model=job.model, input=job.prompt, text_format=Place)
    return {"parsed": reply.output_parsed and reply.output_parsed.model_dump(), **_of_response(reply)}


def _response_cancel(job: Job) -> Answer:
    stream = _client(job).responses.create(model=job.model, input=job.prompt, stream=True)
    taken = [event.type for event, _ in zip(stream, range(6), strict=False)]
    stream.close()
    return {"taken": taken}


_TASKS: Mapping[str, tuple[Callable[[Job], Answer], Callable[[Job], Answer]]] = {
    "chat": (_chat, _response),
    "stream": (_chat_stream, _response_stream),
    "tools": (_chat_tools, _response_tools),
    "image": (_chat_image, _response_image),
    "structured": (_chat_structured, _response_structured),
    "cancel": (_chat_cancel, _response_cancel),
}


def _by_api(chat: Callable[[Job], Answer], response: Callable[[Job], Answer]) -> Callable[[Job], Answer]:
    return lambda job: (response if job.of_responses else chat)(job)


if __name__ == "__main__":
    serve(openai.__version__, {name: _by_api(*both) for name, both in _TASKS.items()})
