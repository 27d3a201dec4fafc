# mypy: disable-error-code="import-not-found"
"""LlamaIndex with llama-index-llms-openai."""

import asyncio
import base64
from importlib.metadata import version
from typing import Any

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage, ImageBlock, TextBlock
from llama_index.core.prompts import PromptTemplate
from llama_index.llms.openai import OpenAI, OpenAIResponses
from pydantic import BaseModel

from tests.sdks.scripts.jobs import WEATHER, Answer, Job, serve


class Place(BaseModel):
    city: str
    days: int


def get_weather(city: str, days: int) -> str:
    """Return the weather."""
    return WEATHER


def _model(job: Job) -> Any:
    kind = OpenAIResponses if job.of_responses else OpenAI
    return kind(
        model=job.model,
        api_base=job.base_url,
        api_key="sk-caller",
        default_headers=job.headers,
        max_retries=0,
        timeout=60,
    )


def _messages(job: Job) -> list[Any]:
    return [ChatMessage(role="user", content=job.prompt)]


def _of_reply(reply: Any) -> Answer:
    return {"text": reply.message.content, "usage": {k: v for k, v in reply.additional_kwargs.items() if "token" in k}}


def _chat(job: Job) -> Answer:
    return _of_reply(_model(job).chat(_messages(job)))


def _stream(job: Job) -> Answer:
    replies = list(_model(job).stream_chat(_messages(job)))
    return {**_of_reply(replies[-1]), "pieces": [reply.delta for reply in replies]}


def _tools(job: Job) -> Answer:
    async def run() -> Any:
        return await FunctionAgent(tools=[get_weather], llm=_model(job)).run(job.prompt)

    output = asyncio.run(run())
    calls = [[call.tool_name, call.tool_kwargs] for call in output.tool_calls]
    return {"text": output.response.content, "calls": calls}


def _image(job: Job) -> Answer:
    data = base64.b64decode(job.image.partition(",")[2])
    image = ImageBlock(image=data, image_mimetype="image/png")
    message = ChatMessage(role="user", blocks=[TextBlock(text=job.prompt), image])
    return _of_reply(_model(job).chat([message]))


def _structured(job: Job) -> Answer:
    return {"parsed": _model(job).structured_predict(Place, PromptTemplate("{asked}"), asked=job.prompt).model_dump()}


async def _some(job: Job) -> list[str]:
    taken: list[str] = []
    async for reply in await _model(job).astream_chat(_messages(job)):
        taken.append(reply.delta)
        if len(taken) == 3:
            break
    return taken


def _cancel(job: Job) -> Answer:
    # A generator that is not async goes on holding its connection when it is closed, with or without a gateway.
    return {"taken": asyncio.run(_some(job))}


if __name__ == "__main__":
    serve(
        version("llama-index-llms-openai"),
        {
            "chat": _chat,
            "stream": _stream,
            "tools": _tools,
            "image": _image,
            "structured": _structured,
            "cancel": _cancel,
        },
    )
