"""What is asked of every SDK, and what a right answer looks like."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from demo import texts
from tests.upstreams.replies import CANNED

MODEL = "gpt-4o-mini"
QUESTION = "What’s the weather in Paris?"
IMAGE = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
NEEDLE = "The code of the harbour vault is 4711."
PLACE = {"city": "Paris", "days": 7}
STATUSES = (400, 401, 429, 500)
Answer = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ask:
    """One job of a case."""

    task: str
    headers: Mapping[str, str] = field(default_factory=dict)
    prompt: str = QUESTION

    def job(self, base_url: str, api: str) -> dict[str, Any]:
        """Return the job as the programs in scripts/ read it."""
        asked = {"task": self.task, "headers": dict(self.headers), "prompt": self.prompt}
        return {"base_url": base_url, "api": api, "model": MODEL, "image": IMAGE, **asked}


@dataclass(frozen=True, slots=True)
class Case:
    """Jobs, and whether their answers are right: two that are equally wrong do not pass."""

    name: str
    asks: tuple[Ask, ...]
    right: Callable[[Sequence[Answer]], bool]
    trimmed: bool = False  # the gateway shortens the prompt, so that bodies and usage differ
    left: bool = False  # the SDK leaves before the reply's end


def long_prompt(pages: int) -> str:
    """Return a prompt of some 20,000 tokens, with one sentence behind that many texts that its question is about."""
    topics = ("compound", "execmodel", "debugger")
    before, after = texts.reference(*topics[:pages]), texts.reference(*topics[pages:])
    return f"{before}\n\n{NEEDLE}\n\n{after}\n\nWhich code opens the harbour vault?"


def _says(text: str) -> Callable[[Sequence[Answer]], bool]:
    return lambda answers: all(answer.get("text") == text for answer in answers)


def _called(answers: Sequence[Answer]) -> bool:
    return [read(answers[0]["calls"][0])] == [("get_weather", PLACE)] and answers[0].get("text") == CANNED


def read(call: Sequence[Any]) -> tuple[str, Any]:
    """Return a call's name and arguments, which some SDKs hand on as text."""
    name, arguments = call
    return name, json.loads(arguments) if isinstance(arguments, str) else arguments


def _parsed(answers: Sequence[Answer]) -> bool:
    return answers[0].get("parsed") == PLACE


def _refused(answers: Sequence[Answer]) -> bool:
    wanted = [status for status in STATUSES for _ in ("chat", "stream")]
    return [(answer.get("error") or {}).get("status") for answer in answers] == wanted


def _took(answers: Sequence[Answer]) -> bool:
    return len(answers[0].get("taken") or ()) >= 3


_FIND = {"x-answer-matching": NEEDLE}
CASES = (
    Case("chat", (Ask("chat"),), _says(CANNED)),
    Case("stream", (Ask("stream"),), _says(CANNED)),
    Case("tools", (Ask("tools"),), _called),
    Case("image", (Ask("image", prompt="What is this?"),), _says("1 image(s) received.")),
    Case("structured", (Ask("structured"),), _parsed),
    Case(
        "error",
        tuple(Ask(task, {"x-behaviour": f"error-{status}"}) for status in STATUSES for task in ("chat", "stream")),
        _refused,
    ),
    Case("cancelled", (Ask("cancel", {"x-behaviour": "endless"}),), _took, left=True),
    Case(
        "oversized",
        (Ask("chat", _FIND, long_prompt(1)), Ask("stream", _FIND, long_prompt(2))),
        _says(NEEDLE),
        trimmed=True,
    ),
)
