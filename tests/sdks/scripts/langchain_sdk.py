# mypy: disable-error-code="import-not-found, untyped-decorator"
"""langchain-openai."""

from importlib.metadata import version
from typing import Any

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from tests.sdks.scripts.jobs import WEATHER, Answer, Job, serve


class Place(BaseModel):
    city: str
    days: int


@tool
def get_weather(city: str, days: int) -> str:
    """Return the weather."""
    return WEATHER


def _model(job: Job) -> Any:
    return ChatOpenAI(
        model=job.model,
        base_url=job.base_url,
        api_key="sk-caller",
        default_headers=job.headers,
        max_retries=0,
        timeout=60,
        stream_usage=True,
        use_responses_api=job.of_responses,
    )


def _of_message(message: Any) -> Answer:
    return {"text": message.text, "usage": message.usage_metadata, "metadata": message.response_metadata}


def _chat(job: Job) -> Answer:
    return _of_message(_model(job).invoke(job.prompt))


def _stream(job: Job) -> Answer:
    chunks = list(_model(job).stream(job.prompt))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return {**_of_message(whole), "pieces": [chunk.text for chunk in chunks]}


def _tools(job: Job) -> Answer:
    model = _model(job).bind_tools([get_weather])
    asked = HumanMessage(job.prompt)
    first = model.invoke([asked])
    results = [ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"]) for call in first.tool_calls]
    calls = [[call["name"], call["args"]] for call in first.tool_calls]
    return {"calls": calls, **_of_message(model.invoke([asked, first, *results]))}


def _image(job: Job) -> Answer:
    parts = [{"type": "text", "text": job.prompt}, {"type": "image_url", "image_url": {"url": job.image}}]
    return _of_message(_model(job).invoke([HumanMessage(parts)]))


def _structured(job: Job) -> Answer:
    return {"parsed": _model(job).with_structured_output(Place).invoke(job.prompt).model_dump()}


def _cancel(job: Job) -> Answer:
    stream = _model(job).stream(job.prompt)
    taken = [chunk.text for chunk, _ in zip(stream, range(3), strict=False)]
    stream.close()
    return {"taken": taken}


if __name__ == "__main__":
    serve(
        version("langchain-openai"),
        {
            "chat": _chat,
            "stream": _stream,
            "tools": _tools,
            "image": _image,
            "structured": _structured,
            "cancel": _cancel,
        },
    )
