# mypy: disable-error-code="import-not-found, untyped-decorator"
"""The OpenAI Agents SDK."""

import asyncio
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from pydantic import BaseModel

from tests.sdks.scripts.jobs import WEATHER, Answer, Job, serve


class Place(BaseModel):
    city: str
    days: int


@function_tool
def get_weather(city: str, days: int) -> str:
    """Return the weather."""
    return WEATHER


def _agent(job: Job, **more: Any) -> Any:
    client = AsyncOpenAI(
        api_key="sk-caller", base_url=job.base_url, default_headers=job.headers, max_retries=0, timeout=60
    )
    kind = OpenAIResponsesModel if job.of_responses else OpenAIChatCompletionsModel
    return Agent(name="Helper", instructions="Be brief.", model=kind(model=job.model, openai_client=client), **more)


def _of_result(result: Any) -> Answer:
    used = result.context_wrapper.usage
    calls = [item.raw_item for item in result.new_items if item.type == "tool_call_item"]
    return {
        "text": str(result.final_output),
        "calls": [[call.name, call.arguments] for call in calls],
        "items": [item.type for item in result.new_items],
        "usage": [used.requests, used.input_tokens, used.output_tokens],
    }


async def _chat(job: Job) -> Answer:
    return _of_result(await Runner.run(_agent(job), job.prompt))


async def _stream(job: Job) -> Answer:
    result = Runner.run_streamed(_agent(job), job.prompt)
    events = [getattr(event, "data", event).type async for event in result.stream_events()]
    return {**_of_result(result), "events": events}


async def _tools(job: Job) -> Answer:
    return _of_result(await Runner.run(_agent(job, tools=[get_weather]), job.prompt))


async def _image(job: Job) -> Answer:
    parts = [
        {"type": "input_text", "text": job.prompt},
        {"type": "input_image", "image_url": job.image, "detail": "auto"},
    ]
    return _of_result(await Runner.run(_agent(job), [{"role": "user", "content": parts}]))


async def _structured(job: Job) -> Answer:
    result = await Runner.run(_agent(job, output_type=Place), job.prompt)
    return {**_of_result(result), "parsed": result.final_output.model_dump()}


async def _cancel(job: Job) -> Answer:
    result = Runner.run_streamed(_agent(job), job.prompt)
    taken: list[str] = []
    async for event in result.stream_events():
        if len(taken) == 8:
            result.cancel()
        else:
            taken.append(getattr(event, "data", event).type)
    return {"taken": taken[:8]}


def _run(task: Callable[[Job], Awaitable[Answer]]) -> Callable[[Job], Answer]:
    async def awaited(job: Job) -> Answer:
        return await task(job)

    return lambda job: asyncio.run(awaited(job))


if __name__ == "__main__":
    set_tracing_disabled(True)
    serve(
        version("openai-agents"),
        {
            "chat": _run(_chat),
            "stream": _run(_stream),
            "tools": _run(_tools),
            "image": _run(_image),
            "structured": _run(_structured),
            "cancel": _run(_cancel),
        },
    )
