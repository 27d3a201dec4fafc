"""Sends the demonstration's requests through the official SDK, as any application would."""

import json
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from openai import OpenAI
from openai.types.chat import ChatCompletionChunk

from demo.cases import SEARCH, Case, catalogue

MODEL = "gpt-4o-mini"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a request: the gateway's headers, the answer, whether the passage reached the upstream."""

    case: Case
    headers: Mapping[str, str]
    answer: str
    kept: bool

    def number(self, name: str) -> float | None:
        """Return the value of the gateway's header, None where it is absent."""
        value = self.headers.get(f"x-gateway-{name}")
        return None if value is None else float(value)

    @property
    def as_expected(self) -> bool:
        """Whether the passage arrived, and what was to stay whole stayed whole."""
        untouched = self.headers.get("x-gateway-windowing") == "bypassed"
        return self.kept and (self.case.trimmed or untouched)


class Sender:
    """An SDK client that points at the gateway, and a look at what the upstream was sent."""

    def __init__(self, gateway_url: str, upstream_url: str) -> None:
        self._client = OpenAI(api_key="sk-demo", base_url=f"{gateway_url}/v1", max_retries=0, timeout=60)
        self._upstream = upstream_url

    def send(self, number: int, case: Case) -> Outcome:
        """Send the case's request, in two steps where a tool is called, and look at what reached the upstream."""
        messages = [*case.messages, *self._tool_turns(case)] if case.tools else case.messages
        options: dict[str, Any] = {"tools": [SEARCH]} if case.tools else {}
        arguments: Any = {
            "model": MODEL,
            "messages": messages,
            "stream": case.stream,
            "extra_headers": {"x-demo-request": str(number)},
            **options,
        }
        reply = self._client.chat.completions.with_raw_response.create(**arguments)
        answer = _streamed(reply.parse()) if case.stream else reply.parse().choices[0].message.content
        return Outcome(case, reply.headers, answer or "", _plain(case.passage) in self._received(number))

    def _tool_turns(self, case: Case) -> list[dict[str, Any]]:
        """Let the model call the tool; return its call and the tool's result."""
        asked: Any = {"model": MODEL, "messages": case.messages, "tools": [SEARCH]}
        message = self._client.chat.completions.create(**asked).choices[0].message
        call = (message.tool_calls or [])[0]
        result = {"role": "tool", "tool_call_id": call.id, "content": catalogue()}
        return [message.model_dump(exclude_none=True), result]

    def _received(self, number: int) -> str:
        url = f"{self._upstream}/demo/received/{number}"
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10) as reply:
            return _plain(json.dumps(json.load(reply), ensure_ascii=False).replace("\\n", " ").replace('\\"', '"'))


def _streamed(stream: Iterable[ChatCompletionChunk]) -> str:
    return "".join(choice.delta.content or "" for chunk in stream for choice in chunk.choices)


def _plain(text: str) -> str:
    return " ".join(text.split())
